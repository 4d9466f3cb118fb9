"""A learning-rate range test for the launch form, in a process of its own."""

import json
from collections.abc import Callable
from pathlib import Path

from transformer_playground.training.launch import Launch
from transformer_playground.training.lr_range import RangeTest, range_test_from_json
from transformer_playground.tui.core.tp_process import TpProcess
from transformer_playground.tui.launch.variants import listed_keys


def untestable(launch: Launch) -> str:
    """Why a launch has no range test; empty if it has one."""
    if launch.origin is not None:
        return "A range test trains a new model: it is for new runs."
    if listed := listed_keys(launch.overrides):
        return f"A range test is for one run: choose one value of {listed[0]}."
    return ""


class RateTest:
    """A child process that tests the learning rates of a launch; `cancel` ends it."""

    def __init__(self, experiments_dir: Path, runs_dir: Path, launch: Launch) -> None:
        arguments = ["lr-find", "--json"]
        for override in launch.overrides:
            arguments += ["--set", override]
        arguments += ["--experiments-dir", str(experiments_dir), "--runs-dir", str(runs_dir)]
        self._process = TpProcess([*arguments, "--", launch.experiment])

    def run(self, on_note: Callable[[str], object] = lambda _: None) -> RangeTest | str | None:
        """The test, or why there is none; None if it was cancelled. Blocks for seconds.

        Args:
            on_note: Called with each line about its progress.
        """
        try:
            ended = self._process.run(on_note)
        except OSError as error:
            return f"The test cannot be started: {error.strerror or error}."
        if ended is None or self._process.is_stopped:
            return None
        if ended.code:
            return ended.problem or "The test has failed."
        try:
            return range_test_from_json(json.loads(ended.output))
        except (ValueError, RecursionError):
            return "The test has ended without a result that can be read."

    def cancel(self) -> None:
        """End the process; `run` returns None."""
        self._process.kill()
