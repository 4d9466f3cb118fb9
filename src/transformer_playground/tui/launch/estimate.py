"""What a launch needs, for the launch form: from earlier runs at once, from timed steps on request.

The steps run in a process of their own, so that the console neither loads torch nor waits.
"""

import json
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path

from transformer_playground.errors import PlaygroundError
from transformer_playground.formatting import count_text, duration_text, size_text, value_text
from transformer_playground.training.estimate import Estimate
from transformer_playground.training.launch import Launch, resolve_launch

_RUN_TP = "from transformer_playground.cli.main import run; run()"


def known_estimate(experiments_dir: Path, runs_dir: Path, launch: Launch) -> Estimate | None:
    """The estimate from earlier runs, a rough one included; None if nothing is known yet."""
    try:
        return resolve_launch(experiments_dir, runs_dir, launch).known_estimate(rough=True)
    except PlaygroundError:
        return None


def needs_text(estimate: Estimate) -> str:
    """Time, memory, disk space and operations in one line."""
    about = "" if estimate.is_same_shape else "about "
    parts = []
    if estimate.seconds is not None:
        parts.append(f"{about}{duration_text(estimate.seconds)}")
    if estimate.memory is not None:
        parts.append(f"{about}{size_text(estimate.memory)} of memory")
    parts.append(f"{size_text(estimate.disk)} of disk")
    if estimate.flop is not None:
        parts.append(f"{value_text(estimate.flop)} FLOP")
    parts.append(f"{count_text(estimate.tokens)} tokens")
    return " · ".join(parts)


def source_text(estimate: Estimate) -> str:
    """Where the time comes from."""
    if estimate.timed_steps:
        return f"from {estimate.timed_steps} timed steps"
    if estimate.run is None:
        return "time unknown: no run on this machine yet"
    shape = "of the same shape" if estimate.is_same_shape else "of another shape"
    return f"from {estimate.run}, a run {shape}"


class TimedSteps:
    """A child process that times a few steps of a launch; `cancel` ends it."""

    def __init__(self, experiments_dir: Path, runs_dir: Path, launch: Launch) -> None:
        arguments = ["train", "--estimate", "--timed", "--json"]
        for override in launch.overrides:
            arguments += ["--set", override]
        arguments += ["--experiments-dir", str(experiments_dir), "--runs-dir", str(runs_dir)]
        arguments += ["--", launch.experiment]
        # Without -P a file of the working folder could take the place of a library.
        self._command = [sys.executable, "-P", "-c", _RUN_TP, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._is_cancelled = False

    def run(self) -> Estimate | str | None:
        """The estimate, or why there is none; None if it was cancelled. Blocks for seconds."""
        with self._lock:
            if self._is_cancelled:
                return None
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        output, problem = self._process.communicate()
        if self._is_cancelled:
            return None
        if self._process.returncode:
            return _reason(problem)
        values = json.loads(output)
        known = {each.name for each in fields(Estimate)}
        return Estimate(**{name: value for name, value in values.items() if name in known})

    def cancel(self) -> None:
        """End the process; `run` returns None."""
        with self._lock:
            self._is_cancelled = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()


def _reason(problem: str) -> str:
    lines = [line for line in problem.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else lines[-1] if lines else "The steps could not be timed."
