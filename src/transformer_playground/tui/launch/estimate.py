"""What a launch needs, for the launch form: from earlier runs at once, from timed steps on request.

The steps run in a process of their own, so that the console neither loads torch nor waits.
"""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from transformer_playground.errors import PlaygroundError
from transformer_playground.formatting import count_text, duration_text, size_text, value_text
from transformer_playground.runs.folder import open_run
from transformer_playground.training.branching import branch_step, counted_seconds
from transformer_playground.training.estimate import Estimate
from transformer_playground.training.launch import Launch, ResolvedLaunch, resolve_launch
from transformer_playground.tui.core.tp_process import TpProcess


def known_estimate(experiments_dir: Path, runs_dir: Path, launch: Launch) -> Estimate | None:
    """The estimate from earlier runs, a rough one included; None if nothing is known yet."""
    try:
        return remaining_part(resolve_launch(experiments_dir, runs_dir, launch)).known_estimate(
            rough=True
        )
    except PlaygroundError:
        return None


def remaining_part(resolved: ResolvedLaunch) -> ResolvedLaunch:
    """A branch as a run of only the steps that it trains, to estimate it; others as they are."""
    branch, config = resolved.launch.branch, resolved.loaded.config
    step = (
        None if branch is None else branch_step(open_run(resolved.runs_dir, branch[0]), branch[1])
    )
    if not step:
        return resolved
    runtime = config.train.runtime
    less: dict[str, object] = {"max_iters": max(1, runtime.max_iters - step)}
    if runtime.max_minutes and branch is not None:
        counted = counted_seconds(open_run(resolved.runs_dir, branch[0]), step)
        # 0 would be no limit.
        less["max_minutes"] = max(1e-3, runtime.max_minutes - counted / 60)
    shorter = runtime.model_copy(update=less)
    train = config.train.model_copy(update={"runtime": shorter})
    loaded = replace(resolved.loaded, config=config.model_copy(update={"train": train}))
    return replace(resolved, loaded=loaded)


def needs_text(estimate: Estimate, count: int = 1) -> str:
    """Time, memory, disk space and operations in one line, and the time of `count` such runs."""
    about = "" if estimate.is_same_shape else "about "
    parts = []
    if estimate.seconds is not None:
        several = f" × {count} = {duration_text(estimate.seconds * count)}" if count > 1 else ""
        parts.append(f"{about}{duration_text(estimate.seconds)}{several}")
    if estimate.memory is not None:
        parts.append(f"{about}{size_text(estimate.memory)} of memory")
    parts.append(f"{size_text(estimate.disk)} of disk")
    if estimate.flop is not None:
        parts.append(f"{value_text(estimate.flop)} FLOP")
    parts.append(f"{count_text(estimate.tokens)} tokens")
    return " · ".join(parts)


def source_text(estimate: Estimate, name_of: Callable[[str], str]) -> str:
    """Where the time comes from; `name_of` names the earlier run."""
    if estimate.timed_steps:
        return f"from {estimate.timed_steps} timed steps"
    if estimate.run is None:
        return "time unknown: no run on this machine yet"
    name = name_of(estimate.run)
    if estimate.is_same_shape:
        return f"from {name}, a run with the same steps"
    return f"by the speed of {name}, a run with other steps"


class TimedSteps:
    """A child process that times a few steps of a launch; `cancel` ends it."""

    def __init__(self, experiments_dir: Path, runs_dir: Path, launch: Launch) -> None:
        arguments = ["train", "--estimate", "--timed", "--json"]
        for override in launch.overrides:
            arguments += ["--set", override]
        arguments += ["--experiments-dir", str(experiments_dir), "--runs-dir", str(runs_dir)]
        self._process = TpProcess([*arguments, "--", launch.experiment])

    def run(self) -> Estimate | str | None:
        """The estimate, or why there is none; None if it was cancelled. Blocks for seconds."""
        try:
            ended = self._process.run()
        except OSError as error:
            return f"The steps cannot be started: {error.strerror or error}."
        if ended is None or self._process.is_stopped:
            return None
        if ended.code:
            return ended.problem or "The steps could not be timed."
        values = json.loads(ended.output)
        known = {each.name for each in fields(Estimate)}
        return Estimate(**{name: value for name, value in values.items() if name in known})

    def cancel(self) -> None:
        """End the process; `run` returns None."""
        self._process.kill()
