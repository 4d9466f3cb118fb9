"""The table of `tp runs` commands."""

from typing import Any

import typer
from typer.core import TyperGroup

from transformer_playground.cli.runs.annotating import note, tag
from transformer_playground.cli.runs.listing import list_command
from transformer_playground.cli.runs.moving import delete, deleted, rename, restore
from transformer_playground.cli.runs.showing import show

_DEFAULT = "list"


class _ListsByDefault(TyperGroup):
    """`tp runs …` is `tp runs list …` unless the first word is a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first != "--help" and first not in self.commands:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


runs_app = typer.Typer(
    cls=_ListsByDefault,
    help="List, annotate and tidy runs; without a command: list them.",
    add_completion=False,
    rich_markup_mode=None,
)
# What begins with a dash and is no option is a term that negates, or a tag to remove.
_dashes = {"ignore_unknown_options": True}
runs_app.command(_DEFAULT, context_settings=_dashes)(list_command)
runs_app.command("tag", context_settings=_dashes)(tag)
for command in (show, note, rename, delete, restore, deleted):
    runs_app.command()(command)
