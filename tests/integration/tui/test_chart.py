"""The chart as its user meets it: keys, mouse, any size, any data, and nothing done unseen."""

import asyncio
import math
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.events import MouseScrollUp
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Static

import transformer_playground.tui
from transformer_playground.runs.thinning import Buckets
from transformer_playground.tui.bindings import KEYS
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.modes import SMOOTHINGS
from transformer_playground.tui.charts.series import AxisMark, ChartLine
from transformer_playground.tui.contrast import readable_variables
from transformer_playground.tui.themes import THEMES

_STYLESHEET = Path(transformer_playground.tui.__file__).parent / "charts" / "charts.tcss"


class Stage(App[None]):
    """A chart alone on the screen, with the console's stylesheet."""

    CSS_PATH = str(_STYLESHEET)

    def __init__(self) -> None:
        super().__init__()
        self.chart = Chart()

    def get_css_variables(self) -> dict[str, str]:
        return readable_variables(super().get_css_variables())

    def compose(self) -> ComposeResult:
        yield self.chart
        yield Static("beside", id="beside")

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.chart.focus()


Steps = Callable[[Chart, Pilot[Any]], Awaitable[None]]


def on_stage(steps: Steps, size: tuple[int, int] = (80, 24)) -> None:
    async def drive() -> None:
        stage = Stage()
        async with stage.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(stage.chart, pilot)

    asyncio.run(drive())


def line(y: list[float], key: str = "run", **how: Any) -> ChartLine:
    x = np.arange(len(y), dtype=float) * 10
    fields = {"colour": "#56b4e9", "glyph": "●", "label": key, **how}
    return ChartLine(key, x=x, y=np.array(y), **fields)


def rows(chart: Chart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


def text(chart: Chart) -> str:
    return "\n".join(rows(chart))


async def every_action(chart: Chart) -> None:
    """Do what each key of a chart does, drawing in between."""
    for key in KEYS:
        if key.place == "chart":
            assert await chart.app.run_action(key.action, chart) or key.action == "leave_crosshair"
            rows(chart)


def falling(count: int = 200) -> list[float]:
    return [4 / (1 + index / 20) + 1 for index in range(count)]


def test_a_line_its_name_its_newest_value_and_both_axes_are_shown() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling(), label="baseline")])
        await pilot.pause()
        shown = rows(chart)
        assert re.search(r"● baseline +1\.3653", shown[0])
        assert shown[-1].split() == ["0", "500", "1.0k", "1.5k", "step"]
        assert [row.split()[0] for row in shown if "┤" in row] == ["5", "4", "3", "2"]
        assert {len(row) for row in shown} == {chart.size.width}

    on_stage(steps)


def test_the_crosshair_on_thinned_points_says_which_extremes_of_which_steps_they_are() -> None:
    buckets = Buckets(np.array([1000]), np.array([1000]), np.array([2.5]))
    y = np.array([3.25, 1.5, *falling(50)])
    x = np.array([0.0, 999.0, *range(1000, 1050)])
    thinned = ChartLine("run", "baseline", x, y, "#56b4e9", buckets=buckets)

    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([thinned])
        chart.set_crosshair(999.0)
        await pilot.pause()
        assert "1.5000 … 3.2500" in rows(chart)[0]
        assert " 0–999 " in rows(chart)[-1]
        chart.set_crosshair(1000.0)
        await pilot.pause()
        assert "…" not in rows(chart)[0]
        assert " 1,000 " in rows(chart)[-1]
        # The average is one number, over the same steps.
        chart.smoothing = 0.6
        chart.set_crosshair(999.0)
        await pilot.pause()
        assert " 2.5000" in rows(chart)[0]
        assert " 0–999 " in rows(chart)[-1]

    on_stage(steps)


def test_zooming_panning_and_resetting_by_keys() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling())])
        assert chart.viewport.follows
        await pilot.press("plus")
        zoomed = chart.viewport.x
        assert zoomed is not None
        assert (zoomed.low, zoomed.high) == pytest.approx((248.75, 1741.25))
        before = text(chart)
        await pilot.press("shift+right")
        panned = chart.viewport.x
        assert panned is not None
        assert panned.low > zoomed.low
        assert panned.width == pytest.approx(zoomed.width)
        assert text(chart) != before
        await pilot.press("shift+left")
        assert text(chart) == before
        await pilot.press("shift+up", "ctrl+up")
        assert chart.viewport.y is not None
        await pilot.press("0")
        assert chart.viewport.follows
        await pilot.press("plus", "minus", "minus")
        assert chart.viewport.follows

    on_stage(steps)


def test_the_axis_follows_new_data_only_while_nothing_is_zoomed() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling(100))])
        await pilot.pause()
        chart.set_lines([line(falling(400))])
        await pilot.pause()
        assert "3k" in rows(chart)[-1] or "3.0k" in rows(chart)[-1]
        await pilot.press("plus")
        axis = rows(chart)[-1]
        chart.set_lines([line(falling(4000))])
        await pilot.pause()
        assert rows(chart)[-1] == axis

    on_stage(steps)


def test_the_crosshair_shows_the_values_of_every_line_and_moves_by_data_points() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines(
            [line([5.0, 4.0, 3.0, 2.0], "one"), line([50.0, 40.0, 30.0], "two", glyph="▲")]
        )
        await pilot.press("full_stop")
        assert chart.crosshair == 30.0
        assert re.search(r"one +2\.0000 +▲ two +–", rows(chart)[0])
        await pilot.press("left")
        assert chart.crosshair == 20.0
        assert re.search(r"one +3\.0000 +▲ two +30\.000", rows(chart)[0])
        assert " 20 " in rows(chart)[-1]
        await pilot.press("left", "left", "left", "left")
        assert chart.crosshair == 0.0
        await pilot.press("right")
        assert chart.crosshair == 10.0
        await pilot.press("escape")
        assert chart.crosshair is None
        assert re.search(r"one +2\.0000", rows(chart)[0])
        await pilot.press("right", "full_stop")
        assert chart.crosshair is None

    on_stage(steps)


def test_the_crosshair_steps_at_least_a_dot_and_pulls_the_window_along() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling(100_000))])
        await pilot.press("full_stop", "left")
        assert chart.crosshair is not None
        assert chart.crosshair < 999_990 - 1000
        await pilot.press("plus", "plus", "plus")
        for _ in range(60):
            chart.action_move_crosshair(-1)
        window = chart.viewport.x
        assert window is not None
        for _ in range(150):
            chart.action_move_crosshair(1)
        moved = chart.viewport.x
        assert moved is not None
        assert chart.crosshair is not None
        assert moved.low <= chart.crosshair <= moved.high
        assert moved.high > window.high

    on_stage(steps)


def test_escape_is_left_to_others_while_there_is_no_crosshair() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling())])
        assert not chart.check_action("leave_crosshair", ())
        await pilot.press("full_stop")
        assert chart.check_action("leave_crosshair", ())

    on_stage(steps)


def test_the_mouse_points_zooms_and_drags() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling())])
        await pilot.pause()
        await pilot.hover(chart, offset=(43, 8))
        assert chart.crosshair is not None
        assert chart.crosshair % 10 == 0
        plot = chart.plot()
        assert plot is not None
        assert abs(plot.x_at(43 - chart.plot_offset()[0]) - chart.crosshair) <= 10
        about = plot.x_at(43 - chart.plot_offset()[0])
        await pilot._post_mouse_events([MouseScrollUp], chart, (43, 8), button=0)
        window = chart.viewport.x
        assert window is not None
        assert window.share(about) == pytest.approx(plot.x.share(about))
        await pilot.mouse_down(chart, offset=(40, 8))
        await pilot.hover(chart, offset=(60, 8))
        await pilot.mouse_up(chart, offset=(60, 8))
        dragged = chart.viewport.x
        assert dragged is not None
        assert dragged.low < window.low
        assert chart.viewport.y is None
        await pilot.hover("#beside")
        assert chart.crosshair is None

    on_stage(steps)


def test_a_log_axis_drops_values_that_are_not_positive_and_counts_them() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line([1000.0, 100.0, 0.0, -5.0, 10.0, 1.0])])
        await pilot.press("l")
        assert chart.log_y
        labels = [row.split()[0] for row in rows(chart) if "┤" in row]
        assert labels == ["1k", "100", "10", "1"]
        assert "2 ≤ 0 not shown" in text(chart)
        await pilot.press("l")
        assert "not shown" not in text(chart)

    on_stage(steps)


def test_smoothing_grows_with_each_press_and_then_ends() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        noisy = [1.0 if index % 2 else 3.0 for index in range(200)]
        chart.set_lines([line(noisy)])
        await pilot.pause()
        raw = text(chart)
        seen = []
        for _ in SMOOTHINGS:
            await pilot.press("s")
            seen.append(chart.smoothing)
        assert seen == [*SMOOTHINGS[1:], 0.0]
        assert text(chart) == raw
        chart.smoothing = 0.9
        assert re.search(r"1\.8\d\d\d|1\.9\d\d\d", rows(chart)[0])
        chart.smoothing = 7.0
        assert chart.smoothing == 0.99
        chart.smoothing = math.nan
        assert chart.smoothing == 0.0

    on_stage(steps)


@pytest.mark.parametrize(
    ("lines", "log", "message"),
    [
        ([], False, "Waiting for the first logged step"),
        ([line([])], False, "Waiting for the first logged step"),
        ([line([math.nan, math.inf])], False, "no finite values"),
        ([line([-1.0, 0.0])], True, "no positive values for a log axis"),
    ],
)
def test_an_empty_chart_shows_why(lines: list[ChartLine], log: bool, message: str) -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.log_y = log
        chart.set_lines(lines)
        await pilot.pause()
        assert message in text(chart)
        await every_action(chart)
        await pilot.hover(chart, offset=(20, 5))

    on_stage(steps)


@pytest.mark.parametrize(
    "y",
    [
        [2.5],
        [2.5] * 50,
        [0.0, 1e300, -1e300, 1e308],
        [1e-300, 2e-300],
        [1.0, math.nan, 2.0, math.nan, math.inf, 3.0],
    ],
)
def test_odd_data_are_drawn_and_every_key_works_on_them(y: list[float]) -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(y, best="lowest"), line([], "empty")])
        await pilot.pause()
        assert "●" in text(chart)
        await every_action(chart)
        assert len(rows(chart)) == chart.size.height

    on_stage(steps)


def test_any_size_at_any_time() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling(), str(number), best="lowest") for number in range(9)])
        await pilot.press("full_stop")
        for width, height in [(1, 1), (2, 3), (200, 60), (10, 4), (300, 5), (30, 100), (80, 24)]:
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            drawn = rows(chart)
            assert {len(row) for row in drawn} <= {chart.size.width}
        assert "+" not in rows(chart)[0]

    on_stage(steps)


def test_a_small_chart_keeps_its_lines_and_drops_the_rest() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line([float(index) for index in range(100)])])
        await pilot.pause()
        assert any("⠀" < sign <= "⣿" for sign in text(chart))

    on_stage(steps, (6, 4))


def test_a_chart_that_is_not_shown_draws_nothing() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.display = False
        await pilot.pause()
        before = chart.frames_drawn
        for count in range(1, 30):
            chart.set_lines([line(falling(count))])
        await pilot.pause()
        assert chart.frames_drawn == before
        chart.display = True
        await pilot.pause()
        assert chart.frames_drawn == before + 1

    on_stage(steps)


def test_many_changes_between_two_frames_cost_one_drawing() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        await pilot.pause()
        before = chart.frames_drawn
        for count in range(1, 50):
            chart.set_lines([line(falling(count))])
        await pilot.pause()
        assert chart.frames_drawn == before + 1

    on_stage(steps)


def test_new_data_renders_only_the_rows_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        values = [10.0, *[0.0] * 60]
        chart.set_lines([line(values)])
        await pilot.pause()
        rendered: list[int] = []
        render = Chart.render_line

        def spy(self: Chart, y: int) -> Strip:
            rendered.append(y)
            return render(self, y)

        monkeypatch.setattr(Chart, "render_line", spy)
        values[30] = 1.0
        chart.set_lines([line(values)])
        await pilot.pause()
        assert rendered
        assert len(rendered) < chart.size.height / 2
        rendered.clear()
        # As on the screen: rows that were not rendered again are those that would be the same.
        region = chart.content_region
        on_screen = [
            strip.crop(region.x, region.right).text
            for strip in pilot.app.screen._compositor.render_strips()[region.y : region.bottom]
        ]
        assert rendered == []
        assert on_screen == rows(chart)

    on_stage(steps)


def test_control_characters_in_names_do_not_reach_the_terminal() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        nasty = "[red]a[/] \x1b[31m\x9b \u202e" + "長" * 500
        chart.title = chart.x_label = nasty
        chart.set_lines([line(falling(), "x", label=nasty, glyph="\x1b", colour="no colour")])
        await pilot.press("full_stop")
        shown = text(chart)
        assert "[red]a[/]" in shown
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
        for y in range(chart.size.height):
            strip = chart.render_line(y)
            assert sum(cell_len(segment.text) for segment in strip) == chart.size.width

    on_stage(steps)


def test_runs_differ_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NO_COLOR", "1")

    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines(
            [line(falling(), "one", glyph="●"), line(falling()[::-1], "two", glyph="▲")]
        )
        await pilot.pause()
        plot = "\n".join(row for row in rows(chart) if "│" in row or "┤" in row)
        assert "●" in plot
        assert "▲" in plot

    on_stage(steps)


def test_another_theme_changes_the_colours() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling())])
        await pilot.pause()
        dark = chart.render_line(0)
        pilot.app.theme = THEMES[1].name
        await pilot.pause()
        assert list(chart.render_line(0)) != list(dark)

    on_stage(steps)


def test_only_lines_with_new_data_are_prepared_again() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        still, live = line(falling(), "still"), line(falling(50), "live")
        chart.set_lines([still, live])
        await pilot.pause()
        known = chart.leading_line()
        chart.set_lines([still, line(falling(60), "live")])
        await pilot.pause()
        assert chart.leading_line() is known
        chart.set_lines([line(falling(300), "still"), live])
        await pilot.pause()
        assert chart.leading_line() is not known

    on_stage(steps)


def test_zero_shows_all_points_and_again_leaves_out_the_first() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.left_out = 0.05
        chart.set_lines([line(falling())])
        await pilot.pause()
        usual = chart.plot()
        assert chart.border_subtitle == "y axis: start and outliers left out"
        await pilot.press("0")
        every = chart.plot()
        await pilot.pause()
        assert not chart.border_subtitle
        await pilot.press("plus", "0")
        assert chart.viewport.follows
        assert chart.shows_all
        await pilot.press("0")
        again = chart.plot()
        assert usual is not None
        assert every is not None
        assert again is not None
        assert every.y.high > 5.0 > usual.y.high
        assert again.y == usual.y

    on_stage(steps)


def test_lines_are_named_at_their_ends_and_a_low_chart_has_the_values_there() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        low = line([1.0] * 50, "low", label="rope 1e-2", glyph="▲")
        high = line([4.0] * 50, "high", label="none")
        chart.set_lines([low, high])
        await pilot.pause()
        drawn = rows(chart)
        assert "▲ rope 1e-2" in drawn[0]
        named = [row for row in drawn[1:] if row.rstrip().endswith(("rope 1e-2", "none"))]
        assert len(named) == 2
        assert named[0].rstrip().endswith("● none")
        await pilot.resize_terminal(80, 11)
        await pilot.pause()
        # No legend any more.
        assert "│" in rows(chart)[0] or "┤" in rows(chart)[0]
        assert re.search(r"▲ rope 1e-2 +1\.0000", text(chart))
        await pilot.resize_terminal(40, 11)
        await pilot.pause()
        assert "1.0000" not in text(chart)

    on_stage(steps)


def test_events_are_marked_on_the_axis() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line(falling())], [AxisMark(0.0, "◆"), AxisMark(1e9, "★")])
        chart.note = "◆ checkpoint"
        await pilot.pause()
        (rule,) = [row for row in rows(chart) if "└" in row]
        assert rule.count("◆") == 1
        assert rule[rule.index("└") + 1] == "◆"
        assert "★" not in rule
        assert chart.border_subtitle == "◆ checkpoint"

    on_stage(steps)


def test_wide_labels_widen_the_axis_and_it_stays_wide() -> None:
    async def steps(chart: Chart, pilot: Pilot[Any]) -> None:
        chart.set_lines([line([1_000_000.0 + index for index in range(20)])])
        await pilot.pause()
        assert "1,000,010 ┤" in text(chart)
        wide = chart.plot_offset()
        chart.set_lines([line([1.0, 2.0, 3.0])])
        await pilot.pause()
        assert chart.plot_offset() == wide

    on_stage(steps)
