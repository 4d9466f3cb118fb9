"""The thread that reads requests, and the answers of the trainer."""

from pathlib import Path

import pytest

from builders.runs import make_run, status_row
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.requests import Action, Request, send_request
from transformer_playground.runs.status import RunLock
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Event, RequestAnswered, Warned
from transformer_playground.training.requests import Answers, RequestReader


def request(action: Action, name: str = "1-0000abcd") -> Request:
    return Request(name, action, "elsewhere")


def answers(control: TrainingControl) -> tuple[Answers, list[Event]]:
    events: list[Event] = []
    return Answers(control, events.append), events


def outcome(events: list[Event]) -> list[tuple[str, bool]]:
    return [(each.action, each.done) for each in events if isinstance(each, RequestAnswered)]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path, "tiny-1", [status_row(0, "running")])


def test_the_reader_passes_requests_on_and_warns_once_about_all_others(run: RunFolder) -> None:
    control = TrainingControl()
    with RunLock(run) as lock:
        send_request(run, "pause")
        send_request(run, "evaluate")
        for number in range(3):
            (run.requests / f"{number}-0000abcd.json").write_text("\x1b{", encoding="utf-8")
        RequestReader(run, lock.session, control).read()
    assert control.paused
    assert control.take().actions == {"evaluate"}
    assert control.take_warnings() == [
        "request refused: 0-0000abcd.json: it is not valid JSON, and 2 more"
    ]


def test_the_reader_reads_at_once_and_removes_what_comes_too_late(run: RunFolder) -> None:
    control = TrainingControl()
    with RunLock(run) as lock:
        send_request(run, "stop")
        reader = RequestReader(run, lock.session, control)
        with reader:
            pass
        assert control.stopping
        send_request(run, "checkpoint")
        reader.__exit__()
    assert not control.has_request()
    assert list(run.requests.iterdir()) == []


@pytest.mark.parametrize("action", ["evaluate", "sample", "checkpoint"])
def test_what_was_taken_is_answered_by_whether_it_was_completed(action: Action) -> None:
    given, events = answers(TrainingControl())
    given.completed.add(action)
    given.give(3, [request(action)], ending=False)
    given.give(4, [request(action)], ending=False)
    assert outcome(events) == [(action, True), (action, False)]
    assert [event.step for event in events] == [3, 4]


def test_a_pause_within_an_evaluation_forgets_nothing_that_was_completed() -> None:
    control = TrainingControl()
    given, events = answers(control)
    given.completed.add("evaluate")
    control.receive(request("pause"))
    given.give_switches(3)
    given.give(3, [request("evaluate")], ending=False)
    assert outcome(events) == [("pause", True), ("evaluate", True)]


def test_a_pause_after_a_stop_is_not_done_and_the_stop_is_answered_last() -> None:
    control = TrainingControl()
    given, events = answers(control)
    control.receive(request("stop"))
    control.receive(request("pause"))
    given.give(3, (), ending=False)
    assert outcome(events) == [("pause", False)]
    given.give(3, (), ending=True)
    assert outcome(events) == [("pause", False), ("stop", True)]


def test_warnings_are_told_with_the_answers() -> None:
    control = TrainingControl()
    given, events = answers(control)
    control.warn("request refused")
    given.give(3, (), ending=False)
    assert [type(event) for event in events] == [Warned]
    given.give(3, (), ending=False)
    assert len(events) == 1
