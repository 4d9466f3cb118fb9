"""Entry point and command table of `tp`."""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from transformer_playground.cli.app import run_app
from transformer_playground.cli.options import Version

# The module in `cli` of each command; its function has the command's name.
_COMMANDS = {
    "prepare": "prepare",
    "train": "train",
    "sample": "sample",
    "generate": "sample",
    "loop": "train",
    "compare": "compare",
    "scale": "scale",
    "lr-find": "lr_find",
    "report": "report",
    "eval": "eval_run",
    "data": "data",
    "plot-loss": "plot_loss",
    "share": "share",
    "export": "export",
    "export-adapter": "export",
    "import": "import_run",
    "inspect": "inspect_run",
    "serve": "serve",
    "lit": "lit",
    "experiments": "experiments",
    "new": "experiments",
    "tensorboard": "tensorboard",
}
# Commands whose names are words or modules of Python.
_FUNCTIONS = {"import": "import_run", "inspect": "inspect_run", "eval": "eval_run"}
_RUNS = "runs"
# Other commands with commands of their own, which their module in `cli` lists.
_GROUPS = {
    "sweep": "Train many combinations of settings and seeds.",
    "records": "Compare own runs with published results.\n\nWithout a command, they are shown.",
}
# Those that show something without a command.
_SHOWN = frozenset({"records"})
_DEFAULT = "list"
# The module in `cli.runs` of each command of `tp runs`; its table has the function.
_RUNS_COMMANDS = {
    _DEFAULT: "list",
    "tag": "manage",
    "show": "show",
    "alerts": "alerts",
    "note": "manage",
    "rename": "manage",
    "delete": "manage",
    "restore": "manage",
    "deleted": "manage",
    "unlock": "manage",
    "pause": "request",
    "resume": "request",
    "stop": "request",
    "evaluate": "request",
    "sample": "request",
    "checkpoint": "request",
}
# `-TERM` in a filter and `-TAG` start with a dash but are not options.
_WITH_DASHES = (_DEFAULT, "tag")


class _WithDefault(TyperGroup):
    """`tp runs …` is `tp runs list …` unless the first argument is a command."""

    default = _DEFAULT

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first != "--help" and first not in self.commands:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class _ShowByDefault(_WithDefault):
    default = "show"


def build_app(only: str | None = None, *, of_runs: str | None = None) -> typer.Typer:
    """The application with all commands, or to start sooner with `only` one of them.

    Args:
        of_runs: The only command of `tp runs`; empty for none.
    """
    app = typer.Typer(
        name="tp",
        help="Train, sample and compare small language models.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for name, module in _COMMANDS.items():
        if only in (None, name):
            commands = importlib.import_module(f"transformer_playground.cli.{module}")
            app.command(name)(getattr(commands, _FUNCTIONS.get(name, name.replace("-", "_"))))
    if only in (None, _RUNS):
        app.add_typer(_runs_app(of_runs), name=_RUNS)
    for name, summary in _GROUPS.items():
        if only in (None, name):
            app.add_typer(_group(name, summary), name=name)
    return app


def _options(_version: Version = False) -> None:
    pass


def _runs_app(only: str | None) -> typer.Typer:
    runs_app = typer.Typer(
        cls=_WithDefault,
        help="List, annotate, control and delete runs.\n\nWithout a command, runs are listed.",
        add_completion=False,
        rich_markup_mode=None,
    )
    for name, module in _RUNS_COMMANDS.items():
        if only in (None, name):
            commands = importlib.import_module(f"transformer_playground.cli.runs.{module}")
            settings = {"ignore_unknown_options": True} if name in _WITH_DASHES else None
            runs_app.command(name, context_settings=settings)(commands.COMMANDS[name])
    return runs_app


def _group(name: str, summary: str) -> typer.Typer:
    commands = importlib.import_module(f"transformer_playground.cli.{name}").COMMANDS
    has_default = name in _SHOWN
    group = typer.Typer(
        cls=_ShowByDefault if has_default else TyperGroup,
        help=summary,
        add_completion=False,
        no_args_is_help=not has_default,
        rich_markup_mode=None,
    )
    for each, command in commands.items():
        group.command(each)(command)
    return group


def main(arguments: list[str]) -> int:
    """Run `tp` with these arguments; return its exit code."""
    first, second, *_ = [*arguments, "", ""]
    if first == _RUNS:
        of_runs = second if second in _RUNS_COMMANDS else _DEFAULT
        app = build_app(_RUNS, of_runs=None if second == "--help" else of_runs)
    elif first in _COMMANDS or first in _GROUPS:
        app = build_app(first)
    else:
        # The help lists `runs` without its commands.
        app = build_app(of_runs="")
    return run_app(app, arguments)


def run() -> None:
    """Entry point of `tp`."""
    sys.exit(main(sys.argv[1:] or ["--help"]))
