"""What the table of runs shows: which runs, in which order, in which columns, and each cell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from transformer_playground.errors import UsageError
from transformer_playground.formatting import loss_text, percent_done, signed_text
from transformer_playground.runs.fields import (
    FIELDS,
    GLYPHS,
    Field,
    RunInfo,
    find_field,
    setting_keys,
)
from transformer_playground.runs.query import Query, parse_query, select, sort_rows
from transformer_playground.terminal import visible_line

Role = Literal["value", "muted", "live", "good", "bad", "warn", "accent"]

DEFAULT_COLUMNS = (
    "status",
    "progress",
    "train_loss",
    "val_loss",
    "tokens_per_second",
    "age",
    "tag",
)
DEFAULT_SORT = "age"
_GLYPHS = {**GLYPHS, "paused": "‖", "queued": "◌", "preparing": "◌", "starting": "◌"}
_ROLES: Mapping[str, Role] = {
    "running": "live",
    "paused": "live",
    "preparing": "live",
    "starting": "live",
    "failed": "bad",
    "broken": "bad",
    "interrupted": "warn",
    "finished": "good",
}
# What people look for first at the top of such a column.
_LARGEST_FIRST = frozenset(
    {"progress", "step", "max_iters", "tokens_per_second", "params", "tokens_seen", "wall_time"}
    | {"created", "updated"}
)
_BAR_CELLS = 6
_WIDEST = 24
# A table has less room than the field's own heading takes.
_HEADERS = {"train_loss": "train", "val_loss": "val", "tokens_per_second": "tok/s"}
# A column of numbers is as wide from the start as its numbers usually get.
_WIDTHS = {
    "status": 10,
    "progress": _BAR_CELLS + 5,
    "step": 9,
    "train_loss": 6,
    "val_loss": 6,
    "tokens_per_second": 6,
}
# What changes all the time, or with the baseline.
_FIXED = {"age": 4, "delta": 7}


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        key: A field, a setting by its dotted key, "progress", or "delta" to the baseline.
        header: What stands above it, safe to print.
        field: What it shows.
    """

    key: str
    header: str
    field: Field

    @property
    def right_aligned(self) -> bool:
        """Whether its cells are aligned to the right."""
        return self.field.right_aligned


_PROGRESS = Column("progress", "progress", FIELDS["step"])
_DELTA = Column("delta", "Δ val", FIELDS["val_loss"])


def find_column(key: str, settings: Iterable[str] = ()) -> Column:
    """The column with this key.

    Raises:
        UsageError: There is none.
    """
    if key == _PROGRESS.key:
        return _PROGRESS
    field = find_field(key, settings)
    return Column(field.key, visible_line(_HEADERS.get(field.key, field.header)), field)


class RunsTableState:
    """The rows to show and how they look; knows nothing of a screen.

    Attributes:
        runs: Id -> row, as given.
        order: Ids of what passes the filter, in the order of the sort.
        baseline: The run that losses are measured against.
        filter_text: The filter as the user writes it.
        problem: Why it does not parse; the filter before it holds meanwhile.
        sort: Key of the column to sort by.
        downwards: Whether its largest value comes first.
    """

    def __init__(
        self,
        columns: Sequence[str] = DEFAULT_COLUMNS,
        sort: str = DEFAULT_SORT,
        downwards: bool = False,
    ) -> None:
        self.runs: Mapping[str, RunInfo] = {}
        self.order: tuple[str, ...] = ()
        self.baseline: str | None = None
        self.keys: tuple[str, ...] = tuple(columns)
        self.filter_text = ""
        self.problem = ""
        self.sort, self.downwards = sort, downwards
        self._query = Query()
        self._settings: frozenset[str] = frozenset()
        self._widths: dict[str, int] = {}
        self._measured: dict[str, dict[str, RunInfo]] = {}

    def take(self, runs: Mapping[str, RunInfo], now: float) -> bool:
        """Show these runs; False if they are the ones that are shown already."""
        old = self.runs
        # Rows that are equal stay the same objects, so that nothing of them is worked out again.
        kept = {
            run_id: old[run_id] if run_id in old and old[run_id] == row else row
            for run_id, row in runs.items()
        }
        is_same = all(row is old.get(run_id) for run_id, row in kept.items())
        if is_same and list(kept) == list(old):
            return False
        self.runs = kept
        self._settings = frozenset(setting_keys(kept.values()))
        self.arrange(now)
        return True

    def replace(self, row: RunInfo) -> bool:
        """Show a newer row of a run where it stands until the next `take`; False if it is old."""
        if self.runs.get(row.run_id) == row or row.run_id not in self.runs:
            return False
        self.runs = {**self.runs, row.run_id: row}
        return True

    def filter(self, text: str, now: float) -> None:
        """Show only what a filter asks for; one that does not parse changes `problem` alone."""
        self.filter_text = text
        settings = self._settings
        before = self._query
        try:
            self._query = parse_query(text, settings)
            self.problem = ""
        except UsageError as error:
            self.problem = str(error)
            return
        self.arrange(now)
        if not self.order and _is_unfinished(text, settings):
            # Nobody wants to see every run vanish while "val_loss<1.9" is only "val_lo".
            self._query = before
            self.arrange(now)

    def sort_by(self, key: str, now: float) -> None:
        """Sort by a column; by the same one once more, the other way round."""
        self.downwards = not self.downwards if key == self.sort else key in _LARGEST_FIRST
        self.sort = key
        self.arrange(now)

    def sort_by_next(self, now: float) -> None:
        """Sort by the column after the one that is sorted by."""
        keys = ["run", *self.keys]
        place = keys.index(self.sort) + 1 if self.sort in keys else 0
        self.sort = ""
        self.sort_by(keys[place % len(keys)], now)

    def choose_columns(self, keys: Sequence[str], now: float) -> None:
        """Show these columns beside the run's id."""
        self.keys = tuple(key for key in dict.fromkeys(keys) if key != "run")
        self._widths, self._measured = {}, {}
        self.arrange(now)

    def arrange(self, now: float) -> None:
        """Filter and sort anew."""
        chosen = select(self.runs.values(), self._query, now)
        key = _PROGRESS.field.key if self.sort == _PROGRESS.key else self.sort
        try:
            chosen = sort_rows(chosen, key, now, self._settings, reverse=self.downwards)
        except UsageError:
            # A setting that no run has any more.
            self.sort, self.downwards = DEFAULT_SORT, False
            chosen = sort_rows(chosen, DEFAULT_SORT, now)
        first = [row for row in chosen if row.run_id == self.baseline]
        rest = [row for row in chosen if row.run_id != self.baseline]
        self.order = tuple(row.run_id for row in (*first, *rest))

    def columns(self) -> list[Column]:
        """The columns behind the run's id; deltas follow the loss once a baseline is pinned."""
        found: list[Column] = []
        for key in self.keys:
            try:
                found.append(find_column(key, self._settings))
            except UsageError:
                continue
            if key == "val_loss" and self.baseline in self.runs:
                found.append(_DELTA)
        return [column for column in found if column.key != "tag" or self._has_tags()]

    def width(self, column: Column, now: float) -> int:
        """Cells that a column needs; it never shrinks, so that nothing jumps about."""
        if column.key in _FIXED:
            return _FIXED[column.key]
        measured = self._measured.setdefault(column.key, {})
        least = max(_WIDTHS.get(column.key, 0), len(column.header) + 1)
        width = max(least, self._widths.get(column.key, 0))
        for run_id in self.order:
            row = self.runs[run_id]
            if measured.get(run_id) is not row:
                measured[run_id] = row
                width = max(width, len(self.text(run_id, column, now)))
        self._widths[column.key] = min(width, _WIDEST)
        return self._widths[column.key]

    def text(self, run_id: str, column: Column, now: float) -> str:
        """The cell of a run, safe to print."""
        row = self.runs[run_id]
        match column.key:
            case "status":
                return visible_line(f"{_GLYPHS.get(row.state, '?')} {row.state}")
            case "progress":
                return _progress(row)
            case "delta":
                return self._delta(row)
            case _:
                return visible_line(column.field.text(row, now)[: _WIDEST * 4])

    def role(self, run_id: str, column: Column) -> Role:
        """How a cell is set off."""
        row = self.runs[run_id]
        match column.key:
            case "status":
                return _ROLES.get(row.state, "muted")
            case "progress":
                return "live" if row.state == "running" else "muted"
            case "delta":
                return self._delta_role(row)
            case "age" | "tag" | "experiment" | "created" | "updated" | "note" | "params":
                return "muted"
            case _:
                return "value"

    def _delta(self, row: RunInfo) -> str:
        difference = self._difference(row)
        return "" if difference is None else signed_text(difference, loss_text)

    def _delta_role(self, row: RunInfo) -> Role:
        difference = self._difference(row)
        if not difference:
            return "muted"
        return "good" if difference < 0 else "bad"

    def _difference(self, row: RunInfo) -> float | None:
        baseline = self.runs.get(self.baseline) if self.baseline else None
        if baseline is None or baseline is row:
            return None
        loss, reference = row.summary.val_loss, baseline.summary.val_loss
        return None if loss is None or reference is None else loss - reference

    def _has_tags(self) -> bool:
        return any(row.tags for row in self.runs.values())


def _is_unfinished(text: str, settings: Iterable[str]) -> bool:
    """Whether the filter ends in what may become the name of a field."""
    last = text.rsplit(" ", maxsplit=1)[-1].removeprefix("-").casefold()
    return bool(last) and any(key.startswith(last) for key in (*FIELDS, *settings))


def _progress(row: RunInfo) -> str:
    step = row.summary.step
    percent = percent_done(step, row.max_iters)
    if percent is None:
        return "" if step is None else f"{step:,}"
    filled = percent * _BAR_CELLS // 100
    return f"{'━' * filled}{'╌' * (_BAR_CELLS - filled)} {percent:3}%"
