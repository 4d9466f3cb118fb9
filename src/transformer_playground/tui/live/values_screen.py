"""List of the last, lowest and highest values of every quantity; typing narrows it."""

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from transformer_playground.tui.dialogs.pick import FilteredListScreen
from transformer_playground.tui.live.chart_series import RunStyle
from transformer_playground.tui.live.follower import LiveFrame, ViewRequest
from transformer_playground.tui.live.last_values import (
    TITLES,
    ValueColumns,
    ValueRow,
    matching,
    value_rows,
)
from transformer_playground.tui.live.polling import TICK_SECONDS, FilePoller
from transformer_playground.tui.live.quantities import QUANTITIES, Quantity, quantities_in
from transformer_playground.tui.shared.line_input import LineInput

# Cells beside the texts of the list: its padding, and its scrollbar.
_FRAME = 4


class ValuesScreen(FilteredListScreen[Quantity | None]):
    """Reads the runs while it is open; closes with the chosen quantity, or None.

    Of several runs each quantity is a heading above a line for each.

    Args:
        runs: The runs, in their order.
        styles: Run id -> style; the names are safe to print.
    """

    def __init__(self, runs: tuple[str, ...], styles: Mapping[str, RunStyle]) -> None:
        super().__init__()
        self._runs, self._run_styles = runs, styles
        self._quantities: tuple[Quantity, ...] = ()
        self._all_rows: tuple[ValueRow, ...] = ()
        # Those of the lines of the list; None for a heading.
        self._listed: list[ValueRow | None] = []

    def compose(self) -> ComposeResult:
        runs = self._run_styles[self._runs[0]].label if len(self._runs) == 1 else ""
        with Vertical(classes="dialog", id="values") as dialog:
            dialog.border_title = Content(f"Values · {runs or f'{len(self._runs)} runs'}")
            dialog.border_subtitle = f"enter plots it · {self.key_hint('dialog.close')} closes"
            yield LineInput(placeholder="type to narrow", id="values-query")
            yield Static(id="values-titles", markup=False)
            yield OptionList(id="values-list", markup=False, compact=True)

    def on_mount(self) -> None:
        self._list.can_focus = False
        self.poller = FilePoller(self, self._request, self._show_frame)
        self.set_interval(TICK_SECONDS, self.poller.tick)
        self._fill()

    def _request(self) -> ViewRequest:
        return ViewRequest(
            self._runs, None, QUANTITIES[0], beside=self._quantities, has_all_beside=True
        )

    def _show_frame(self, frame: LiveFrame, _: LiveFrame | None) -> None:
        # The next poll reads those that were found now.
        self._quantities = quantities_in(frame.keys)
        rows = value_rows(frame)
        if rows != self._all_rows:
            self._all_rows = rows
            self._fill()

    def on_input_changed(self) -> None:
        self._fill()

    def on_resize(self) -> None:
        self._fill()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose(self._list.highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._choose(event.option_index)

    def _choose(self, place: int | None) -> None:
        row = self._listed[place] if place is not None and place < len(self._listed) else None
        if row is not None:
            self.dismiss(row.quantity)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def _fill(self) -> None:
        """Show the rows that match; the highlighted one stays highlighted."""
        query = self.query_one("#values-query", Input).value
        names = {run_id: style.label for run_id, style in self._run_styles.items()}
        rows, at = matching(self._all_rows, query, names), self._list.highlighted
        before = self._listed[at] if at is not None and at < len(self._listed) else None
        labels = [self._label(row) for row in rows]
        columns = ValueColumns.fitting(rows, labels, self._list.size.width - _FRAME)
        titles = columns.line("", TITLES)
        self.query_one("#values-titles", Static).update(Content("".join(titles)))
        self._listed, options, heading = [], list[Option](), ""
        for row, label in zip(rows, labels, strict=True):
            if len(self._runs) > 1 and row.name != heading:
                heading = row.name
                self._listed.append(None)
                options.append(Option(Content.styled(heading, "bold $primary"), disabled=True))
            self._listed.append(row)
            options.append(Option(self._line(row, columns.line(label, row.figures))))
        if not rows:
            text = "No quantity matches." if self._all_rows else self._why_empty()
            self._listed.append(None)
            options.append(Option(Content.styled(text, "$text-muted"), disabled=True))
        self._list.clear_options()
        self._list.add_options(options)
        keys = [row.key if row else None for row in self._listed]
        kept = before.key if before is not None and before.key in keys else None
        first = next((key for key in keys if key is not None), None)
        self._list.highlighted = keys.index(kept or first) if rows else None

    def _why_empty(self) -> str:
        frame = self.poller.frame
        is_reading = frame is None or (frame.keys and not frame.request.beside)
        return "Reading …" if is_reading else "No values yet."

    def _label(self, row: ValueRow) -> str:
        """The quantity of the run, or of several runs the run."""
        if len(self._runs) == 1:
            return row.name
        style = self._run_styles[row.run_id]
        return f"{style.glyph} {style.short or style.label}"

    def _line(self, row: ValueRow, parts: tuple[str, str]) -> Content:
        name, figures = parts
        if len(self._runs) == 1:
            return Content.assemble((name, "$text-muted"), figures)
        glyph, label = name[:1], name[1:]
        style = self._run_styles[row.run_id]
        return Content.assemble((glyph, style.colour), (label, "$text-muted"), figures)
