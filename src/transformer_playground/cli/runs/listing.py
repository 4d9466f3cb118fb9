"""`tp runs list`."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from transformer_playground.cli.options import AsJson, RunsDir
from transformer_playground.cli.output import is_terminal, note, print_table, say, say_json
from transformer_playground.cli.runs.moving import print_deleted
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
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.query import parse_query, select, sort_rows
from transformer_playground.tables import Column
from transformer_playground.terminal import visible_line

_LONGEST_PROBLEM = 300

Filter = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILTER]...",
        help="Terms that must all hold, such as 'status:running val_loss<1.9 "
        "model.norm=rmsnorm word'; -TERM negates. Put them in quotes: shells obey < and >.",
    ),
]
Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="FIELD[,FIELD]",
        help="Sort by fields or settings; -FIELD puts its largest value first.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="FIELD,FIELD", help="What to show: fields or settings."),
]


def list_command(
    terms: Filter = None,
    sort: Sort = "-created",
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn the order round.")] = False,
    columns: Columns = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Show the first N at most.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="List the trash instead.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """List runs, the newest first.

    Fields: run status experiment step max_iters best_val_loss best_step val_loss train_loss
    bits_per_byte tokens_per_second params tokens_seen wall_time seed age created updated tag note
    problem, and every setting by its dotted key. Numbers may end in k, M, B, durations in s, m, h,
    d, w.
    """
    if deleted:
        if terms or columns or limit or reverse or sort != "-created":
            raise UsageError(
                "--deleted takes no filter, sort, columns or limit.", "Leave them out."
            )
        print_deleted(runs_dir, json_output)
        return
    if columns is not None and json_output:
        raise UsageError("--columns is for the table; --json has everything.", "Use one of them.")
    now = time.time()
    rows = list_runs(runs_dir)
    settings = setting_keys(rows)
    fields = _fields(columns, rows, settings)
    # One word of the command line holds one filter or more; none runs on into the next.
    chosen = rows
    for term in terms or ():
        chosen = select(chosen, parse_query(term, settings), now)
    chosen = sort_rows(chosen, sort, now, settings, reverse=reverse)
    shown = chosen[:limit]
    if json_output:
        say_json([row.as_json() for row in shown])
        return
    if not shown:
        _say_nothing_is_there(runs_dir, rows)
        return
    _print(shown, fields, now, is_chosen=columns is not None)
    if len(shown) < len(chosen):
        note(f"{len(chosen) - len(shown)} more.")


def _fields(names: str | None, rows: Sequence[RunInfo], settings: set[str]) -> list[Field]:
    if names is None:
        fields = [FIELDS[key] for key in DEFAULT_COLUMNS]
        return [*fields, FIELDS["tag"]] if any(row.tags for row in rows) else fields
    fields = [find_field(name.strip(), settings) for name in names.split(",") if name.strip()]
    if not fields:
        raise UsageError("No column is named.", "For example: --columns run,status,val_loss")
    return fields


def _say_nothing_is_there(runs_dir: object, rows: Sequence[RunInfo]) -> None:
    if rows:
        say(f"None of the {len(rows)} runs in {runs_dir} fits.")
    else:
        say(f"No runs in {runs_dir}. Make one: tp loop shakespeare")


def _print(rows: Sequence[RunInfo], fields: Sequence[Field], now: float, is_chosen: bool) -> None:
    print_table(
        [
            Column(
                field.header,
                [field.text(row, now) for row in rows],
                field.right_aligned,
                # What was asked for stays; without an id no row says what it is about.
                None if is_chosen or field.key in ("run", "status") else field.weight,
            )
            for field in fields
        ]
    )
    for row in rows:
        if row.problem:
            problem = shortened(row.problem, _LONGEST_PROBLEM) if is_terminal() else row.problem
            say(visible_line(f"{row.run_id}: {problem}"))
