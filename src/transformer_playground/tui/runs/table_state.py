"""State of the runs table: filter, order, columns and the text of each cell."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from transformer_playground.errors import UsageError
from transformer_playground.formatting import loss_text, percent_done, signed_text
from transformer_playground.runs.fields import FIELDS, Field, RunInfo, find_field, setting_keys
from transformer_playground.runs.query import Query, parse_query, select, sort_rows
from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import STATE_ROLES, Role, state_text

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
# Columns that sort the largest value first.
_LARGEST_FIRST = frozenset(
    {"progress", "step", "max_iters", "tokens_per_second", "params", "tokens_seen", "wall_time"}
    | {"created", "updated"}
)
_BAR_CELLS = 6
_MAX_WIDTH = 24
# Shorter headings than those of the fields.
_HEADERS = {"train_loss": "train", "val_loss": "val", "tokens_per_second": "tok/s"}
# Initial widths, as wide as the values usually get.
_WIDTHS = {
    "status": 10,
    "progress": _BAR_CELLS + 5,
    "step": 9,
    "train_loss": 6,
    "val_loss": 6,
    "tokens_per_second": 6,
}
# Fixed widths of columns whose values change often.
_FIXED = {"age": 4, "delta": 7}


@dataclass(frozen=True)
class Column:
    """One column of the table; `header` is safe to print.

    Attributes:
        key: A field, a setting by its dotted key, "progress", or "delta" (from the baseline).
    """

    key: str
    header: str
    field: Field

    @property
    def right_aligned(self) -> bool:
        return self.field.right_aligned


_PROGRESS = Column("progress", "progress", FIELDS["step"])
_DELTA = Column("delta", "Δ val", FIELDS["val_loss"])


def find_column(key: str, settings: Iterable[str] = ()) -> Column:
    """The column with this key.

    Raises:
        UsageError: There is no such field.
    """
    if key == _PROGRESS.key:
        return _PROGRESS
    field = find_field(key, settings)
    return Column(field.key, visible_line(_HEADERS.get(field.key, field.header)), field)


class RunsTableState:
    """Rows, columns and cells of the runs table, without a widget.

    Attributes:
        order: Ids of the runs that match the filter, sorted.
        baseline: The run that losses are compared with.
        filter_text: The filter as the user typed it.
        problem: Why it does not parse; the previous filter stays active meanwhile.
        sort: Key of the column to sort by, one of `columns()` or "run".
        downwards: Whether the largest value comes first.
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
        """Replace the runs; returns False if they are the same as before."""
        old = self.runs
        # Equal rows stay the same objects, so that their widths are not measured again.
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
        """Update a run without sorting again; returns False if nothing changed."""
        if self.runs.get(row.run_id) == row or row.run_id not in self.runs:
            return False
        self.runs = {**self.runs, row.run_id: row}
        return True

    def filter(self, text: str, now: float) -> None:
        """Apply a filter; one that does not parse changes only `problem`."""
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
            # The rows must not disappear while the user has typed only "val_lo" of "val_loss<1.9".
            self._query = before
            self.arrange(now)

    def sort_by(self, key: str, now: float) -> None:
        """Sort by a column; the same column again reverses the order."""
        self.downwards = not self.downwards if key == self.sort else key in _LARGEST_FIRST
        self.sort = key
        self.arrange(now)

    def sort_by_next(self, now: float) -> None:
        keys = ["run", *(column.key for column in self.columns() if column is not _DELTA)]
        place = keys.index(self.sort) + 1 if self.sort in keys else 0
        self.sort = ""
        self.sort_by(keys[place % len(keys)], now)

    def choose_columns(self, keys: Sequence[str], now: float) -> None:
        self.keys = tuple(key for key in dict.fromkeys(keys) if key != "run")
        self._widths, self._measured = {}, {}
        self.arrange(now)

    def arrange(self, now: float) -> None:
        """Filter and sort the runs; the sort column is one that is shown."""
        chosen = select(self.runs.values(), self._query, now)
        shown = {column.key: column.field.key for column in self.columns()} | {"run": "run"}
        if self.sort not in shown and self.runs:
            self.sort, self.downwards = (DEFAULT_SORT if DEFAULT_SORT in shown else "run"), False
        key = shown.get(self.sort, DEFAULT_SORT)
        chosen = sort_rows(chosen, key, now, self._settings, reverse=self.downwards)
        first = [row for row in chosen if row.run_id == self.baseline]
        rest = [row for row in chosen if row.run_id != self.baseline]
        self.order = tuple(row.run_id for row in (*first, *rest))

    def columns(self) -> list[Column]:
        """The columns after the run id; with a baseline the loss has a delta column."""
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
        """Width of a column; it never shrinks, so that the table does not jump."""
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
        self._widths[column.key] = min(width, _MAX_WIDTH)
        return self._widths[column.key]

    def text(self, run_id: str, column: Column, now: float) -> str:
        """The cell of a run, safe to print."""
        row = self.runs[run_id]
        match column.key:
            case "status":
                return state_text(row.state)
            case "progress":
                return _progress(row)
            case "delta":
                difference = self._delta(row)
                return "" if difference is None else signed_text(difference, loss_text)
            case _:
                return visible_line(column.field.text(row, now)[: _MAX_WIDTH * 4])

    def role(self, run_id: str, column: Column) -> Role:
        row = self.runs[run_id]
        match column.key:
            case "status":
                return STATE_ROLES.get(row.state, "muted")
            case "progress":
                return "live" if row.state == "running" else "muted"
            case "delta":
                return difference_role(self._delta(row))
            case "age" | "tag" | "experiment" | "created" | "updated" | "note" | "params":
                return "muted"
            case _:
                return "value"

    def _delta(self, row: RunInfo) -> float | None:
        baseline = self.runs.get(self.baseline) if self.baseline else None
        return loss_difference(row, baseline)

    def _has_tags(self) -> bool:
        return any(row.tags for row in self.runs.values())


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


def _is_unfinished(text: str, settings: Collection[str]) -> bool:
    """Whether the filter ends in the start of a field name."""
    last = text.rsplit(" ", maxsplit=1)[-1].removeprefix("-").casefold()
    names = (*FIELDS, *settings, *(key.rpartition(".")[2] for key in settings))
    return bool(last) and any(name.startswith(last) for name in names)


def _progress(row: RunInfo) -> str:
    step = row.summary.step
    percent = percent_done(step, row.max_iters)
    if percent is None:
        return "" if step is None else f"{step:,}"
    filled = percent * _BAR_CELLS // 100
    return f"{'━' * filled}{'╌' * (_BAR_CELLS - filled)} {percent:3}%"
