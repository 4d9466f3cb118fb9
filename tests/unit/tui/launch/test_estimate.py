"""Texts of an estimate, and the process that times steps."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from transformer_playground.training.estimate import Estimate
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.estimate import TimedSteps, needs_text, source_text

KNOWN = Estimate(
    parameters=1000,
    tokens=2_000_000,
    flop=3 * 10**12,
    seconds=90.0,
    memory=800 << 20,
    disk=25 << 20,
    device="cpu",
    dtype="float32",
    steps=100,
    step_seconds=0.5,
    timed_steps=0,
    evaluations=2,
    evaluation_seconds=1.0,
    samples=0,
    sample_seconds=0.0,
    checkpoints=3,
    checkpoint_seconds=0.1,
    run="first",
)


def test_an_estimate_of_the_same_shape_is_stated_plainly() -> None:
    assert needs_text(KNOWN) == (
        "1m 30s · 800.0 MiB of memory · 25.0 MiB of disk · 3.000T FLOP · 2.00M tokens"
    )
    assert source_text(KNOWN, str.upper) == "from FIRST, a run with the same steps"


def test_a_rough_estimate_says_so() -> None:
    rough = replace(KNOWN, is_same_shape=False)
    assert needs_text(rough).startswith("about 1m 30s · about 800.0 MiB of memory")
    assert source_text(rough, str) == "by the speed of first, a run with other steps"


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(KNOWN, seconds=None, memory=None, flop=None, run=None)
    assert needs_text(bare) == "25.0 MiB of disk · 2.00M tokens"
    assert "no run on this machine" in source_text(bare, str)


@pytest.mark.parametrize("name", ["missing", "--help"])
def test_a_process_that_fails_gives_its_sentence(name: str, tmp_path: Path) -> None:
    outcome = TimedSteps(tmp_path, tmp_path, Launch(name)).run()
    assert isinstance(outcome, str)
    assert "Traceback" not in outcome


def test_steps_that_cannot_be_started_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    outcome = TimedSteps(tmp_path, tmp_path, Launch("missing")).run()
    assert outcome == "The steps cannot be started: No space left on device."


def test_cancelled_steps_give_nothing(tmp_path: Path) -> None:
    steps = TimedSteps(tmp_path, tmp_path, Launch("missing"))
    steps.cancel()
    assert steps.run() is None
