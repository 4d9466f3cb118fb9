"""Machine view: what uses the computer, where a run's time goes, and the alerts."""

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import Static

from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.workspace import focus_of
from transformer_playground.tui.dialogs.alerts import NO_ALERTS, alert_line
from transformer_playground.tui.machine.machine_state import (
    MachineState,
    Tone,
    split_lines,
)
from transformer_playground.tui.machine.service import MachineReader, Reading
from transformer_playground.tui.shared.view import View, styled_lines

_SECONDS = 2.0
_STYLES: dict[Tone, str] = {
    "plain": "$foreground",
    "muted": "$text-muted",
    "full": "$primary",
    "empty": "$line",
    "warning": "$warning",
    "recent": "$secondary",
}


class MachineView(View):
    """Reads the machine while it is shown."""

    NAME = "machine"
    CSS_PATH: ClassVar[CSSPathType | None] = "machine.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "#machine-now"

    def __init__(self) -> None:
        super().__init__()
        self.state = MachineState()
        self.readings = 0
        self._is_reading = False

    def compose_body(self) -> ComposeResult:
        with Container(id="machine"):
            for name, title in (("now", "machine"), ("step", "step"), ("alerts", "alerts")):
                with VerticalScroll(id=f"machine-{name}", classes="pane") as pane:
                    pane.border_title = title
                    yield Static(id=f"machine-{name}-text", markup=False)

    def on_mount(self) -> None:
        self._reader = MachineReader(self.context.runs_dir)
        self._timer = self.set_interval(_SECONDS, self._read, pause=True)
        self.context.alerts_changed.subscribe(self, lambda _: self._show_alerts_pane())

    def on_screen_suspend(self) -> None:
        self._timer.pause()

    def refresh_view(self) -> None:
        """Read at once, and from now on again and again."""
        self._timer.resume()
        self._show_alerts_pane()
        self._read()

    @property
    def _focus(self) -> str | None:
        return focus_of(self.context.workspace, [*self.context.snapshot.runs])

    def _read(self) -> None:
        if self._is_reading or not self.is_current:
            return
        self._is_reading = True
        rows = self.context.snapshot.runs.values()
        running = tuple(row.run_id for row in rows if row.state == "running")
        read = partial(self._read_in_thread, running, self._focus)
        self.run_worker(read, group="machine", thread=True, exit_on_error=False)

    def _read_in_thread(self, running: tuple[str, ...], focus: str | None) -> None:
        reading = None
        try:
            reading = self._reader.read(running, focus)
        finally:
            self.app.call_from_thread(self._on_reading, reading)

    def _on_reading(self, reading: Reading | None) -> None:
        self._is_reading = False
        if reading is not None and self.is_current:
            self.readings += 1
            self.state.add(reading)
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self.readings:
            return
        now, step = self.query_one("#machine-now"), self.query_one("#machine-step")
        lines = self.state.lines(max(1, now.content_size.width), self.context.name_of)
        self.query_one("#machine-now-text", Static).update(styled_lines(lines, _STYLES))
        split, focus = self.state.reading.split, self._focus
        parts = split_lines(split, max(1, step.content_size.width))
        self.query_one("#machine-step-text", Static).update(styled_lines(parts, _STYLES))
        name = f" of {self.context.name_of(focus)}" if focus else ""
        time = f" · {split.step:.1f} ms" if split else ""
        step.border_title = Content(visible_line(f"step{name}{time}"))

    def _show_alerts_pane(self) -> None:
        alerts, name_of = self.context.alerts.alerts, self.context.name_of
        lines = [alert_line(each, name_of(each.run_id) if each.run_id else "") for each in alerts]
        text = Content("\n").join(lines) if lines else Content.styled(NO_ALERTS, "$text-muted")
        self.query_one("#machine-alerts-text", Static).update(text)
        key = self.key_hint("everywhere.alerts")
        self.query_one("#machine-alerts").border_subtitle = Content(f"{key} goes to a run")
