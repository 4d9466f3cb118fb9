"""`tp runs list`."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from transformer_playground.cli.options import AsJson, RunsDir
from transformer_playground.cli.output import is_terminal, note, print_table, say, say_json
from transformer_playground.config.toml import shortened
from transformer_playground.errors import UsageError
from transformer_playground.runs.fields import (
    DEFAULT_COLUMNS,
    FIELDS,
    Field,
    RunInfo,
    find_field,
    setting_keys,
)
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.lineage import tree_order
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.naming import name_runs, named
from transformer_playground.runs.query import parse_query, select, sort_rows
from transformer_playground.tables import Column
from transformer_playground.terminal import visible_line

_MAX_PROBLEM_LENGTH = 300

Filter = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILTER]...",
        help="Conditions that must all hold, e.g. 'status:running val_loss<1.9 "
        "norm=rmsnorm text'; -TERM negates, ' | ' and 'status:failed|stopped' give alternatives. "
        "Quote them: < > | are special in shells.",
    ),
]
Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="FIELD[,FIELD]",
        help="Fields or settings to sort by; -FIELD sorts descending.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="FIELD,FIELD", help="Fields or settings to show."),
]


def list_command(
    terms: Filter = None,
    sort: Sort = "-created",
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the sort order.")] = False,
    columns: Columns = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Show branches below the run that they started from.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Show at most N runs.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="List deleted runs.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """List runs, newest first.

    Fields: run name status experiment step max_iters best_val_loss best_step val_loss train_loss
    bits_per_byte tokens_per_second params tokens_seen wall_time seed age created updated tag note
    parent problem, and every setting by its key or a unique ending of it. Number suffixes: k, M, B.
    Duration suffixes: s, m, h, d, w.
    """
    if deleted:
        if terms or columns or limit or reverse or tree or sort != "-created":
            raise UsageError(
                "--deleted cannot be combined with a filter, --sort, --columns, --tree or --limit.",
                "Leave them out.",
            )
        # Late, so that lists start sooner.
        from transformer_playground.cli.runs.manage import print_deleted

        print_deleted(runs_dir, json_output)
        return
    if columns is not None and json_output:
        raise UsageError(
            "--columns cannot be combined with --json, which prints every field.",
            "Use one of them.",
        )
    if tree and json_output:
        raise UsageError(
            "--tree cannot be combined with --json, where each run has its parent.",
            "Use one of them.",
        )
    now = time.time()
    rows = list_runs(runs_dir)
    names = name_runs(rows)
    rows = named(rows, names)
    settings = setting_keys(rows)
    fields = _fields(columns, rows, settings)
    for term in terms or ():
        # Each argument is a query of its own: a quote cannot continue in the next argument.
        parse_query(term, settings)
    chosen = select(rows, parse_query(" ".join(terms or ()), settings, names.label), now)
    chosen = sort_rows(chosen, sort, now, settings, reverse=reverse)
    lines = tree_order(chosen) if tree else [(row, "") for row in chosen]
    shown = [row for row, _ in lines[:limit]]
    if json_output:
        say_json([row.as_json() for row in shown])
        return
    if not shown:
        none = f"None of the {len(rows)} runs in {runs_dir} matches."
        say(none if rows else f"No runs in {runs_dir}. Start one: tp loop shakespeare")
        return
    _print(lines[:limit], fields, now, is_chosen=columns is not None)
    if len(shown) < len(chosen):
        note(f"{len(chosen) - len(shown)} more runs not shown.")


def _fields(names: str | None, rows: Sequence[RunInfo], settings: set[str]) -> list[Field]:
    if names is None:
        fields = [FIELDS[key] for key in DEFAULT_COLUMNS]
        if any(FIELDS["name"].read(row, 0.0) for row in rows):
            fields.insert(1, FIELDS["name"])
        fields += [FIELDS["parent"]] if any(row.parent for row in rows) else []
        return [*fields, FIELDS["tag"]] if any(row.tags for row in rows) else fields
    fields = [find_field(name.strip(), settings) for name in names.split(",") if name.strip()]
    if not fields:
        raise UsageError("--columns is empty.", "For example: --columns run,status,val_loss")
    return fields


def _print(
    lines: Sequence[tuple[RunInfo, str]], fields: Sequence[Field], now: float, is_chosen: bool
) -> None:
    """Print runs, each with what stands before its id."""
    print_table(
        [
            Column(
                field.header,
                [
                    (tree if field.key == "run" else "") + field.text(row, now)
                    for row, tree in lines
                ],
                field.right_aligned,
                # Requested columns are never dropped for lack of width, nor are id and status.
                None if is_chosen or field.key in ("run", "status") else field.weight,
            )
            for field in fields
        ]
    )
    for row, _ in lines:
        if row.problem:
            problem = shortened(row.problem, _MAX_PROBLEM_LENGTH) if is_terminal() else row.problem
            say(visible_line(f"{row.run_id}: {problem}"))


COMMANDS = {"list": list_command}
