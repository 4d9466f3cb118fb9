"""`tp`: the table of commands."""

import sys

import typer

from transformer_playground.cli.console import run_command
from transformer_playground.cli.experiments import experiments, new
from transformer_playground.cli.options import with_resume_default
from transformer_playground.cli.prepare import prepare
from transformer_playground.cli.runs import runs
from transformer_playground.cli.sample import sample
from transformer_playground.cli.tensorboard import tensorboard
from transformer_playground.cli.train import loop, train

app = typer.Typer(
    help="Train, sample and compare small language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (prepare, train, sample, loop, runs, experiments, new, tensorboard):
    app.command()(command)


def run_app(application: typer.Typer, arguments: list[str]) -> int:
    """Run a Typer application; commands return their exit code or nothing."""

    def invoke() -> int:
        try:
            code = application(args=with_resume_default(arguments), standalone_mode=False)
        except typer.Exit as end:
            return end.exit_code
        return code if isinstance(code, int) else 0

    return run_command(invoke)


def run() -> None:
    """Entry point of `tp`."""
    sys.exit(run_app(app, sys.argv[1:]))
