"""Signals during training."""

import signal

import pytest

from transformer_playground.cli.output import INTERRUPTED, run_command
from transformer_playground.cli.train import stop_on_signals
from transformer_playground.training.control import TrainingControl


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_is_recorded_and_requests_a_stop(
    number: signal.Signals, code: int
) -> None:
    control = TrainingControl()
    before = signal.getsignal(number)
    with stop_on_signals(control) as request:
        signal.raise_signal(number)
    assert request.signal is number
    assert request.exit_code == code
    assert control.stopping
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_second_signal_ends_the_process_with_its_exit_code(
    number: signal.Signals, code: int
) -> None:
    def impatient() -> None:
        with stop_on_signals(TrainingControl()):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(number)

    with pytest.raises(SystemExit) as ended:
        impatient()
    assert ended.value.code == code


def test_a_second_ctrl_c_is_an_interruption() -> None:
    def impatient() -> int:
        with stop_on_signals(TrainingControl()):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
        return 0

    assert run_command(impatient) == INTERRUPTED
