"""Drawing a chart of 1,000,000 points against a plain loop over the points in the same process.

The loop is a lower bound of the work of a chart: it maps each point to a grid of dots, without
lines, gaps or axes. Both sides draw the same line into the same grid in alternating rounds.

First drawing: cost of new data (finding gaps, drawing). Redraw: cost of a change of window or size.
Crosshair: cost of a move of the crosshair on the screen of a running console.
Grid: cost of 20 small charts that all have new data, and of a move of their cursor. Overlaid: of 12
charts with the lines of 20 runs each, while one run has new data, at first, and of their cursor.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from textual.app import App, ComposeResult

from transformer_playground.tui.charts.axes import FloatArray
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.grid import ChartGrid, GridCell, GridLook
from transformer_playground.tui.charts.plot import draw_plot, extent
from transformer_playground.tui.charts.series import ChartLine, PreparedLine

_COLUMNS, _ROWS = 130, 38


def losses(count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Steps, and noisily decreasing losses."""
    steps = np.arange(1, count + 1, dtype=np.float64)
    noise = np.random.default_rng(seed).normal(0, 0.1, count)
    return steps, 1.5 + 3 / steps**0.3 + noise


def prepare(count: int, lines: int, smoothing: float) -> list[PreparedLine]:
    return [
        PreparedLine(
            ChartLine(str(seed), str(seed), *losses(count, seed), "#56b4e9"),
            log=False,
            smoothing=smoothing,
        )
        for seed in range(lines)
    ]


def draw_all(lines: list[PreparedLine], columns: int = _COLUMNS) -> None:
    span = extent(lines)
    if span is not None:
        draw_plot(lines, span, None, columns, _ROWS)


def draw_again(lines: list[PreparedLine]) -> Callable[[], None]:
    """Draw in one width and then in another: the dots of the last drawing are kept."""
    widths = itertools.cycle((_COLUMNS, _COLUMNS - 1))
    return lambda: draw_all(lines, next(widths))


def plain_loop(x: FloatArray, y: FloatArray) -> None:
    columns, rows = 2 * _COLUMNS, 4 * _ROWS
    grid = [[False] * columns for _ in range(rows)]
    left, right, low, high = x.min(), x.max(), y.min(), y.max()
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        column = int((a - left) / (right - left) * (columns - 1))
        row = int((high - b) / (high - low) * (rows - 1))
        grid[row][column] = True


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


class _Stage(App[None]):
    def compose(self) -> ComposeResult:
        yield Chart()


async def on_screen(count: int, repeats: int) -> tuple[float, float]:
    """Milliseconds of a zoom and of a move of the crosshair, including rendering."""
    stage = _Stage()
    async with stage.run_test(size=(140, 45)) as pilot:
        chart = stage.query_one(Chart)
        chart.set_lines([ChartLine("run", "run", *losses(count, 1), "#56b4e9")])
        await pilot.pause()
        chart.action_toggle_crosshair()

        def render() -> None:
            for y in range(chart.size.height):
                chart.render_line(y)

        def zoom() -> None:
            chart.action_zoom(1)
            render()
            chart.reset_view()

        def move() -> None:
            chart.action_move_crosshair(-1)
            render()

        render()
        return milliseconds(zoom, repeats), milliseconds(move, repeats)


class _Grid(App[None]):
    def compose(self) -> ComposeResult:
        yield ChartGrid()


def cells(count: int) -> list[GridCell]:
    """A chart for each run: its curve with few points, over the dim one of the baseline."""
    behind = ChartLine("base", "base", *losses(count, 0), "#888888", style="dim", in_legend=False)
    return [
        GridCell(
            str(seed),
            f"run {seed}",
            [ChartLine("own", "own", *losses(count, seed), "#56b4e9", style="thick"), behind],
            left_out=0.05,
        )
        for seed in range(1, 21)
    ]


async def grid_on_screen(count: int, repeats: int) -> tuple[float, float]:
    """Milliseconds of drawing 20 charts with new data, and of a move of their cursor."""
    stage = _Grid()
    async with stage.run_test(size=(140, 45)) as pilot:
        grid = stage.query_one(ChartGrid)
        await pilot.pause()

        def render() -> None:
            for y in range(grid.size.height):
                grid.render_line(y)

        fresh = iter([cells(count) for _ in range(repeats)])

        def redraw() -> None:
            grid.set_cells(next(fresh), (5, 4), GridLook(shares_y=True))
            render()

        def move() -> None:
            grid.move_crosshair(-1)
            render()

        redrawn = milliseconds(redraw, repeats)
        grid.toggle_crosshair()
        return redrawn, milliseconds(move, repeats)


def overlaid_cells(curves: list[tuple[FloatArray, FloatArray]]) -> list[GridCell]:
    """A chart for each of 12 quantities with the curves of all runs."""
    return [
        GridCell(
            str(place),
            f"quantity {place}",
            [
                ChartLine(str(run), f"run {run}", *curve, "#56b4e9", best="lowest")
                for run, curve in enumerate(curves)
            ],
            left_out=0.05,
        )
        for place in range(12)
    ]


async def overlaid_on_screen(count: int, repeats: int) -> tuple[float, float, float]:
    """Milliseconds of drawing 12 charts of 20 runs: all new, one run new, and their cursor."""
    stage = _Grid()
    async with stage.run_test(size=(140, 45)) as pilot:
        grid = stage.query_one(ChartGrid)
        await pilot.pause()
        look = GridLook(legend=20)

        def show(curves: list[tuple[FloatArray, FloatArray]]) -> None:
            grid.set_cells(overlaid_cells(curves), (3, 4), look)
            for y in range(grid.size.height):
                grid.render_line(y)

        def move() -> None:
            grid.move_crosshair(-1)
            for y in range(grid.size.height):
                grid.render_line(y)

        curves = [losses(count, seed) for seed in range(20)]
        all_new = iter([[losses(count, seed) for seed in range(20)] for _ in range(repeats)])
        one_new = iter([[*curves[1:], losses(count - 1, 0)] for _ in range(repeats)])
        first = milliseconds(lambda: show(next(all_new)), repeats)
        show(next(one_new))
        redrawn = milliseconds(lambda: show(next(one_new)), repeats - 1)
        grid.toggle_crosshair()
        return first, redrawn, milliseconds(move, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    count, repeats = arguments.points, arguments.repeats

    x, y = losses(count, 0)
    one, four, smoothed = prepare(count, 1, 0), prepare(count, 4, 0), prepare(count, 1, 0.9)
    loop = milliseconds(lambda: plain_loop(x, y), 3)
    first = milliseconds(lambda: draw_all(prepare_again(one)), repeats)
    first_smoothed = milliseconds(lambda: draw_all(prepare_again(smoothed)), repeats)
    for lines in (one, four, smoothed):
        draw_all(lines)
    redraw = milliseconds(draw_again(one), repeats)
    zoom, move = asyncio.run(on_screen(count, repeats))
    grid, cursor = asyncio.run(grid_on_screen(1_000, repeats))
    overlaid = asyncio.run(overlaid_on_screen(1_000, repeats))
    figures = {
        "points": count,
        "plain_loop_ms": loop,
        "first_drawing_ms": first,
        "first_drawing_smoothed_ms": first_smoothed,
        "redraw_ms": redraw,
        "redraw_four_lines_ms": milliseconds(draw_again(four), repeats),
        "redraw_smoothed_ms": milliseconds(draw_again(smoothed), repeats),
        "zoom_on_screen_ms": zoom,
        "crosshair_on_screen_ms": move,
        "grid_of_20_redraw_ms": grid,
        "grid_of_20_cursor_ms": cursor,
        "overlaid_20_first_ms": overlaid[0],
        "overlaid_20_redraw_ms": overlaid[1],
        "overlaid_20_cursor_ms": overlaid[2],
        "times_faster_than_plain_loop": loop / redraw,
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))


def prepare_again(lines: list[PreparedLine]) -> list[PreparedLine]:
    """The same lines without cached results."""
    smoothing = 0.9 if lines[0].is_smoothed else 0.0
    return [PreparedLine(line.line, log=False, smoothing=smoothing) for line in lines]


if __name__ == "__main__":
    main()
