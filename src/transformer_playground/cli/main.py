"""Entry point and command table of `tp`."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from transformer_playground.cli.app import run_app
from transformer_playground.cli.compare import compare
from transformer_playground.cli.experiments import experiments, new
from transformer_playground.cli.export import export_adapter
from transformer_playground.cli.options import Version
from transformer_playground.cli.plot_loss import plot_loss
from transformer_playground.cli.prepare import prepare
from transformer_playground.cli.report import report
from transformer_playground.cli.runs.list import list_command
from transformer_playground.cli.runs.manage import (
    delete,
    deleted,
    note,
    rename,
    restore,
    tag,
    unlock,
)
from transformer_playground.cli.runs.show import show
from transformer_playground.cli.sample import generate, sample
from transformer_playground.cli.tensorboard import tensorboard
from transformer_playground.cli.train import loop, train

__all__ = ["app", "run", "run_app"]

_DEFAULT = "list"


class _ListByDefault(TyperGroup):
    """`tp runs …` is `tp runs list …` unless the first argument is a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first != "--help" and first not in self.commands:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


runs_app = typer.Typer(
    cls=_ListByDefault,
    help="List, annotate, rename and delete runs.\n\nWithout a command, runs are listed.",
    add_completion=False,
    rich_markup_mode=None,
)
# `-TERM` in a filter and `-TAG` start with a dash but are not options.
_dashes = {"ignore_unknown_options": True}
runs_app.command(_DEFAULT, context_settings=_dashes)(list_command)
runs_app.command("tag", context_settings=_dashes)(tag)
for run_command in (show, note, rename, delete, restore, deleted, unlock):
    runs_app.command()(run_command)

app = typer.Typer(
    name="tp",
    help="Train, sample and compare small language models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(_version: Version = False) -> None:
    pass


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
