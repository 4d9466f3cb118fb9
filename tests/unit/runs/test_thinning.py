"""Old rows of a long run in memory: extremes, means and figures survive in any file."""

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.runs import eval_row, resume_row, status_row, train_row
from transformer_playground.runs.jsonl import encode_row
from transformer_playground.runs.metrics import AXES, Poll
from transformer_playground.runs.series import RunSeries
from transformer_playground.runs.summary import summary_of
from transformer_playground.runs.thinning import Thinning

FEW = Thinning(recent=4, buckets=3)
KEYS = ("train_loss", "tokens_per_sec", "grad_norm")

numbers = st.sampled_from([0.5, 1.0, 2.0, 3.5, -4.0, None])
measured = st.fixed_dictionaries(
    {"event": st.sampled_from(("train", "train", "train", "eval"))},
    optional={**dict.fromkeys(KEYS, numbers), "val_loss": numbers},
)
# Most rows of a file come after the row before them, some go back with or without a resume.
changes = st.sampled_from([1, 1, 1, 1, 1, 1, 2, 5, 0, -3, -30])


def written(rows: list[tuple[Mapping[str, Any], int, bool]]) -> list[bytes]:
    lines, step = [], 0
    for index, (row, change, is_resumed) in enumerate(rows):
        step = max(0, step + change)
        if change < 0 and is_resumed:
            lines.append(encode_row(resume_row(step, time=1000.0 + index)))
        else:
            lines.append(encode_row({**row, "step": step, "time": 1000.0 + index}))
    return lines


def whole(path: Path) -> RunSeries:
    series = RunSeries(path)
    series.poll()
    return series


def assert_keeps_extremes_and_figures(thinned: RunSeries, series: RunSeries) -> None:
    assert summary_of(thinned) == summary_of(series)
    for key in KEYS:
        assert thinned.newest("train", key) == series.newest("train", key)
        curve, full = thinned.curve("train", key), series.curve("train", key)
        buckets = curve.buckets
        count = 0 if buckets is None else len(buckets)
        assert len(curve.x) - 2 * count + (buckets.rows.sum() if buckets else 0) == len(full.x)
        recent = len(curve.x) - 2 * count
        np.testing.assert_array_equal(curve.x[2 * count :], full.x[len(full.x) - recent :])
        np.testing.assert_array_equal(curve.y[2 * count :], full.y[len(full.y) - recent :])
        for index in range(count):
            assert buckets is not None
            first, last = curve.x[2 * index : 2 * index + 2]
            inside = full.y[(full.x >= first) & (full.x <= last)]
            finite = inside[np.isfinite(inside)]
            assert (buckets.rows[index], buckets.finite[index]) == (len(inside), len(finite))
            kept = curve.y[2 * index : 2 * index + 2]
            if not finite.size:
                assert np.isnan([*kept, buckets.mean[index]]).all()
                continue
            low, high = int(finite.argmin()), int(finite.argmax())
            assert kept.tolist() == finite[sorted((low, high))].tolist()
            assert buckets.mean[index] == pytest.approx(finite.mean())
    np.testing.assert_array_equal(
        thinned.column("eval", "val_loss"), series.column("eval", "val_loss")
    )


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(measured, changes, st.booleans()), min_size=50, max_size=120),
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
)
def test_extremes_means_and_figures_are_those_of_all_rows(
    rows: list[tuple[Mapping[str, Any], int, bool]], parts: list[int]
) -> None:
    lines = written(rows)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.touch()
        thinned = RunSeries(path, thinning=FEW)
        while lines:
            size = parts.pop() if parts else len(lines)
            with path.open("ab") as file:
                file.writelines(lines[:size])
            del lines[:size]
            thinned.poll()
            assert_keeps_extremes_and_figures(thinned, whole(path))


def test_a_run_of_any_length_keeps_a_bounded_number_of_rows(tmp_path: Path) -> None:
    limits = Thinning(recent=20, buckets=10)
    path = tmp_path / "m"
    thinned = RunSeries(path, thinning=limits)
    for start in range(0, 3000, 50):
        with path.open("ab") as file:
            file.writelines(encode_row(train_row(step)) for step in range(start, start + 50))
        thinned.poll()
        assert thinned.rows <= 2 * limits.recent + 2 * limits.buckets
    curve = thinned.curve("train", "train_loss")
    assert curve.x[0] == 0
    assert curve.x[-limits.recent :].tolist() == list(range(3000 - limits.recent, 3000))
    assert curve.buckets is not None
    assert curve.buckets.rows.sum() > 2900
    assert curve.buckets.rows.max() < 3000 / limits.buckets * 4
    assert limits.buckets // 2 <= len(curve.buckets) <= limits.buckets


def test_a_bucket_has_the_same_two_ends_on_every_axis(tmp_path: Path) -> None:
    path = tmp_path / "m"
    rows = [status_row(0, "running"), *(train_row(step) for step in range(1, 40))]
    path.write_bytes(b"".join(map(encode_row, rows)))
    series = RunSeries(path, thinning=FEW)
    series.poll()
    curves = {axis: series.curve("train", "train_loss", axis) for axis in AXES}
    buckets = curves["step"].buckets
    assert buckets is not None
    old = 2 * len(buckets)
    np.testing.assert_array_equal(curves["tokens"].x[:old], curves["step"].x[:old] * 10)
    np.testing.assert_array_equal(curves["time"].x[:old], curves["step"].x[:old])


def test_old_rows_without_a_time_are_left_out_of_a_curve_over_time(tmp_path: Path) -> None:
    path = tmp_path / "m"
    rows = [train_row(step, time=None if step < 20 else 1000.0 + step) for step in range(60)]
    path.write_bytes(b"".join(map(encode_row, rows)))
    series = RunSeries(path, thinning=Thinning(recent=4, buckets=8))
    series.poll()
    curve = series.curve("train", "train_loss", "time")
    assert curve.buckets is not None
    assert np.isfinite(curve.x).all()
    assert len(curve.x) > 2 * len(curve.buckets)
    assert curve.buckets.finite.sum() + len(curve.x) - 2 * len(curve.buckets) >= 40


def test_a_resume_into_thinned_rows_leaves_none_of_the_superseded_ones(tmp_path: Path) -> None:
    path = tmp_path / "m"
    heard: list[int] = []

    def listen(part: Poll) -> None:
        heard.extend(row["step"] for row in part.rows)

    path.write_bytes(b"".join(encode_row(train_row(step)) for step in range(100)))
    series = RunSeries(path, listener=listen, thinning=FEW)
    series.poll()
    again = [resume_row(50), *(train_row(step, train_loss=9.0) for step in range(51, 70))]
    with path.open("ab") as file:
        file.writelines(map(encode_row, again))
    assert series.poll()

    assert_keeps_extremes_and_figures(series, whole(path))
    # No row is reported twice, though the file was read twice.
    assert heard == [*range(100), 50, *range(51, 70)]
    assert not series.was_reset


def test_a_file_that_often_goes_back_is_seldom_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    path.touch()
    series = RunSeries(path, thinning=FEW)
    readings: list[int] = []
    read_again = series._read_again

    def counted() -> None:
        readings.append(1)
        read_again()

    monkeypatch.setattr(series, "_read_again", counted)
    for _ in range(30):
        with path.open("ab") as file:
            file.writelines(encode_row(train_row(step)) for step in range(40))
        series.poll()
    assert 1 <= len(readings) <= 4
    assert series.column("train", "step").tolist() == list(range(40))


def test_the_median_of_a_throughput_that_keeps_falling_stays_exact(tmp_path: Path) -> None:
    path = tmp_path / "m"
    series = RunSeries(path, thinning=FEW)
    for start in range(0, 1000, 50):
        rows = (train_row(step, tokens_per_sec=5000.0 - step) for step in range(start, start + 50))
        with path.open("ab") as file:
            file.writelines(map(encode_row, rows))
        series.poll()
        median = summary_of(series).tokens_per_sec_median
        assert median == 5000.0 - (start + 49) / 2


def test_the_newest_number_is_found_among_thinned_rows(tmp_path: Path) -> None:
    path = tmp_path / "m"
    rows = [train_row(step, grad_norm=float(step) if step < 7 else None) for step in range(60)]
    path.write_bytes(b"".join(map(encode_row, rows)))
    series = RunSeries(path, thinning=FEW)
    series.poll()
    assert series.newest("train", "grad_norm") == 6.0
    assert series.newest("train", "nothing") is None
    assert math.isnan(series.column("train", "grad_norm")[-1])


def test_another_file_in_its_place_is_read_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"".join(encode_row(train_row(step)) for step in range(100)))
    series = RunSeries(path, thinning=FEW)
    series.poll()
    path.unlink()
    path.write_bytes(b"".join(encode_row(eval_row(step, 2.0)) for step in range(3)))
    assert series.poll()
    assert series.was_reset
    assert series.curve("train", "train_loss").x.size == 0
    assert summary_of(series) == summary_of(whole(path))
