"""`tp runs`."""

import dataclasses
import time

from transformer_playground.cli.console import print_table, say, say_json
from transformer_playground.cli.options import RUNS_DIR, AsJson, RunsDir
from transformer_playground.runs.listing import RunRow, list_runs
from transformer_playground.terminal import visible_line

_COLUMNS = ("run", "status", "step", "val loss", "tokens/s", "params", "age")
_GLYPHS = {
    "running": "▶",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "interrupted": "!",
    "new": "·",
    "broken": "?",
}
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def runs(runs_dir: RunsDir = RUNS_DIR, json_output: AsJson = False) -> None:
    """List the runs, newest first."""
    rows = list_runs(runs_dir)
    if json_output:
        say_json([dataclasses.asdict(row) for row in rows])
        return
    if not rows:
        say(f"No runs in {runs_dir}. Make one: tp loop shakespeare")
        return
    print_table(_COLUMNS, [_cells(row) for row in rows], numbers=5)
    for row in rows:
        if row.problem:
            say(visible_line(f"{row.run_id}: {row.problem}"))


def _cells(row: RunRow) -> tuple[str, ...]:
    step = "" if row.step is None else f"{row.step:,}"
    if row.step is not None and row.max_iters is not None:
        step = f"{row.step:,}/{row.max_iters:,}"
    return (
        row.run_id,
        f"{_GLYPHS.get(row.state, '?')} {row.state}",
        step,
        "" if row.best_val_loss is None else f"{row.best_val_loss:.4f}",
        "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
        "" if row.parameters is None else f"{row.parameters:,}",
        "" if row.created is None else _age(time.time() - row.created),
    )


def _age(seconds: float) -> str:
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"
