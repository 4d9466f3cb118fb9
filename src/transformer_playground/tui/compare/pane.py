"""Comparison pane: verdict and leaderboard with problems and notes, and the loss curves."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from transformer_playground.comparison.compare import Comparison
from transformer_playground.comparison.leaderboard import (
    SIGNS,
    Entry,
    NameOf,
    column_name,
    leaderboard,
    name_by_settings,
    sentence,
    signs_in,
)
from transformer_playground.formatting import loss_text
from transformer_playground.runs.folder import generated_suffix
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.series import AXIS_TITLES, ChartLine
from transformer_playground.tui.charts.sparkline import loss_curve
from transformer_playground.tui.compare.pane_texts import PaneTexts
from transformer_playground.tui.compare.service import Compared
from transformer_playground.tui.compare.table import ComparisonTable
from transformer_playground.tui.compare.table_state import (
    BEST,
    CURVE_CELLS,
    MAX_WIDTH,
    Row,
    RowCell,
    TableColumn,
    row_cells,
)
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.live.chart_series import set_back
from transformer_playground.tui.live.quantities import LEFT_OUT
from transformer_playground.tui.live.run_styles import muted_colour
from transformer_playground.tui.sample.form import run_text
from transformer_playground.tui.shared.text import shorten_name
from transformer_playground.tui.themes import series_of

_MUTED = "$text-muted"


def hint(context: AppContext, problems: Iterable[str]) -> Content:
    """Problems of the selected runs, and how to select runs."""
    chosen = context.workspace.chosen()
    lines = problem_lines(problems)
    if chosen:
        names = Content("  ").join(run_text(context, Source(run_id, "")) for run_id in chosen)
        what = "selected: " if context.workspace.selected else "under the cursor: "
        lines += [Content.assemble((what, _MUTED), names), Content("")]
    pick, runs = (
        key_hint("compare.mark", context.keymap),
        key_hint("everywhere.runs", context.keymap),
    )
    select, pin = key_hint("runs.mark", context.keymap), key_hint("runs.pin", context.keymap)
    lines += [
        Content("A comparison needs at least two runs."),
        Content(""),
        Content.assemble((pick, "$accent"), (" adds a run here", _MUTED)),
        Content.assemble(
            ("in Runs (", _MUTED),
            (runs, "$accent"),
            (") ", _MUTED),
            (select, "$accent"),
            (" selects a run, ", _MUTED),
            (pin, "$accent"),
            (" sets the baseline", _MUTED),
        ),
    ]
    return Content("\n").join(lines)


def problem_lines(problems: Iterable[str]) -> list[Content]:
    """One line per problem; untrusted text."""
    return [Content.styled(f"✗ {visible_line(problem)}", "$error") for problem in problems]


_MEANINGS = {"better": "better", "worse": "worse", "unclear": "not distinguishable"}


class ComparisonPane(Vertical):
    """Verdict, leaderboard, problems and notes."""

    def __init__(self) -> None:
        super().__init__(id="compare-pane", classes="compare-pane pane")
        self._texts = PaneTexts("")

    def compose(self) -> ComposeResult:
        yield Static(id="compare-verdict", markup=False)
        yield ComparisonTable()
        yield Static(id="compare-cell", markup=False)
        yield Static(id="compare-notes", markup=False)

    @property
    def row_key(self) -> str | None:
        """Id of the run under the cursor."""
        return self.query_one(ComparisonTable).row_key

    def show(
        self,
        context: AppContext,
        compared: Compared,
        comparison: Comparison,
        removed: Sequence[str] = (),
    ) -> None:
        """Show a comparison; `removed` has one message per removed run."""
        name_of = _namer(context, comparison)
        board = leaderboard(comparison, name_of)
        rows = [_row(context, entry) for entry in board.entries]
        curves = [_curve(entry) for entry in board.entries]
        self.query_one(ComparisonTable).show(board, rows, curves)
        self.border_title = _title(context, comparison, name_of)
        meanings = [f"{SIGNS[sign]} {_MEANINGS[sign]}" for sign in signs_in(board)]
        self.border_subtitle = Content(" · ".join([*meanings, f"{BEST} lowest"]))
        test = key_hint("compare.test", context.keymap)
        hint = f"{test} tests them on the whole validation split"
        self._texts = PaneTexts(
            visible_line(sentence(comparison, name_of, hint)),
            tuple(map(visible_line, [*removed, *compared.problems.values()])),
            tuple(
                visible_line(_with_names(note, context, comparison)) for note in comparison.notes
            ),
        )

    def fit(self, width: int, most: int) -> int:
        """Show what is said about the rows, and no more of it than leaves them their space.

        Args:
            width: With its borders.
            most: Most lines, those of its borders included.

        Returns:
            The lines it needs.
        """
        table = self.query_one(ComparisonTable)
        # Borders, and the line of the cell under the cursor.
        others = len(table.rows) + table.header_height + 3
        fitted = self._texts.fitting(max(20, width - 4), most - others)
        self.query_one("#compare-verdict", Static).update(fitted.verdict)
        notes = self.query_one("#compare-notes", Static)
        problems = problem_lines(fitted.problems)
        told = [Content.styled(f"· {note}", _MUTED) for note in fitted.notes]
        notes.update(Content("\n").join([*problems, *told]))
        notes.display = bool(problems or told)
        return min(most, others + fitted.height(max(20, width - 4)))

    def on_comparison_table_moved(self) -> None:
        found = self.query_one(ComparisonTable).cursor_cell
        self.query_one("#compare-cell", Static).update(_cell_text(found) if found else "")


def _namer(context: AppContext, comparison: Comparison) -> NameOf:
    names = context.snapshot.names
    return attrgetter("label") if names is None else name_by_settings(comparison, names)


def _with_names(text: str, context: AppContext, comparison: Comparison) -> str:
    """A text with ids that nobody has chosen replaced by what the runs are called."""
    for run in comparison.runs:
        if generated_suffix(run.run_id) is not None:
            text = text.replace(run.run_id, context.name_of(run.run_id))
    return text


def _title(context: AppContext, comparison: Comparison, name_of: NameOf) -> Content:
    first = comparison.columns[0]
    series = series_of(context.workspace.slot(first.runs[0].run_id))
    name = shorten_name(visible_line(column_name(first, name_of)), MAX_WIDTH)
    count = len(comparison.runs)
    key = key_hint("compare.pin", context.keymap)
    how = "" if context.workspace.baseline else f", the first selected ({key} sets another)"
    return Content(f"{count} runs · baseline {series.glyph} {name}{how}")


def _row(context: AppContext, entry: Entry) -> Row:
    ids = [run.run_id for run in entry.column.runs]
    workspace = context.workspace
    series = series_of(workspace.slot(ids[0]))
    return Row(
        key=ids[0],
        name=visible_line(entry.name),
        glyph="" if entry.is_mean else series.glyph,
        colour="" if entry.is_mean else series.colour(dark=context.is_dark),
        cells=row_cells(entry.cells),
        is_pinned=workspace.baseline in ids and not entry.is_mean,
        is_mean=entry.is_mean,
    )


def _curve(entry: Entry) -> str:
    if entry.is_mean:
        return ""
    summary = entry.column.runs[0].summary
    return loss_curve(summary.val_curve.losses, summary.val_loss, CURVE_CELLS)


def _cell_text(found: tuple[Row, TableColumn, RowCell]) -> Content:
    row, column, cell = found
    title = "".join(line if line.endswith("_") else f"{line} " for line in column.lines).strip()
    delta = f"  {cell.shift.strip()} from the baseline" if cell.delta else ""
    return Content.assemble((f"{row.name} · {title} ", _MUTED), cell.text, (delta, _MUTED))


class ComparisonCurves(Chart):
    """Validation loss; the baseline is on top, the lowest point of each line is marked."""

    def __init__(self) -> None:
        super().__init__(
            id="compare-curves",
            classes="compare-pane pane",
            empty="No evaluations yet",
        )
        self.title = "validation loss"
        self.left_out = LEFT_OUT

    def show(self, context: AppContext, compared: Compared) -> None:
        axis = compared.request.axis
        self.x_label = AXIS_TITLES[axis]
        self.x_kind = "seconds" if axis == "time" else "linear"
        first = next(iter(compared.curves), None)
        names = context.short_names(compared.curves)
        lines = []
        for run_id, curve in compared.curves.items():
            series = series_of(context.workspace.slot(run_id))
            lines.append(
                ChartLine(
                    key=run_id,
                    label=context.name_of(run_id),
                    short=names[run_id],
                    x=curve.x,
                    y=curve.y,
                    colour=series.colour(dark=context.is_dark),
                    glyph=series.glyph,
                    on_top=run_id == first,
                    best="lowest",
                    show=loss_text,
                )
            )
            lines += [
                replace(
                    lines[-1],
                    key=f"{run_id}/before/{place}",
                    x=earlier.x,
                    y=earlier.y,
                    buckets=earlier.buckets,
                    style="dim",
                    has_markers=False,
                    on_top=False,
                    best=None,
                    in_legend=False,
                )
                for place, earlier in enumerate(compared.before.get(run_id, ()))
            ]
        self.set_lines(set_back(lines, muted_colour(context.app)))
