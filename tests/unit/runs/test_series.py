"""Columns of a metrics file equal its rows, however the file was written."""

import math
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.metrics import read_rows
from builders.runs import append_rows, eval_row, make_run, resume_row, status_row, train_row
from transformer_playground.runs.jsonl import encode_row
from transformer_playground.runs.metrics import RunningMedian
from transformer_playground.runs.series import Curve, RunSeries
from transformer_playground.runs.summary_file import summarise

EVENTS = ("train", "eval", "checkpoint", "status", "warning")
KEYS = ("train_loss", "val_loss", "tokens_seen", "time", "new")

steps = st.integers(0, 12)
values = st.one_of(
    st.none(), st.integers(-5, 5), st.floats(-9, 9), st.text(max_size=3), st.booleans()
)
any_rows = st.fixed_dictionaries(
    {"event": st.sampled_from((*EVENTS, "resume")), "step": steps},
    optional=dict.fromkeys(KEYS, values),
)


def number(value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else math.nan  # type: ignore[arg-type]


def plain_curve(path: Path, event: str, key: str) -> tuple[list[float], list[float]]:
    rows = [row for row in read_rows(path) if row["event"] == event]
    rows.sort(key=lambda row: row["step"])
    return [float(row["step"]) for row in rows], [number(row.get(key)) for row in rows]


def assert_equals_rows(series: RunSeries, path: Path) -> None:
    for event in EVENTS:
        for key in KEYS:
            curve = series.curve(event, key)
            at, expected = plain_curve(path, event, key)
            if all(math.isnan(value) for value in expected):
                assert np.isnan(curve.y).all()
                continue
            np.testing.assert_array_equal(curve.x, at)
            np.testing.assert_array_equal(curve.y, expected)
    assert series.rows == len(read_rows(path))


def write(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(map(encode_row, rows)))


def points(curve: Curve) -> list[tuple[float, float]]:
    return list(zip(curve.x.tolist(), curve.y.tolist(), strict=True))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_rows, max_size=40), st.lists(st.integers(0, 4000), max_size=6), st.booleans())
def test_columns_equal_the_rows_in_whatever_steps_the_file_grew(
    tmp_path: Path, rows: list[dict[str, Any]], cuts: list[int], look: bool
) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"")
    data = b"".join(map(encode_row, rows))
    series = RunSeries(path)
    seen: list[tuple[Curve, list[float], list[float]]] = []
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in zip([0, *ends], ends, strict=False):
        with path.open("ab") as file:
            file.write(data[begin:end])
        series.poll()
        if look:
            assert_equals_rows(series, path)
            curve = series.curve("train", "train_loss")
            seen.append((curve, curve.x.tolist(), curve.y.tolist()))

    assert_equals_rows(series, path)
    assert not series.poll()
    for curve, x, y in seen:
        np.testing.assert_array_equal(curve.x, x)
        np.testing.assert_array_equal(curve.y, y)


def test_every_byte_prefix_gives_the_columns_of_its_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, train_row(10), eval_row(10, 3.0), resume_row(10), train_row(20, lr=None))
    data = path.read_bytes()
    growing = RunSeries(tmp_path / "growing")
    for end in range(len(data) + 1):
        (tmp_path / "growing").write_bytes(data[:end])
        growing.poll()
        assert_equals_rows(growing, tmp_path / "growing")


@pytest.mark.parametrize("way", ["truncated", "replaced", "deleted"])
def test_a_file_that_is_replaced_while_read_is_read_again(tmp_path: Path, way: str) -> None:
    path = tmp_path / "m"
    write(path, status_row(0, "running"), train_row(10), train_row(20))
    series = RunSeries(path)
    series.poll()
    before = series.curve("train", "train_loss")
    if way == "truncated":
        os.truncate(path, 0)
    else:
        path.unlink()
    if way == "replaced":
        write(path, *(train_row(step, train_loss=7.0) for step in range(5)))

    assert series.poll()
    assert series.was_reset
    assert_equals_rows(series, path)
    assert len(before.x) == 2
    write(path, train_row(90))
    assert series.poll()
    assert not series.was_reset
    assert_equals_rows(series, path)


def test_a_row_with_nan_is_a_gap_and_keeps_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, train_row(1))
    with path.open("a") as file:
        file.write('{"event": "train", "step": 2, "train_loss": NaN, "lr": 0.5}\n')
        file.write('{"event": "train", "step": 3, "train_loss": -Infinity, "lr": 1e999}\n')
        file.write('{"event": "train", "step": 4, "train_lo\n{"event": "train", "step": 5}\n')
    write(path, train_row(6))
    series = RunSeries(path)
    series.poll()

    curve = series.curve("train", "train_loss")
    assert curve.x.tolist() == [1, 2, 3, 5, 6]
    assert np.isnan(curve.y).tolist() == [False, True, True, True, False]
    assert series.curve("train", "lr").y[1] == 0.5
    assert series.newest("train", "train_loss") == train_row(6)["train_loss"]


def test_the_newest_number_before_a_gap_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, train_row(1, train_loss=2.5), train_row(2, train_loss=None))
    series = RunSeries(path)
    series.poll()

    assert series.newest("train", "train_loss") == 2.5
    assert series.newest("train", "nothing") is None
    assert series.newest("eval", "val_loss") is None


def test_time_excludes_interruptions(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        rows=[
            status_row(0, "running", time=100.0),
            train_row(10, time=110.0),
            train_row(20, time=120.0),
            status_row(20, "paused", time=121.0),
            status_row(20, "running", time=500.0),
            train_row(30, time=509.0),
            status_row(30, "stopped", time=510.0),
        ],
    )
    series = RunSeries(run.metrics_path)
    series.poll()
    append_rows(
        run,
        [
            resume_row(10, time=9000.0),
            status_row(10, "running", time=9000.0),
            train_row(20, time=9012.0),
            train_row(30, time="noon"),
            status_row(30, "finished", time=9020.0),
        ],
    )
    series.poll()

    # Rows superseded by a resume count as time spent.
    assert [x for x, _ in points(series.curve("train", "lr", "time"))] == [10.0, 31.0 + 12.0]
    assert series.clock.seconds == summarise(run)["wall_time_s"] == 51.0
    whole = RunSeries(run.metrics_path)
    whole.poll()
    assert whole.clock == series.clock


def test_token_counts_of_evaluations_are_interpolated_between_train_rows(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, *(eval_row(step, float(step)) for step in (0, 5, 20, 40)))
    series = RunSeries(path)
    series.poll()
    assert points(series.curve("eval", "val_loss", "tokens")) == [(0.0, 0.0)]
    write(path, status_row(0, "running", tokens_per_step=7))
    series.poll()
    assert series.curve("eval", "val_loss", "tokens").x.tolist() == [0, 35, 140, 280]
    write(path, train_row(10, tokens_seen=100), train_row(30, tokens_seen=500))
    series.poll()

    assert series.curve("eval", "val_loss", "tokens").x.tolist() == [0, 50, 300, 700]
    assert series.curve("train", "lr", "tokens").x.tolist() == [100, 500]


def test_an_unknown_quantity_is_an_empty_curve(tmp_path: Path) -> None:
    series = RunSeries(tmp_path / "none")

    assert not series.poll()
    assert points(series.curve("train", "train_loss")) == []
    write(tmp_path / "none", train_row(1))
    series.poll()
    assert points(series.curve("train", "message")) == []
    assert series.keys("train")[0] == "step"
    assert series.events == ("train",)


def test_a_file_with_many_different_keys_uses_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, *({"event": f"e{i}", "step": i, "x": 1} for i in range(500)))
    write(path, *({"event": "train", "step": i, f"k{i}": 1} for i in range(500)))
    write(path, {"event": "e0", "step": 10**30, "x": 1})
    series = RunSeries(path)
    series.poll()

    assert len(series.events) < 100
    assert sum(len(series.keys(event)) for event in series.events) < 500


def test_a_step_after_more_keys_than_are_kept_counts(tmp_path: Path) -> None:
    many = {f"k{number}": number for number in range(200)}
    write(tmp_path / "m", *({"event": "train", **many, "step": step} for step in (2, 1)))
    series = RunSeries(tmp_path / "m")
    series.poll()

    assert series.column("train", "step").tolist() == [1.0, 2.0]


def test_curves_are_read_only(tmp_path: Path) -> None:
    write(tmp_path / "m", train_row(1))
    series = RunSeries(tmp_path / "m")
    series.poll()

    with pytest.raises(ValueError, match="read-only"):
        series.curve("train", "lr").y[0] = 5.0


def test_a_returned_curve_does_not_change_after_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "m"
    write(path, train_row(10), train_row(20, train_loss=5.0), train_row(30))
    series = RunSeries(path)
    series.poll()
    before = series.curve("train", "train_loss")
    write(path, resume_row(10), train_row(15, train_loss=9.0))
    series.poll()

    assert before.x.tolist() == [10, 20, 30]
    assert before.y[1] == 5.0
    assert series.curve("train", "train_loss").x.tolist() == [10, 15]


@given(
    st.lists(
        st.tuples(st.sampled_from(("train", "train", "train", "resume")), st.integers(0, 30)),
        max_size=40,
    )
)
def test_the_running_median_follows_appended_replaced_and_superseded_rows(
    written: list[tuple[str, int]],
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        series = RunSeries(path)
        for count, (event, step) in enumerate(written):
            rate = {"tokens_per_sec": count * 7 % 11} if event == "train" else {}
            write(path, {"event": event, "step": step, **rate})
            series.poll()
            rates = series.column("train", "tokens_per_sec")
            median = series.throughput(RunningMedian()).median
            assert median == (float(np.median(rates)) if rates.size else None)


def test_the_running_median_of_a_growing_file_costs_only_what_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    sizes: list[int] = []
    with_more = RunningMedian.with_more

    def counted(median: RunningMedian, values: Any) -> RunningMedian:
        sizes.append(len(values))
        return with_more(median, values)

    monkeypatch.setattr(RunningMedian, "with_more", counted)
    series = RunSeries(path)
    for steps_added in (range(1, 101), range(101, 102)):
        write(path, *(train_row(step) for step in steps_added))
        series.poll()
        series.throughput(RunningMedian())
    assert sizes == [100, 1]


def test_sleep_and_a_changed_system_clock_are_no_training_time(tmp_path: Path) -> None:
    hours = 8 * 3600.0
    rows = [status_row(0, "running"), *(train_row(step) for step in range(1, 9))]
    for index, row in enumerate(rows):
        row["monotonic"] = 50.0 + 2 * index
        # The machine sleeps before step 5; at step 7 the system clock is set back.
        row["time"] = 1000.0 + 2 * index + hours * (index >= 5) - 3 * hours * (index >= 7)
    run = make_run(tmp_path, rows=rows)
    assert summarise(run)["wall_time_s"] == 16.0
    series = RunSeries(run.metrics_path)
    series.poll()
    assert list(series.column("train", "step")) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [x for x, _ in points(series.curve("train", "train_loss", "time"))] == [
        2.0 * step for step in range(1, 9)
    ]
    append_rows(run, [{**train_row(9), "time": 9e9, "monotonic": 70.0}])
    series.poll()
    assert series.clock.seconds == 20.0
    # Another session, after a restart of the machine.
    again = {"event": "status", "status": "running", "step": 9, "time": 9.1e9, "monotonic": 3.0}
    append_rows(run, [again, {**train_row(10), "time": 9.2e9, "monotonic": 7.5}])
    series.poll()
    assert series.clock.seconds == summarise(run)["wall_time_s"] == 24.5


def test_sleep_in_rows_of_older_versions_is_recognised_as_an_outlying_gap(tmp_path: Path) -> None:
    hours = 3600.0
    rows = [status_row(0, "running"), *(train_row(step) for step in range(1, 9))]
    for index, row in enumerate(rows):
        # The machine sleeps for 8 hours before step 5, and for 2 before step 7.
        row["time"] = 1000.0 + 2 * index + 8 * hours * (index >= 5) + 2 * hours * (index >= 7)
    run = make_run(tmp_path, rows=rows)
    assert summarise(run)["wall_time_s"] == 16.0
    series = RunSeries(run.metrics_path)
    series.poll()
    assert [x for x, _ in points(series.curve("train", "train_loss", "time"))] == [
        2.0 * step for step in range(1, 9)
    ]


@pytest.mark.parametrize(
    ("times", "step_time_ms", "wall_time"),
    [
        # Less than an hour may be an evaluation.
        ([0.0, 2.0, 3500.0], 200.0, 3500.0),
        # All rows of a slow run are as far apart.
        ([0.0, 4000.0, 8000.0, 12000.0], 400_000.0, 12000.0),
        ([0.0, 2000.0, 12000.0, 22000.0], 200_000.0, 22000.0),
        # A slow run that slept.
        ([0.0, 4000.0, 8000.0, 98000.0], 400_000.0, 12000.0),
        # Without a step time only the gaps tell.
        ([0.0, 60.0, 30060.0], None, 120.0),
    ],
)
def test_a_long_gap_is_training_unless_it_stands_out(
    tmp_path: Path, times: list[float], step_time_ms: float | None, wall_time: float
) -> None:
    rows = [status_row(0, "running"), *(train_row(step) for step in range(1, len(times)))]
    for row, seconds in zip(rows, times, strict=True):
        row.update(time=5000.0 + seconds, step_time_ms=step_time_ms)
    run = make_run(tmp_path, rows=rows)
    assert summarise(run)["wall_time_s"] == wall_time
    # The same when the file is read row by row as it grows.
    text = run.metrics_path.read_bytes()
    series = RunSeries(run.metrics_path)
    for end in range(1, len(rows) + 1):
        run.metrics_path.write_bytes(b"".join(text.splitlines(keepends=True)[:end]))
        series.poll()
    assert series.clock.seconds == wall_time


def test_a_gap_that_the_clock_without_sleep_confirms_is_training(tmp_path: Path) -> None:
    rows = [status_row(0, "running"), *(train_row(step) for step in (1, 2))]
    for row, seconds in zip(rows, (0.0, 2.0, 90_000.0), strict=True):
        row.update(time=5000.0 + seconds, monotonic=7.0 + seconds)
    assert summarise(make_run(tmp_path, rows=rows))["wall_time_s"] == 90_000.0
