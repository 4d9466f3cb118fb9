"""The watch over runs in training raises each alert once."""

import shutil
import time
from pathlib import Path

import pytest

from builders.runs import (
    append_rows,
    eval_row,
    make_run,
    resume_row,
    run_info,
    status_row,
    train_row,
)
from transformer_playground.runs.alerts import Alert
from transformer_playground.tui.core import alert_watch, dismissed_failures, run_tails
from transformer_playground.tui.core.alert_watch import MOST_ALERTS, AlertLog, AlertWatch
from transformer_playground.tui.core.dismissed_failures import FILE_NAME, DismissedFailures


def alert(step: int) -> Alert:
    return Alert("spike", "a", step, None, "jumped")


def test_an_alert_is_raised_once_and_a_dismissed_one_does_not_come_back() -> None:
    log = AlertLog()
    assert log.add([alert(1), alert(2)]) == (alert(1), alert(2))
    assert log.add([alert(1), alert(3)]) == (alert(3),)
    assert log.alerts == (alert(3), alert(2), alert(1))
    log.dismiss(alert(2))
    log.dismiss(alert(2))
    assert log.add([alert(2)]) == ()
    log.dismiss_all()
    assert not log.alerts
    assert log.add([alert(1), alert(2), alert(3)]) == ()
    assert len(log.add(map(alert, range(10, 10 + 2 * MOST_ALERTS)))) == 2 * MOST_ALERTS
    assert len(log.alerts) == MOST_ALERTS


def test_runs_in_training_are_watched_and_once_more_when_they_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_watch, "_LEAST_INTERVAL", 0.0)
    monkeypatch.setattr(alert_watch, "_MAX_LOAD", 1e9)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 0, 1 << 40))
    run = make_run(tmp_path, "a", [train_row(1), train_row(2, train_loss=None)])
    make_run(tmp_path, "old", [train_row(2, train_loss=None)])
    watch = AlertWatch(tmp_path)
    runs = {"a": run_info("a", "running"), "old": run_info("old", "finished")}
    assert [(each.run_id, each.step) for each in watch.check(runs)] == [("a", 2)]
    append_rows(run, [status_row(3, "failed", error="loss is nan")])
    runs["a"] = run_info("a", "failed")
    assert [each.kind for each in watch.check(runs)] == ["non-finite", "failed"]
    assert watch.check(runs) == ()
    # A folder that vanishes takes nothing with it.
    runs["a"] = run_info("a", "running")
    shutil.rmtree(run.root)
    assert watch.check(runs) == ()


def test_a_run_that_fails_between_two_checks_is_an_alert_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_watch, "_LEAST_INTERVAL", 0.0)
    monkeypatch.setattr(alert_watch, "_MAX_LOAD", 1e9)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 0, 1 << 40))
    for run_id in ("quick", "past"):
        make_run(tmp_path, run_id, [status_row(1, "failed", error="loss is nan")])
    watch = AlertWatch(tmp_path)
    runs = {
        "quick": run_info("quick", "failed", updated=time.time() + 1),
        "past": run_info("past", "failed", updated=time.time() - 3600),
    }
    assert [(each.kind, each.run_id) for each in watch.check(runs)] == [("failed", "quick")]
    assert watch.check(runs) == ()


def test_failures_of_the_last_day_are_alerts_at_the_start_until_they_are_dismissed(
    tmp_path: Path,
) -> None:
    watch, now = AlertWatch(tmp_path), time.time()
    ages = {"old": 90_000.0, "earlier": 7200.0, "recent": 3600.0, "now": -1.0}
    runs = {
        name: run_info(name, "failed", problem="loss is nan\x1b", step=7, updated=now - age)
        for name, age in ages.items()
    }
    runs["fine"] = run_info("fine", updated=now - 60)
    found = watch.earlier_failures(runs, {})
    assert [(each.run_id, each.step) for each in found] == [("earlier", 7), ("recent", 7)]
    assert found[0].text == "failed: loss is nan␛"
    assert found[0].time == now - 7200.0
    # Dismissed before it failed once more.
    dismissed = {"earlier": now - 7000.0, "recent": now - 8000.0}
    assert [each.run_id for each in watch.earlier_failures(runs, dismissed)] == ["recent"]


def test_dismissed_failures_are_kept_for_a_day_beside_the_settings(tmp_path: Path) -> None:
    path, now = tmp_path / "config" / FILE_NAME, time.time()
    here, there = tmp_path / "a", tmp_path / "b"
    DismissedFailures(here, path).add(["old"], now - 90_000.0)
    DismissedFailures(here, path).add(["one", "two"], now)
    DismissedFailures(there, path).add(["three"], now)
    assert DismissedFailures(here, path).times() == {"one": now, "two": now}
    assert DismissedFailures(there, path).times() == {"three": now}
    assert "old" not in path.read_text()
    for broken in ("[", "[]", '{"a": 1}', '{"a": {"b": "c"}}'):
        path.write_text(broken)
        assert DismissedFailures(here, path).times() == {}
    path.unlink()
    path.mkdir()
    unwritable = DismissedFailures(here, path)
    unwritable.add(["one"], now)
    assert unwritable.times() == {"one": now}


def test_no_other_console_writes_while_one_adds_dismissed_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / FILE_NAME, time.time()
    one, other = DismissedFailures(tmp_path, path), DismissedFailures(tmp_path, path)
    read, waiting = DismissedFailures._read, []

    def read_while_the_other_adds(failures: DismissedFailures) -> dict[str, dict[str, float]]:
        found = read(failures)
        if failures is one:
            monkeypatch.setattr(dismissed_failures, "_MOST_WAITING_SECONDS", 0.0)
            other.add(["other"], now)
            waiting.append(path.exists())
        return found

    monkeypatch.setattr(DismissedFailures, "_read", read_while_the_other_adds)
    one.add(["one"], now)
    # The other waited in vain, and adds it at its next chance.
    assert waiting == [False]
    other.add(["later"], now)
    assert read(one)[str(tmp_path)] == dict.fromkeys(("one", "other", "later"), now)


def test_what_the_user_dismisses_is_announced_but_not_what_the_list_drops() -> None:
    told: list[Alert] = []
    log = AlertLog(told.extend)
    log.add(map(alert, range(MOST_ALERTS + 5)))
    assert told == []
    log.dismiss(alert(7))
    log.dismiss(alert(7))
    log.dismiss_all()
    assert len(told) == MOST_ALERTS
    assert told[0] == alert(7)


def test_a_condition_that_lasts_is_one_alert_when_rows_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_watch, "_LEAST_INTERVAL", 0.0)
    monkeypatch.setattr(alert_watch, "_MAX_LOAD", 1e9)
    monkeypatch.setattr(alert_watch, "_TAIL", 4_000)
    monkeypatch.setattr(run_tails, "_MOST_ROWS", 60)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 0, 1 << 40))
    run = make_run(tmp_path, "a", [train_row(1)])
    watch, log = AlertWatch(tmp_path), AlertLog()
    runs = {"a": run_info("a", "running")}

    def raised(steps: range, loss: float | None) -> list[str]:
        append_rows(run, [train_row(step, train_loss=loss) for step in steps])
        found = log.add(watch.check(runs))
        log.dismiss_all()
        return [f"{each.kind} {each.step}" for each in found]

    # The losses are not finite for longer than a tail, then they recover, and are not again.
    assert raised(range(2, 10), None) == ["non-finite 2"]
    assert raised(range(10, 50), None) == []
    assert raised(range(50, 120), None) == []
    assert raised(range(120, 125), None) == []
    assert raised(range(125, 130), 2.0) == []
    assert raised(range(130, 135), None) == ["non-finite 130"]
    # A run that has paused is read again, too.
    runs["a"] = run_info("a", "paused")
    assert raised(range(135, 140), None) == []
    runs["a"] = run_info("a", "running")
    assert raised(range(140, 145), None) == []
    # The steps after the checkpoint where it resumes are new.
    append_rows(run, [resume_row(100)])
    assert raised(range(101, 110), 2.0) == []
    assert raised(range(110, 112), None) == ["non-finite 110"]


def test_a_validation_loss_that_keeps_rising_is_one_alert_when_rows_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_watch, "_LEAST_INTERVAL", 0.0)
    monkeypatch.setattr(alert_watch, "_MAX_LOAD", 1e9)
    monkeypatch.setattr(alert_watch, "_TAIL", 500)
    monkeypatch.setattr(run_tails, "_MOST_ROWS", 8)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 0, 1 << 40))
    losses = [*(2.0 + step / 10 for step in range(30)), 2.0, *(2.0 + k / 10 for k in range(1, 6))]
    run = make_run(tmp_path, "a", [])
    watch, log = AlertWatch(tmp_path), AlertLog()
    steps = []
    for step, loss in enumerate(losses, 1):
        append_rows(run, [eval_row(step, loss)])
        steps += [each.step for each in log.add(watch.check({"a": run_info("a", "running")}))]
    assert steps == [6, 36]


def test_checks_of_several_threads_do_not_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, "a", [train_row(1, train_loss=None)])
    watch, runs = AlertWatch(tmp_path), {"a": run_info("a", "running")}
    inner = []

    def check_too(_: Path) -> None:
        inner.append(watch.check(runs))

    monkeypatch.setattr("transformer_playground.runs.alerts.disk_alert", check_too)
    assert [each.step for each in watch.check(runs)] == [1]
    assert inner == [()]


def test_it_does_not_check_more_often_than_it_should(tmp_path: Path) -> None:
    make_run(tmp_path, "a", [train_row(1, train_loss=None)])
    watch = AlertWatch(tmp_path)
    runs = {"a": run_info("a", "running")}
    assert len([each for each in watch.check(runs) if each.run_id == "a"]) == 1
    assert watch.check(runs) == ()
