"""The numbers of the run in focus, and its sparklines."""

import numpy as np
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from transformer_playground.formatting import count_text, learning_rate_text
from transformer_playground.runs.series import Curve
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.sparkline import Sparkline
from transformer_playground.tui.live.follower import Focus
from transformer_playground.tui.live.state import RunStats, state_text
from transformer_playground.tui.live.stats_text import (
    RunActivity,
    Tone,
    best_text,
    percent_of,
    progress_bar,
    stats_line,
    stats_table,
    step_text,
    time_text,
)

_BAR_WIDTH = 10
_MUTED = "$foreground 60%"
_TONES: dict[Tone, str] = {"plain": "$foreground", "error": "bold $error"}
_STATE_STYLES = {"running": "bold $accent", "failed": "bold $error", "finished": "$success"}


class LiveNumbers(Container):
    """Where the run stands: two lines and sparklines, or a pane where there is room."""

    def __init__(self) -> None:
        super().__init__(id="live-numbers")
        self._seen: tuple[str, int] | None = None
        self._newest = -1.0
        self._table_lines = 0
        self._shown: tuple[RunStats, RunActivity] | None = None

    def compose(self) -> ComposeResult:
        """Both forms of the numbers, of which the stylesheet shows one, and the sparklines."""
        yield Static(id="live-lines", markup=False)
        yield Static(id="live-table", markup=False)
        with Container(id="live-sparks"):
            yield Sparkline("loss", id="spark-loss")
            yield Sparkline("lr", id="spark-lr", show=learning_rate_text)
            yield Sparkline("tok/s", id="spark-speed", show=count_text)

    def on_resize(self) -> None:
        """The other form may be on show now, or a narrower one."""
        self._draw()

    def show(self, stats: RunStats, activity: RunActivity) -> None:
        """Show these numbers."""
        if self._shown != (stats, activity):
            self._shown = stats, activity
            self._draw()

    def take(self, focus: Focus) -> None:
        """Let the sparklines catch up with a run's files."""
        if self._seen != (focus.run_id, focus.life):
            self.begin(focus.run_id, focus.life)
        first = int(np.searchsorted(_steps(focus), self._newest, side="right"))
        for spark, curve in zip(self._sparks(), focus.recent, strict=True):
            for value in curve.y[first:]:
                spark.push(float(value))
        if len(_steps(focus)):
            self._newest = max(self._newest, float(_steps(focus)[-1]))

    def begin(self, run_id: str, life: int) -> None:
        """Forget the values of another run, or of steps that hold no longer."""
        self._seen, self._newest = (run_id, life), -1.0
        for spark in self._sparks():
            spark.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.begin("", 0)
        self._seen = self._shown = None
        self._table_lines = 0
        for name in ("#live-lines", "#live-table"):
            self.query_one(name, Static).update("")

    def _sparks(self) -> list[Sparkline]:
        return list(self.query(Sparkline))

    def _draw(self) -> None:
        if self._shown is None:
            return
        stats, activity = self._shown
        if self.query_one("#live-table").display:
            width = max(10, self.content_size.width)
            content = _as_table(stats, activity, width)
            lines = content.plain.count("\n")
            # Laying out all panes anew is only for a table that has grown or shrunk.
            has_grown, self._table_lines = lines != self._table_lines, lines
            self.query_one("#live-table", Static).update(content, layout=has_grown)
        else:
            content = _as_lines(stats, activity)
            self.query_one("#live-lines", Static).update(content, layout=False)


def _steps(focus: Focus) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    curve: Curve = focus.recent[0]
    return curve.x


def _state(activity: RunActivity) -> Content:
    style = _STATE_STYLES.get(activity.state, "$foreground")
    return Content.styled(state_text(activity.state) if activity.state else "", style)


def _bar(stats: RunStats, activity: RunActivity, width: int) -> Content:
    percent = percent_of(stats)
    if percent is None:
        return Content("")
    full, empty = progress_bar(percent, width)
    colour = "$accent" if activity.is_live else "$primary"
    return Content.assemble((full, colour), (empty, _MUTED), f" {percent:3}%")


def _as_lines(stats: RunStats, activity: RunActivity) -> Content:
    label, time = time_text(stats, activity)
    first = Content.assemble(
        _state(activity),
        "  ",
        _bar(stats, activity, _BAR_WIDTH),
        "  ",
        step_text(stats),
        (f"  {label} ", _MUTED),
        time,
        ("  best ", _MUTED),
        best_text(stats),
    )
    cells = [
        Content.assemble((f"{name} " if name else "", _MUTED), (visible_line(value), _TONES[tone]))
        for name, value, tone in stats_line(stats, activity)
    ]
    return Content.assemble(first, "\n", Content("  ").join(cells))


def _as_table(stats: RunStats, activity: RunActivity, width: int) -> Content:
    rows = [_state(activity), _bar(stats, activity, width - 5)]
    for label, value, tone in stats_table(stats, activity):
        shown = Content(visible_line(value)).truncate(max(1, width - len(label) - 1), ellipsis=True)
        gap = " " * max(1, width - len(label) - shown.cell_length)
        rows.append(Content.assemble((label, _MUTED), gap, (shown.plain, _TONES[tone])))
    return Content("\n").join(rows)
