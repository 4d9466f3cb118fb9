import threading

import pytest

from transformer_playground.training.control import TrainingControl


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
    assert (control.take_evaluate(), control.take_sample(), control.take_checkpoint()) == (
        True,
        True,
        True,
    )
    assert not control.take_evaluate()
    assert not control.has_request()


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
