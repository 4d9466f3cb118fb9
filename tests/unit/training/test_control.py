import threading

import pytest

from transformer_playground.runs.requests import Action, Request
from transformer_playground.training.control import Asked, TrainingControl


def test_stop_releases_a_paused_trainer() -> None:
    control = TrainingControl()
    control.pause()
    waiting = threading.Thread(target=control.wait_while_paused)
    waiting.start()
    control.stop()
    waiting.join(timeout=10.0)
    assert not waiting.is_alive()
    assert control.stopping
    assert not control.paused


def test_a_stopping_trainer_cannot_be_paused_again() -> None:
    control = TrainingControl()
    control.stop()
    control.pause()
    assert not control.paused


def test_a_request_is_taken_once() -> None:
    control = TrainingControl()
    control.evaluate_now()
    control.sample_now()
    control.checkpoint_now()
    assert control.has_request()
    assert control.take().actions == {"evaluate", "sample", "checkpoint"}
    assert not control.take().actions
    assert not control.has_request()


@pytest.mark.parametrize("action", ["evaluate", "sample", "checkpoint"])
def test_a_request_of_another_process_is_taken_with_what_it_asks_for(action: Action) -> None:
    control = TrainingControl()
    request = Request("1-00000000", action, "elsewhere")
    control.receive(request)
    assert control.has_request()
    assert control.has_news
    assert control.take_switches(ending=True) == ()
    assert control.take() == Asked(frozenset({action}), (request,))
    assert not control.has_news
    assert control.take() == Asked()


def test_a_stop_of_another_process_is_answered_only_when_training_ends() -> None:
    control = TrainingControl()
    requests = [Request(str(number), "stop", "elsewhere") for number in range(2)]
    for request in requests:
        control.receive(request)
    assert control.stopping
    assert control.take_switches(ending=False) == ()
    assert control.take_switches(ending=True) == tuple(requests)
    assert control.take_switches(ending=True) == ()


def test_another_process_pauses_and_resumes() -> None:
    control = TrainingControl()
    pause, resume = (Request(action, action, "elsewhere") for action in ("pause", "resume"))
    control.receive(pause)
    assert control.paused
    control.receive(resume)
    assert not control.paused
    assert control.take_switches(ending=False) == (pause, resume)


def test_a_paused_trainer_wakes_to_tell_news_and_then_waits_on() -> None:
    control = TrainingControl()
    control.pause()
    control.warn("refused")
    assert control.wait_while_paused()
    assert control.take_warnings() == ["refused"]
    control.resume()
    assert not control.wait_while_paused()


@pytest.mark.parametrize("request_now", ["evaluate_now", "sample_now", "checkpoint_now"])
def test_each_request_ends_the_wait_of_a_paused_trainer(request_now: str) -> None:
    control = TrainingControl()
    control.pause()
    waiting = threading.Thread(target=control.wait_while_paused, daemon=True)
    waiting.start()
    waiting.join(timeout=0.05)
    assert waiting.is_alive()
    getattr(control, request_now)()
    assert control.has_request()
    waiting.join(timeout=10.0)
    assert not waiting.is_alive()
    assert control.paused


def test_a_trainer_that_is_not_paused_does_not_wait() -> None:
    waiting = threading.Thread(target=TrainingControl().wait_while_paused, daemon=True)
    waiting.start()
    waiting.join(timeout=10.0)
    assert not waiting.is_alive()


def test_a_new_control_asks_for_nothing() -> None:
    control = TrainingControl()
    assert (control.stopping, control.paused, control.has_request()) == (False, False, False)
