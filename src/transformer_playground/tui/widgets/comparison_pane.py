"""The table of a comparison, and what a reader must know to read it rightly."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from transformer_playground.analysis.compare import Column, Comparison
from transformer_playground.terminal import visible_line
from transformer_playground.tui.state.comparing import Compared
from transformer_playground.tui.state.comparison_lines import SIGNS, lines_of, names_of, verdicts_in
from transformer_playground.tui.themes import PLAIN, SERIES
from transformer_playground.tui.widgets.comparison_hint import problem_lines
from transformer_playground.tui.widgets.comparison_table import ComparisonTable, Heading

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console

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
        console: "Console",
        compared: Compared,
        comparison: Comparison,
        gone: Sequence[str] = (),
    ) -> None:
        """Show a comparison; `gone` says which runs are no longer part of it."""
        lines = lines_of(comparison, all_settings=compared.request.all_settings)
        names = names_of(comparison)
        headings = [
            _heading(console, column, name)
            for column, name in zip(comparison.columns, names, strict=True)
        ]
        self.query_one(ComparisonTable).show(headings, lines)
        self.border_title = Content(f"Δ to {headings[0].glyph} {names[0]}")
        meanings = [f"{SIGNS[verdict]} {_MEANINGS[verdict]}" for verdict in verdicts_in(lines)]
        self.border_subtitle = Content(" · ".join(meanings))
        problems = problem_lines([*gone, *compared.problems.values()])
        remarks = [
            Content.styled(f"· {visible_line(remark)}", "$foreground 60%")
            for remark in comparison.remarks
        ]
        static = self.query_one("#compare-remarks", Static)
        static.update(Content("\n").join([*problems, *remarks]))
        static.display = bool(problems or remarks)


def _heading(console: "Console", column: Column, name: str) -> Heading:
    ids = [run.run_id for run in column.runs]
    workspace = console.workspace
    slot = workspace.slot(ids[0])
    series = PLAIN if slot is None else SERIES[slot]
    return Heading(
        key=ids[0],
        name=name,
        glyph=series.glyph,
        colour=series.colour(dark=console.current_theme.dark),
        is_pinned=workspace.baseline in ids,
    )
