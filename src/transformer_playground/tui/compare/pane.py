"""The table of a comparison, and what a reader must know to read it rightly."""

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from transformer_playground.comparison.compare import Column, Comparison
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.series import AXIS_TITLES, ChartLine
from transformer_playground.tui.compare.service import Compared
from transformer_playground.tui.compare.table import ComparisonTable, Heading
from transformer_playground.tui.compare.table_state import SIGNS, lines_of, names_of, verdicts_in
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.sample.labels import run_text
from transformer_playground.tui.themes import PLAIN, SERIES

_MUTED = "$foreground 60%"


def hint(context: AppContext, problems: Iterable[str]) -> Content:
    """How to choose runs, after what is wrong with those that are chosen."""
    chosen = context.workspace.chosen()
    lines = problem_lines(problems)
    if chosen:
        words = Content("  ").join(run_text(context, Source(run_id, "")) for run_id in chosen)
        lines += [Content.assemble(("chosen: ", _MUTED), words), Content("")]
    pick, runs = (
        key_hint("compare.mark", context.keymap),
        key_hint("everywhere.runs", context.keymap),
    )
    mark, pin = key_hint("runs.mark", context.keymap), key_hint("runs.pin", context.keymap)
    lines += [
        Content("A comparison takes at least two runs."),
        Content(""),
        Content.assemble((pick, "$accent"), (" picks a run here", _MUTED)),
        Content.assemble(
            ("among the runs (", _MUTED),
            (runs, "$accent"),
            (") ", _MUTED),
            (mark, "$accent"),
            (" marks one, ", _MUTED),
            (pin, "$accent"),
            (" pins the baseline", _MUTED),
        ),
    ]
    return Content("\n").join(lines)


def problem_lines(problems: Iterable[str]) -> list[Content]:
    """Each problem on a line; untrusted text."""
    return [Content.styled(f"✗ {visible_line(problem)}", "$error") for problem in problems]


_MEANINGS = {"better": "better", "worse": "worse", "unclear": "within 2 standard errors"}


class ComparisonPane(Vertical):
    """Table, problems and remarks."""

    def __init__(self) -> None:
        super().__init__(id="compare-pane", classes="compare-pane pane")

    def compose(self) -> ComposeResult:
        """The table above the remarks."""
        yield ComparisonTable()
        yield Static(id="compare-remarks", markup=False)

    @property
    def column_key(self) -> str | None:
        """The run under the column cursor."""
        return self.query_one(ComparisonTable).column_key

    def show(
        self,
        context: AppContext,
        compared: Compared,
        comparison: Comparison,
        gone: Sequence[str] = (),
    ) -> None:
        """Show a comparison; `gone` says which runs are no longer part of it."""
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
        problems = problem_lines([*gone, *compared.problems.values()])
        remarks = [
            Content.styled(f"· {visible_line(remark)}", "$foreground 60%")
            for remark in comparison.notes
        ]
        static = self.query_one("#compare-remarks", Static)
        static.update(Content("\n").join([*problems, *remarks]))
        static.display = bool(problems or remarks)


def _heading(context: AppContext, column: Column, name: str) -> Heading:
    ids = [run.run_id for run in column.runs]
    workspace = context.workspace
    slot = workspace.slot(ids[0])
    series = PLAIN if slot is None else SERIES[slot]
    return Heading(
        key=ids[0],
        name=name,
        glyph=series.glyph,
        colour=series.colour(dark=context.is_dark),
        is_pinned=workspace.baseline in ids,
    )


class ComparisonCurves(Chart):
    """The baseline lies on top; each line's lowest point is marked."""

    def __init__(self) -> None:
        super().__init__(
            id="compare-curves",
            classes="compare-pane pane",
            empty="none of these runs has been evaluated yet",
        )
        self.title = "validation loss"

    def show(self, context: AppContext, compared: Compared) -> None:
        """Draw these runs."""
        axis = compared.request.axis
        self.x_label = AXIS_TITLES[axis]
        self.x_kind = "seconds" if axis == "time" else "linear"
        first = next(iter(compared.curves), None)
        lines = []
        for run_id, curve in compared.curves.items():
            slot = context.workspace.slot(run_id)
            series = PLAIN if slot is None else SERIES[slot]
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
                )
            )
        self.set_lines(lines)
