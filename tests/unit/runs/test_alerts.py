"""Rules that tell from metrics what may be wrong with a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from builders.runs import append_rows, eval_row, make_run, resume_row, status_row, train_row
from transformer_playground.runs.alerts import (
    LEAST_FREE,
    RISES,
    Alert,
    alerts_of,
    disk_alert,
    read_alerts,
)
from transformer_playground.runs.metrics import tail_offset
from transformer_playground.runs.series import RunSeries


def raised(folder: Path, rows: Iterable[dict[str, Any]]) -> list[tuple[str, int | None]]:
    run = make_run(folder, f"run-{len(list(folder.iterdir()))}", rows)
    return [(alert.kind, alert.step) for alert in read_alerts(run.run_id, run.metrics_path)]


def losses(*values: float | None) -> list[dict[str, Any]]:
    return [train_row(step, train_loss=value) for step, value in enumerate(values, start=1)]


def noisy(count: int) -> list[float]:
    return [2.0 + 0.05 * (step % 7 - 3) for step in range(count)]


def test_a_healthy_run_raises_nothing(tmp_path: Path) -> None:
    falling = [3 * 0.98**step + 0.05 * (step % 5) for step in range(300)]
    rows = [status_row(0, "running"), *losses(*falling)]
    rows += [eval_row(step, 3 - step / 200) for step in range(0, 301, 20)]
    assert raised(tmp_path, [*rows, status_row(300, "finished")]) == []
    assert raised(tmp_path, []) == []


def test_a_loss_that_is_not_finite_is_raised_where_it_begins(tmp_path: Path) -> None:
    rows = [*losses(2.0, None, None, 2.0, None), eval_row(3, None)]
    assert raised(tmp_path, rows) == [("non-finite", 2), ("non-finite", 3), ("non-finite", 5)]
    # A row of another sink has no loss at all.
    assert raised(tmp_path, [{"event": "eval", "step": 1, "time": 1.0, "accuracy": 0.5}]) == []


def test_a_spike_is_raised_once_and_noise_is_none(tmp_path: Path) -> None:
    assert raised(tmp_path, losses(*noisy(40), 4.0, 3.9, 3.5, *noisy(30))) == [("spike", 41)]
    # Not more than a fifth above, or within the noise.
    assert raised(tmp_path, losses(*noisy(40), 2.3, *noisy(30))) == []
    wild = [2.0 + step % 2 for step in range(40)]
    assert raised(tmp_path, losses(*wild, 4.5, *wild)) == []
    # Nothing to compare it with.
    assert raised(tmp_path, losses(*noisy(10), 9.0)) == []


def test_a_spike_says_from_what_to_what(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", losses(*[2.0] * 30, 4.0))
    (alert,) = read_alerts("a", run.metrics_path)
    assert alert == Alert("spike", "a", 31, 1031.0, "training loss jumped to 4.0000 from 2.0000")


def test_validation_that_rises_for_five_evaluations_is_raised_once(tmp_path: Path) -> None:
    up = [2.0 + step / 10 for step in range(RISES + 4)]
    rows = [eval_row(step, loss) for step, loss in enumerate([3.0, *up])]
    assert raised(tmp_path, rows) == [("validation rising", RISES + 1)]
    dip = [eval_row(step, loss) for step, loss in enumerate([*up[:RISES], 1.0, *up[1:RISES]])]
    assert raised(tmp_path, dip) == []
    # Losses on other windows do not compare.
    rows = [eval_row(step, loss, eval_windows=9 - step) for step, loss in enumerate(up)]
    assert raised(tmp_path, rows) == []


@pytest.mark.parametrize("before", [30, 400])
def test_half_the_speed_is_raised_when_it_lasts(tmp_path: Path, before: int) -> None:
    def speeds(*values: float) -> list[dict[str, Any]]:
        return [train_row(step, tokens_per_sec=speed) for step, speed in enumerate(values)]

    run = make_run(tmp_path, "slow", speeds(*[8000.0] * before, *[3000.0] * 10))
    (alert,) = read_alerts("slow", run.metrics_path)
    assert (alert.kind, alert.step) == ("slow", before + 2)
    assert alert.text == "speed fell to 37.5%: 3.00k tokens/s after 8.00k"
    assert raised(tmp_path, speeds(*[8000.0] * before, 100.0, 100.0, *[8000.0] * 10)) == []
    assert raised(tmp_path, speeds(*[8000.0] * before, *[4500.0] * 20)) == []
    wavering = [*[3900.0] * 5, *[4200.0] * 5, *[3900.0] * 5]
    rows = speeds(*[8000.0] * before, *wavering)
    assert len(raised(tmp_path, rows)) == 1
    recovered = [*[3000.0] * 5, *[8000.0] * 20, *[3000.0] * 5]
    assert len(raised(tmp_path, speeds(*[8000.0] * before, *recovered))) == 2


def test_a_failure_is_raised_with_its_reason_until_the_run_is_resumed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [train_row(1), status_row(2, "failed", error="no \x1bspace")])
    (alert,) = read_alerts("a", run.metrics_path)
    assert (alert.kind, alert.step, alert.text) == ("failed", 2, "failed: no ␛space")
    append_rows(run, [resume_row(1), status_row(1, "running")])
    assert read_alerts("a", run.metrics_path) == ()


def test_little_space_on_the_disk_is_raised(tmp_path: Path) -> None:
    assert disk_alert(tmp_path, LEAST_FREE) is None
    alert = disk_alert(tmp_path, 5 << 20)
    assert alert is not None
    assert (alert.kind, alert.run_id) == ("disk", None)
    assert "5.0 MiB free" in alert.text
    assert disk_alert(tmp_path / "missing") is None


def test_a_reader_of_the_tail_raises_the_same_alert_as_one_of_the_whole_file(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "a", losses(*noisy(200), 5.0, *noisy(20)))
    path = run.metrics_path
    sizes = [10, 4_000, 20_000, 10**9]
    for size in sizes:
        tail = RunSeries(path, tail_offset(path, size))
        assert not tail.poll() or not tail.was_reset
        steps = tail.column("train", "step").tolist()
        assert steps == [float(step) for step in range(222 - len(steps), 222)]
        expected = [("spike", 201)] if len(steps) > 60 else []
        assert [(each.kind, each.step) for each in alerts_of("a", tail)] == expected
    whole_line = len(path.read_bytes().splitlines(keepends=True)[-1])
    assert tail_offset(path, whole_line).offset == path.stat().st_size - whole_line
    assert tail_offset(tmp_path / "missing", 10).offset == 0
