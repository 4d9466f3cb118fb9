"""Comparison pane: the table with problems and notes, and the loss curves."""

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from transformer_playground.comparison.compare import Column, Comparison
from transformer_playground.formatting import loss_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.series import AXIS_TITLES, ChartLine
from transformer_playground.tui.compare.service import Compared
from transformer_playground.tui.compare.table import ComparisonTable, Heading
from transformer_playground.tui.compare.table_state import SIGNS, lines_of, names_of, verdicts_in
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.sample.form import run_text
from transformer_playground.tui.themes import series_of

_MUTED = "$foreground 60%"


def hint(context: AppContext, problems: Iterable[str]) -> Content:
    """Problems of the selected runs, and how to select runs."""
    chosen = context.workspace.chosen()
    lines = problem_lines(problems)
    if chosen:
        names = Content("  ").join(run_text(context, Source(run_id, "")) for run_id in chosen)
        lines += [Content.assemble(("selected: ", _MUTED), names), Content("")]
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


_MEANINGS = {"better": "better", "worse": "worse", "unclear": "within 2 standard errors"}


class ComparisonPane(Vertical):
    """Table, problems and notes."""

    def __init__(self) -> None:
        super().__init__(id="compare-pane", classes="compare-pane pane")

    def compose(self) -> ComposeResult:
        yield ComparisonTable()
        yield Static(id="compare-notes", markup=False)

    @property
    def column_key(self) -> str | None:
        return self.query_one(ComparisonTable).column_key

    def show(
        self,
        context: AppContext,
        compared: Compared,
        comparison: Comparison,
        removed: Sequence[str] = (),
    ) -> None:
        """Show a comparison; `removed` has one message per removed run."""
        lines = lines_of(comparison, all_settings=compared.request.all_settings)
        names = names_of(comparison)
        headings = [
            _heading(context, column, name)
            for column, name in zip(comparison.columns, names, strict=True)
        ]
        self.query_one(ComparisonTable).show(headings, lines)
        self.border_title = Content(f"Δ to {headings[0].glyph} {names[0]}")
        meanings = [f"{SIGNS[verdict]} {_MEANINGS[verdict]}" for verdict in verdicts_in(lines)]
        self.border_subtitle = Content(" · ".join(meanings))
        problems = problem_lines([*removed, *compared.problems.values()])
        notes = [
            Content.styled(f"· {visible_line(note)}", "$foreground 60%")
            for note in comparison.notes
        ]
        static = self.query_one("#compare-notes", Static)
        static.update(Content("\n").join([*problems, *notes]))
        static.display = bool(problems or notes)


def _heading(context: AppContext, column: Column, name: str) -> Heading:
    ids = [run.run_id for run in column.runs]
    workspace = context.workspace
    series = series_of(workspace.slot(ids[0]))
    return Heading(
        key=ids[0],
        name=name,
        glyph=series.glyph,
        colour=series.colour(dark=context.is_dark),
        is_pinned=workspace.baseline in ids,
    )


class ComparisonCurves(Chart):
    """Validation loss; the baseline is on top, the lowest point of each line is marked."""

    def __init__(self) -> None:
        super().__init__(
            id="compare-curves",
            classes="compare-pane pane",
            empty="No evaluations yet",
        )
        self.title = "validation loss"

    def show(self, context: AppContext, compared: Compared) -> None:
        axis = compared.request.axis
        self.x_label = AXIS_TITLES[axis]
        self.x_kind = "seconds" if axis == "time" else "linear"
        first = next(iter(compared.curves), None)
        lines = []
        for run_id, curve in compared.curves.items():
            series = series_of(context.workspace.slot(run_id))
            lines.append(
                ChartLine(
                    key=run_id,
                    label=run_id,
                    x=curve.x,
                    y=curve.y,
                    colour=series.colour(dark=context.is_dark),
                    glyph=series.glyph,
                    on_top=run_id == first,
                    best="lowest",
                    show=loss_text,
                )
            )
        self.set_lines(lines)
