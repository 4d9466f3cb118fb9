"""State of the runs table: filter, order, names and columns of the runs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from transformer_playground.errors import UsageError
from transformer_playground.runs.fields import (
    FIELDS,
    RunInfo,
    setting_field,
    setting_keys,
    setting_text,
)
from transformer_playground.terminal import visible_line
from transformer_playground.tui.runs.table_columns import (
    CURVE,
    DELTA,
    HEADLINE,
    MAX_WIDTH,
    SETTINGS_KEY,
    Column,
    cell_role,
    cell_text,
    find_column,
    setting_column,
)
from transformer_playground.tui.shared.text import Role

if TYPE_CHECKING:
    from transformer_playground.runs.naming import RunNames
    from transformer_playground.runs.query import Query

DEFAULT_COLUMNS = (
    "status",
    SETTINGS_KEY,
    "val_loss",
    CURVE.key,
    "tokens_per_second",
    "params",
    "age",
    "parent",
    "tag",
)
FORMER_COLUMNS = (
    "status",
    "progress",
    "train_loss",
    "val_loss",
    "tokens_per_second",
    "age",
    "tag",
)
"""Default of earlier versions, which a settings file may have although nobody chose it."""
DEFAULT_SORT = "age"
# Those that are wanted most, so that each is few presses of the key away.
_FIRST_SORTS = (DEFAULT_SORT, "val_loss")
# Columns that sort the largest value first.
_LARGEST_FIRST = frozenset(
    {"progress", "step", "max_iters", "tokens_per_second", "params", "tokens_seen", "wall_time"}
    | {"created", "updated"}
)
# Of more runs only so many are measured or named, so that a key press does not wait.
_MOST_MEASURED, _MOST_NAMED = 500, 2_000
# Attributes of a run that decide which columns there are, and what runs are called.
_ARRANGED_BY = ("settings", "tags", "parent", "experiment", "state")


class RunsTableState:
    """Rows, columns and cells of the runs table, without a widget.

    Attributes:
        order: Ids of the runs that match the filter, sorted.
        baseline: The run that losses are compared with.
        filter_text: The filter as the user typed it.
        problem: Why it does not parse; the previous filter stays active meanwhile.
        sort: Key of the column to sort by, "run" for the name; see `sorted_by`.
        downwards: Whether the largest value comes first.
        is_tree: Whether branches stand below the run that they started from.
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
        self.is_tree = False
        # None until there is a filter; names until there are runs.
        self._query: Query | None = None
        self._settings: frozenset[str] = frozenset()
        self._all_names: RunNames | None = None
        self._names: RunNames | None = None
        # What the names of the shown runs were made of.
        self._named: tuple[RunNames | None, frozenset[str]] = (None, frozenset())
        self._telling: tuple[str, ...] = ()
        self._lines: Mapping[str, str] = {}
        self._columns: tuple[Column, ...] = ()
        self._widths: dict[str, int] = {}
        self._measured: dict[str, dict[str, RunInfo]] = {}
        # False once a row that was replaced may belong elsewhere.
        self._is_arranged = True

    def take(
        self, runs: Mapping[str, RunInfo], now: float, names: "RunNames | None" = None
    ) -> bool:
        """Replace the runs; returns False if they are the same as before.

        Args:
            runs: All runs by id.
            now: Unix time.
            names: What differs between them, if that is known.
        """
        old = self.runs
        # Equal rows stay the same objects, so that their widths are not measured again.
        equal = {
            run_id: known
            for run_id, row in runs.items()
            if (known := old.get(run_id)) is not row and known == row
        }
        kept = {**runs, **equal}
        changed = [row for run_id, row in kept.items() if old.get(run_id) is not row]
        is_same = list(kept) == list(old)
        is_arranged = is_same and self._is_arranged
        if is_arranged and not changed:
            return False
        self.runs = kept
        if not is_same or any(old[row.run_id].settings != row.settings for row in changed):
            self._settings = frozenset(setting_keys(kept.values()))
        if names is None:
            from transformer_playground.runs.naming import name_runs

            names = name_runs(kept.values(), self._all_names)
        is_arranged &= names is self._all_names
        self._all_names = names
        if not is_arranged or any(self._moves(old[row.run_id], row) for row in changed):
            self.arrange(now)
        return True

    def _moves(self, before: RunInfo, after: RunInfo) -> bool:
        """Whether a change of a run may change the rows, their order or the columns."""
        if self._query is not None or self.is_tree:
            return True
        if any(getattr(before, each) != getattr(after, each) for each in _ARRANGED_BY):
            return True
        key = self.sorted_by[0]
        fields = [each.field for each in self._columns if each.key == key]
        return any(field.value(before, 0.0) != field.value(after, 0.0) for field in fields)

    def replace(self, row: RunInfo) -> bool:
        """Update a run without sorting again; returns False if nothing changed."""
        before = self.runs.get(row.run_id)
        if before is None or before == row:
            return False
        self._is_arranged &= not self._moves(before, row)
        self.runs = {**self.runs, row.run_id: row}
        return True

    def filter(self, text: str, now: float) -> None:
        """Apply a filter; one that does not parse changes only `problem`."""
        from transformer_playground.runs.query import parse_query

        self.filter_text = text
        settings = self._settings
        before = self._query
        try:
            self._query = parse_query(text, settings, self._label)
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
        before, downwards = self.sorted_by
        self.downwards = not downwards if key == before else key in _LARGEST_FIRST
        self.sort = key
        self.arrange(now)

    def sort_by_next(self, now: float, shown: Collection[str] | None = None) -> None:
        """Sort by age, then by the validation loss, then by the name and the other columns.

        Curve and difference have the order of the loss.

        Args:
            now: Unix time.
            shown: Keys of the columns that are on the screen; None for all.
        """
        columns = (each for each in self._columns if each not in (DELTA, CURVE))
        found = ["run", *(each.key for each in columns if shown is None or each.key in shown)]
        first = [key for key in _FIRST_SORTS if key in found]
        keys = [*first, *(key for key in found if key not in first)]
        place = keys.index(self.sorted_by[0]) + 1 if self.sorted_by[0] in keys else 0
        self.sort_by(keys[place % len(keys)], now)

    def choose_columns(self, keys: Sequence[str], now: float) -> None:
        self.keys = tuple(key for key in dict.fromkeys(keys) if key != "run")
        self._widths, self._measured = {}, {}
        self.arrange(now)

    def arrange(self, now: float) -> None:
        """Filter and sort the runs."""
        self._is_arranged = True
        # Without runs, as in the first frame, the code of queries is not loaded.
        chosen = self._chosen(now) if self.runs else []
        self._name_shown(frozenset(row.run_id for row in chosen))
        self._columns = tuple(self._find_columns())
        # A setting that the shown runs share has no column; another filter brings it back.
        is_kept = SETTINGS_KEY in self.keys and self.sort in self._settings
        if self.runs and self.sorted_by[0] != self.sort and not is_kept:
            self.sort, self.downwards = self.sorted_by
        key, downwards = self.sorted_by
        if key == "run" and chosen:
            self._sort_by_name(chosen, downwards)
        elif chosen:
            from transformer_playground.runs.query import sort_rows

            field = next((each.field.key for each in self._columns if each.key == key), key)
            chosen = sort_rows(chosen, field, now, self._settings, reverse=downwards)
        if self.is_tree:
            from transformer_playground.runs.lineage import tree_order

            self._lines = {row.run_id: lines for row, lines in tree_order(chosen)}
            self.order = tuple(self._lines)
            return
        order = [row.run_id for row in chosen]
        if self.baseline in order:
            order.remove(self.baseline)
            order.insert(0, self.baseline)
        self._lines, self.order = {}, tuple(order)

    def _sort_by_name(self, rows: list[RunInfo], downwards: bool) -> None:
        from transformer_playground.runs.labels import name_order

        rows.sort(key=lambda row: name_order(self.name(row.run_id)), reverse=downwards)

    def _chosen(self, now: float) -> list[RunInfo]:
        if self._query is None:
            return list(self.runs.values())
        from transformer_playground.runs.query import select

        return select(self.runs.values(), self._query, now)

    def _name_shown(self, run_ids: frozenset[str]) -> None:
        """Find what differs among the shown runs, unless they are the same as before."""
        if self._all_names is not None and self._named != (self._all_names, run_ids):
            self._named = self._all_names, run_ids
            self._names = self._all_names.among(each for each in self.runs if each in run_ids)
            self._telling = self._rank_settings(run_ids)

    def _rank_settings(self, run_ids: frozenset[str]) -> tuple[str, ...]:
        """The settings that vary among the shown runs, the most telling first."""
        varying = self._names.varying if self._names else ()
        if len(varying) < 2:
            return varying
        from transformer_playground.runs.naming import most_telling

        rows = [row for run_id, row in self.runs.items() if run_id in run_ids and row.settings]
        rows = rows[:: len(rows) // _MOST_MEASURED + 1]
        return most_telling(varying, ((row.settings, row.state == "failed") for row in rows))

    def _find_columns(self) -> Iterator[Column]:
        has_baseline = self.baseline in self.runs
        for key in self.keys:
            if key == SETTINGS_KEY:
                yield from self._setting_columns()
                continue
            if key == "tag" and not any(row.tags for row in self.runs.values()):
                continue
            if key == "parent" and not any(row.parent for row in self.runs.values()):
                continue
            try:
                yield find_column(key, self._settings)
            except UsageError:
                continue
            if key == "val_loss" and has_baseline:
                yield DELTA

    def _setting_columns(self) -> Iterator[Column]:
        if self._names is None:
            return
        from transformer_playground.runs.naming import setting_headers

        keys = [key for key in self._telling if key not in self.keys]
        headers = setting_headers(keys)
        for place, key in enumerate(keys):
            yield setting_column(setting_field(key), headers[key], place)

    def columns(self) -> tuple[Column, ...]:
        """The columns after the name; with a baseline the loss has a column of differences."""
        return self._columns

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """Key of the shown column that the rows are sorted by, and whether downwards."""
        shown = {"run", *(column.key for column in self._columns)}
        if self.sort in shown:
            return self.sort, self.downwards
        return (DEFAULT_SORT if DEFAULT_SORT in shown else "run"), False

    @property
    def sort_title(self) -> str:
        """The order of the rows in words, such as "age ↑"."""
        headers = {column.key: column.header for column in self._columns}
        key, downwards = self.sorted_by
        order = f"{headers.get(key, key)} {'↓' if downwards else '↑'}"
        return f"{order}, branches below their run" if self.is_tree else order

    @property
    def has_own_columns(self) -> bool:
        """Whether the user has chosen them: then their order says which matter most."""
        return self.keys != DEFAULT_COLUMNS

    def name(self, run_id: str) -> str:
        """What to call a run, safe to print; of many runs the name does not follow the filter."""
        names = self._names_of(run_id)
        return visible_line(names.label(run_id) if names else run_id)

    def short_name(self, run_id: str, width: int) -> str:
        """The name in about `width` cells, without the settings that tell least."""
        names = self._names_of(run_id)
        return visible_line(names.short(run_id, width) if names else run_id)

    def _names_of(self, run_id: str) -> "RunNames | None":
        is_shown = run_id in self._named[1] and len(self._named[1]) <= _MOST_NAMED
        return self._names if is_shown else self._all_names

    def _label(self, run_id: str) -> str:
        # Looked up when the query is used: names change as runs are added.
        return self._all_names.label(run_id) if self._all_names else run_id

    def lines(self, run_id: str) -> str:
        """Lines of the tree before the name of a branch."""
        return self._lines.get(run_id, "")

    @property
    def constants(self) -> tuple[str | None, Mapping[str, str]]:
        """Experiment and settings that are the same in all shown runs, by their short names."""
        shown = self._named[1]
        if len(shown) < 2 or self._names is None:
            return None, {}
        from transformer_playground.runs.naming import setting_headers

        known = (self.runs[run_id] for run_id in shown if run_id in self.runs)
        rows = (row for row in known if row.settings)
        first = next(rows, None)
        experiment = first.experiment if first else None
        is_one = all(row.experiment == experiment for row in rows)
        constant = self._names.constant
        keys = [key for key in HEADLINE if key in constant]
        headers = setting_headers(keys)
        values = {headers[key]: setting_text(constant[key]) for key in keys}
        return (experiment if is_one else None), values

    def sample(self) -> tuple[str, ...]:
        """The shown runs, or evenly spaced ones of many, to measure the table by."""
        return self.order[:: len(self.order) // _MOST_MEASURED + 1]

    def width(self, column: Column, now: float) -> int:
        """Width of a column's values; it never shrinks, so that the table does not jump."""
        if column.fixed_width is not None:
            return column.fixed_width
        measured = self._measured.setdefault(column.key, {})
        width = max(column.least_width, self._widths.get(column.key, 0))
        for run_id in self.sample():
            row = self.runs[run_id]
            if measured.get(run_id) is not row:
                measured[run_id] = row
                width = max(width, len(self.text(run_id, column, now)))
        self._widths[column.key] = min(width, MAX_WIDTH)
        return self._widths[column.key]

    def text(self, run_id: str, column: Column, now: float) -> str:
        """The cell of a run, safe to print."""
        return cell_text(self.runs[run_id], column, self._baseline, self._label, now)

    def role(self, run_id: str, column: Column) -> Role:
        return cell_role(self.runs[run_id], column, self._baseline)

    @property
    def _baseline(self) -> RunInfo | None:
        return self.runs.get(self.baseline) if self.baseline else None


def _is_unfinished(text: str, settings: Collection[str]) -> bool:
    """Whether the filter ends in the start of a field name."""
    last = text.rsplit(" ", maxsplit=1)[-1].removeprefix("-").casefold()
    names = (*FIELDS, *settings, *(key.rpartition(".")[2] for key in settings))
    return bool(last) and any(name.startswith(last) for name in names)
