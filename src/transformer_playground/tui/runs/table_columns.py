"""Columns of the runs table, and the text and colour of their cells."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from rich.cells import cell_len

from transformer_playground.config.toml import shortened
from transformer_playground.formatting import age_text, loss_text, signed_text
from transformer_playground.runs.fields import FIELDS, Field, RunInfo, find_field
from transformer_playground.runs.remaining import max_minutes_of, progress_percent, remaining_of_run
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.sparkline import loss_curve
from transformer_playground.tui.shared.text import (
    STATE_ROLES,
    Role,
    progress_bar,
    state_glyph,
    title_lines,
)

SETTINGS_KEY = "settings"
"""Stands for a column for each setting that differs among the shown runs."""
HEADLINE = (
    "model.n_layer",
    "model.n_head",
    "model.n_embd",
    "model.block_size",
    "train.runtime.max_iters",
    "train.data.batch_size",
    "train.optim.optimizer",
    "train.optim.learning_rate",
    "train.runtime.seed",
    "model.positional_encoding",
    "model.norm",
    "model.activation",
    "model.dropout",
    "train.schedule.schedule",
)
"""Of the settings that are the same in all runs, these are told first."""
CURVE_CELLS = 10
MAX_WIDTH = 24

_BAR_CELLS = 6
_REASON_CELLS = 14
# Shorter headings than those of the fields.
_HEADERS = {
    "status": "state",
    "train_loss": "train",
    "val_loss": "val",
    "tokens_per_second": "tok/s",
}
# Columns of high weight stay where width is short; between these are the settings that differ.
_WEIGHTS = {
    "status": 90,
    "val_loss": 85,
    "delta": 80,
    "curve": 60,
    "tokens_per_second": 40,
    "age": 35,
    "tag": 30,
    "parent": 25,
}
# The first settings stay before the curve, all of them before speed, age and the like.
_SETTING_WEIGHT, _LATER_SETTING_WEIGHT = 75, 58
_FIRST_SETTINGS = 3
# Initial widths, as wide as the values usually get.
_WIDTHS = {
    "status": 5,
    "progress": _BAR_CELLS + 5,
    "step": 9,
    "train_loss": 6,
    "val_loss": 6,
    "tokens_per_second": 6,
}
# Fixed widths of columns whose values change often.
_FIXED = {"age": 4, "delta": 8, "curve": CURVE_CELLS}
_NOT_FINITE = re.compile(r"\b(nan|inf)\b.* at step ([\d,]+)")


class Column(NamedTuple):
    """One column of the table; `header` is safe to print.

    Attributes:
        key: A field, a setting by its dotted key, "progress", "curve", or "delta" (from the
            baseline).
        weight: Columns of low weight are left out first where width is short.
    """

    key: str
    header: str
    field: Field
    weight: int = 10

    @property
    def right_aligned(self) -> bool:
        return self.field.right_aligned and self.key != CURVE.key

    @property
    def least_width(self) -> int:
        """Width without any values."""
        return max(_WIDTHS.get(self.key, 0), 3)

    @property
    def fixed_width(self) -> int | None:
        """Width that does not depend on the values."""
        return _FIXED.get(self.key)


PROGRESS = Column("progress", "progress", FIELDS["step"])
DELTA = Column("delta", "Δ base", FIELDS["val_loss"], _WEIGHTS["delta"])
CURVE = Column("curve", "val loss", FIELDS["val_loss"], _WEIGHTS["curve"])
_SPECIAL = {column.key: column for column in (PROGRESS, DELTA, CURVE)}


def find_column(key: str, settings: Iterable[str] = ()) -> Column:
    """The column with this key.

    Raises:
        UsageError: There is no such field.
    """
    if key in _SPECIAL:
        return _SPECIAL[key]
    field = find_field(key, settings)
    header = visible_line(_HEADERS.get(field.key, field.header))
    return Column(field.key, header, field, _WEIGHTS.get(field.key, 10))


def setting_column(field: Field, header: str, place: int) -> Column:
    """Column of a setting that differs, the `place`-th most telling of them."""
    weight = _SETTING_WEIGHT if place < _FIRST_SETTINGS else _LATER_SETTING_WEIGHT
    return Column(field.key, visible_line(header), field, weight - min(place, 15))


def cell_text(
    row: RunInfo, column: Column, baseline: RunInfo | None, name: Callable[[str], str], now: float
) -> str:
    """The cell of a run, safe to print.

    Args:
        row: The run.
        column: Its column.
        baseline: The run that losses are compared with.
        name: What to call the run with an id.
        now: Unix time.
    """
    match column.key:
        case "status":
            return visible_line(progress_text(row))
        case "progress":
            return _bar(row)
        case "delta":
            if baseline is not None and baseline.run_id == row.run_id:
                return "baseline"
            difference = loss_difference(row, baseline)
            return "" if difference is None else signed_text(difference, loss_text)
        case "curve":
            return curve_text(row)
        case "parent":
            return visible_line(row.parent.text(name) if row.parent else "")
        case _:
            return visible_line(column.field.text(row, now)[: MAX_WIDTH * 4])


def cell_role(row: RunInfo, column: Column, baseline: RunInfo | None) -> Role:
    """Colour of a cell."""
    match column.key:
        case "status":
            return STATE_ROLES.get(row.state, "muted")
        case "progress":
            return "live" if row.state == "running" else "muted"
        case "delta":
            return difference_role(loss_difference(row, baseline))
        case "age" | "tag" | "experiment" | "created" | "updated" | "note" | "params" | "parent":
            return "muted"
        case _:
            return "value"


def loss_difference(row: RunInfo, baseline: RunInfo | None) -> float | None:
    """Validation loss minus that of another run, the baseline; None where it is not known."""
    if baseline is None or baseline.run_id == row.run_id:
        return None
    loss, reference = row.summary.val_loss, baseline.summary.val_loss
    return None if loss is None or reference is None else loss - reference


def difference_role(difference: float | None) -> Role:
    """A lower loss is good, a higher one bad."""
    if not difference:
        return "muted"
    return "good" if difference < 0 else "bad"


def progress_text(row: RunInfo) -> str:
    """State in one cell: glyph, then percent and time left, or why it failed (untrusted)."""
    glyph = state_glyph(row.state)
    if row.state == "finished":
        return glyph
    if row.state == "failed" and row.problem:
        return f"{glyph} {_reason(row.problem)}"
    percent = _percent(row, row.summary.step)
    if percent is None or row.state in ("queued", "preparing", "starting", "new", "broken"):
        return f"{glyph} {row.state}"
    left = remaining_of_run(row) if row.state == "running" else None
    return f"{glyph} {percent}%" + ("" if left is None else f" {age_text(left)}")


def _percent(row: RunInfo, step: int | None) -> int | None:
    return progress_percent(step, row.max_iters, row.summary.active_seconds, max_minutes_of(row))


def _reason(problem: str) -> str:
    """The start of a message; of a number that is not one, which and where."""
    found = _NOT_FINITE.search(problem)
    return f"{found[1]} @ {found[2]}" if found else shortened(problem, _REASON_CELLS)


def _bar(row: RunInfo) -> str:
    step = row.summary.step
    percent = _percent(row, step)
    if percent is None:
        return "" if step is None else f"{step:,}"
    return f"{''.join(progress_bar(percent, _BAR_CELLS))} {percent:3}%"


def curve_text(row: RunInfo) -> str:
    """Validation losses, as wide as the share of the run that is done."""
    percent = _percent(row, row.summary.eval_step)
    cells = CURVE_CELLS if percent is None else max(1, -(-percent * CURVE_CELLS // 100))
    return loss_curve(row.summary.val_curve.losses, row.summary.val_loss, cells)


def header_width(header: str) -> int:
    """Cells that a header in two lines needs."""
    return max(map(cell_len, title_lines(header, 0)))


def fitting(
    columns: list[tuple[Column, int]], space: int, gap: int, sort: str, *, by_weight: bool
) -> list[tuple[Column, int]]:
    """The columns that fit, in their order; the one that the table is sorted by is among them.

    Args:
        columns: With their widths.
        space: Cells.
        gap: Cells between two columns.
        sort: Key of the column to sort by.
        by_weight: Leave out the lightest columns instead of the last ones.
    """

    def urgency(pair: tuple[int, tuple[Column, int]]) -> tuple[bool, int, int]:
        place, (column, _) = pair
        return column.key != sort, -column.weight if by_weight else 0, place

    kept: dict[int, tuple[Column, int]] = {}
    for place, (column, width) in sorted(enumerate(columns), key=urgency):
        is_whole = column.right_aligned or column.fixed_width is not None
        least = width if is_whole else min(width, len(column.header))
        if space < least:
            # Nothing lighter takes the place of a setting that tells the runs apart.
            if by_weight and column.field.kind != "setting":
                continue
            break
        kept[place] = column, min(width, space)
        space -= width + gap
    return [kept[place] for place in sorted(kept)]


def constant_text(experiment: str | None, constant: Mapping[str, str], width: int) -> str:
    """What is the same in all runs, as much of it as fits, safe to print.

    Args:
        experiment: Their experiment, None if there are several.
        constant: Short name of a setting -> value, the most important first.
        width: Cells.
    """
    parts = [experiment] if experiment else []
    parts += [f"{name} {value}" for name, value in constant.items()]
    text = "same in all: "
    for place, part in enumerate(parts):
        longer = visible_line(part if not place else f" · {part}")
        if len(text) + len(longer) > width:
            break
        text += longer
    return text if parts else ""
