"""`tp`: the table of commands."""

import sys

import typer
import typer.main

from transformer_playground.cli.compare import compare
from transformer_playground.cli.console import run_command
from transformer_playground.cli.experiments import experiments, new
from transformer_playground.cli.generate import generate
from transformer_playground.cli.options import with_resume_default
from transformer_playground.cli.plot_loss import plot_loss
from transformer_playground.cli.prepare import prepare
from transformer_playground.cli.report import report
from transformer_playground.cli.runs import runs_app
from transformer_playground.cli.sample import sample
from transformer_playground.cli.tensorboard import tensorboard
from transformer_playground.cli.train import loop, train
from transformer_playground.errors import UsageError

app = typer.Typer(
    name="tp",
    help="Train, sample and compare small language models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    prepare,
    train,
    sample,
    generate,
    loop,
    compare,
    report,
    plot_loss,
    experiments,
    new,
    tensorboard,
):
    app.command()(command)
app.add_typer(runs_app, name="runs")


def run_app(application: typer.Typer, arguments: list[str]) -> int:
    """Run a Typer application; commands return their exit code or nothing."""
    command = typer.main.get_command(application)
    name = command.name or "tp"

    def invoke() -> int:
        # Typer's own main() would turn Ctrl-C and closed pipes into exit codes without a word.
        try:
            with command.make_context(name, with_resume_default(arguments)) as context:
                code = command.invoke(context)
        except typer.Exit as end:
            return end.exit_code
        except typer.TyperException as error:
            raise UsageError(error.format_message(), f"See: {name} --help") from error
        return code if isinstance(code, int) else 0

    return run_command(invoke)


def run() -> None:
    """Entry point of `tp`."""
    sys.exit(run_app(app, sys.argv[1:] or ["--help"]))
