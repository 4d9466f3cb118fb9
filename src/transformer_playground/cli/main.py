"""`tp`: the table of commands."""

import sys

import typer

from transformer_playground.cli.app import run_app
from transformer_playground.cli.compare import compare
from transformer_playground.cli.experiments import experiments, new
from transformer_playground.cli.export import export_adapter
from transformer_playground.cli.plot_loss import plot_loss
from transformer_playground.cli.prepare import prepare
from transformer_playground.cli.report import report
from transformer_playground.cli.runs import runs_app
from transformer_playground.cli.sample import generate, sample
from transformer_playground.cli.tensorboard import tensorboard
from transformer_playground.cli.train import loop, train

__all__ = ["app", "run", "run_app"]

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
    export_adapter,
    experiments,
    new,
    tensorboard,
):
    app.command()(command)
app.add_typer(runs_app, name="runs")


def run() -> None:
    """Entry point of `tp`."""
    sys.exit(run_app(app, sys.argv[1:] or ["--help"]))
