"""Numbers of a run in the panel, the sparklines and the legend of the chart, and the time left."""

import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from rich.style import Style

from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.runs.series import RunSeries
from transformer_playground.tui.charts.series import PreparedLine
from transformer_playground.tui.charts.strips import legend_entry
from transformer_playground.tui.live.chart_series import RunStyle, chart_lines
from transformer_playground.tui.live.follower import RunFollowers, ViewRequest
from transformer_playground.tui.live.quantities import QUANTITIES, find_quantity
from transformer_playground.tui.live.stats import (
    RunActivity,
    RunStats,
    stats_of,
    stats_table,
    time_text,
)

NOON = datetime(2026, 1, 30, 12).timestamp()
LABELS = {
    "loss": ("train loss", "val loss"),
    "grad_norm": ("gradient norm",),
    "step_time_ms": ("step time",),
    "data_share": ("data loading",),
    "bits_per_byte": ("bits per byte",),
}


def legends(folder: Path, quantity: str) -> list[str]:
    """Values in the legend of the chart of a quantity."""
    request = ViewRequest(("run",), "run", find_quantity(quantity))
    frame = RunFollowers(folder).poll(request)
    lines = chart_lines(
        frame, {"run": RunStyle("●", "#ffffff", "#888888")}, is_smoothed=False, is_tall=True
    )
    by_label = sorted(lines, key=lambda line: line.label)
    return [
        legend_entry(PreparedLine(line, log=False, smoothing=0), None, Style()).value
        for line in by_label
    ]


@pytest.mark.parametrize("quantity", LABELS)
def test_the_chart_shows_a_number_as_the_panel_does(tmp_path: Path, quantity: str) -> None:
    odd = {"train_loss": 0.051234, "grad_norm": 0.32109, "data_share": 0.01372}
    row = train_row(7, step_time_ms=1234.5, tokens_per_sec=5081.2, **odd)
    evaluation = eval_row(7, 1.87654, val_bits_per_byte=0.09876)
    run = make_run(tmp_path, "run", [status_row(0, "running", max_iters=9), row, evaluation])
    series = RunSeries(run.metrics_path)
    series.poll()
    panel = {label: text for label, text, _ in stats_table(stats_of(series), RunActivity(), NOON)}
    assert legends(tmp_path, quantity) == [panel[label] for label in LABELS[quantity]]


def test_every_quantity_is_compared_with_the_panel_or_has_no_place_there() -> None:
    others = {each.key for each in QUANTITIES} - LABELS.keys()
    assert others == {"lr", "tokens_per_sec"}


def test_a_share_is_drawn_in_percent(tmp_path: Path) -> None:
    make_run(tmp_path, "run", [train_row(1, data_share=0.25)])
    request = ViewRequest(("run",), "run", find_quantity("data_share"))
    frame = RunFollowers(tmp_path).poll(request)
    assert np.array_equal(frame.runs[0].curves[0].y, [25.0])
    assert request.quantity.title.endswith("(%)")


def test_beside_the_time_left_stands_the_time_of_day_at_the_end() -> None:
    stats = RunStats(remaining=3_900.0, max_iters=9)
    running = RunActivity("running")
    assert time_text(stats, running, NOON) == ("left", "1h 05m · 13:05")
    far = RunStats(remaining=3 * 86_400.0)
    assert time_text(far, running, NOON) == ("left", "3d 00h · Mon 12:00")
    # While a run is paused nobody knows when it ends, and at first not how long it takes.
    assert time_text(stats, RunActivity("paused"), NOON) == ("left", "1h 05m")
    assert time_text(RunStats(), running, NOON) == ("left", "–")
    assert time_text(stats, RunActivity("stopped"), NOON)[0] == "trained"
    assert time_text(RunStats(remaining=math.inf), running, NOON)[0] == "left"
