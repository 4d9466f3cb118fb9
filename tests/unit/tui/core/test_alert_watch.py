"""The watch over runs in training raises each alert once."""

import shutil
from pathlib import Path

import pytest

from builders.runs import append_rows, make_run, run_info, status_row, train_row
from transformer_playground.runs.alerts import Alert
from transformer_playground.tui.core import alert_watch
from transformer_playground.tui.core.alert_watch import MOST_ALERTS, AlertLog, AlertWatch


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


def test_it_does_not_check_more_often_than_it_should(tmp_path: Path) -> None:
    make_run(tmp_path, "a", [train_row(1, train_loss=None)])
    watch = AlertWatch(tmp_path)
    runs = {"a": run_info("a", "running")}
    assert len([each for each in watch.check(runs) if each.run_id == "a"]) == 1
    assert watch.check(runs) == ()
