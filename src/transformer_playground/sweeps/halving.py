"""Successive halving: all combinations train a little, the better ones go on.

From Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
optimization" (2016). A rung is a number of steps. When all runs of a rung have reached it, the
best share of the combinations goes on to the next. Runs are stopped at a checkpoint of that step
and resumed from it, so that one that goes on equals one that was never stopped.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from transformer_playground.comparison.estimates import estimate
from transformer_playground.errors import ConfigError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import RunSeries
from transformer_playground.sweeps.spec import Halving
from transformer_playground.sweeps.trials import TrialState
from transformer_playground.training.launch import ResolvedLaunch

LossAt = Callable[[TrialState, int], float | None]


def check_halving(halving: Halving, launches: Iterable[ResolvedLaunch]) -> int:
    """Steps of the runs.

    Raises:
        ConfigError: Runs have different numbers of steps, or a rung has no evaluation.
    """
    runtimes = [launch.loaded.config.train.runtime for launch in launches]
    lengths = sorted({runtime.max_iters for runtime in runtimes})
    if len(lengths) > 1:
        raise ConfigError(
            "--halving compares runs at the same step, so train.runtime.max_iters cannot vary.",
            "Leave out one of them.",
        )
    if halving.steps >= lengths[0]:
        raise ConfigError(
            f"--halving {halving.steps}: the runs have only {lengths[0]} steps.",
            "The first rung is a part of them.",
        )
    for interval in sorted({runtime.eval_interval for runtime in runtimes}):
        if halving.steps % interval:
            raise ConfigError(
                f"--halving {halving.steps} is no multiple of train.runtime.eval_interval = "
                f"{interval}, so there is no evaluation at that step.",
                f"Use {max(1, round(halving.steps / interval)) * interval}, or another interval.",
            )
    return lengths[0]


def decide(
    halving: Halving, states: Sequence[TrialState], max_iters: int, loss_at: LossAt
) -> list[TrialState]:
    """The states with `goal`, the step to which each trial is trained next.

    Trials that are out become "pruned". Those that have reached their rung wait until the others
    have reached it, too.
    """
    groups: dict[str, list[int]] = {}
    for place, state in enumerate(states):
        groups.setdefault(repr(state.trial.values), []).append(place)
    inside, out = list(groups.values()), set[int]()
    goals: list[int | None] = [None] * len(states)
    for rung in halving.rungs(max_iters):
        means = []
        for group in inside:
            losses = [loss_at(states[place], rung) for place in group]
            for place, loss in zip(group, losses, strict=True):
                is_there = loss is not None or states[place].state == "failed"
                goals[place] = None if is_there else rung
            means.append(estimate(losses).mean)
        if any(goals[place] is not None for group in inside for place in group):
            break
        ranked = sorted((mean, place) for place, mean in enumerate(means) if mean is not None)
        chosen = {place for _, place in ranked[: math.ceil(len(inside) / halving.factor)]}
        for place, group in enumerate(inside):
            out |= set() if place in chosen else set(group)
        inside = [group for place, group in enumerate(inside) if place in chosen]
    else:
        for group in inside:
            for place in group:
                goals[place] = max_iters
    return [
        replace(
            state,
            state="pruned" if place in out and state.state == "open" else state.state,
            goal=goals[place],
            waits=goals[place] is None,
        )
        for place, state in enumerate(states)
    ]


def loss_until(state: TrialState, step: int, runs_dir: Path) -> float | None:
    """Best validation loss of a run up to a step; None if it has not come so far."""
    row = state.row
    reached = 0 if row is None else row.summary.eval_step or 0
    if row is None or (reached < step and state.state != "finished"):
        return None
    # One that finished before was stopped early.
    if reached <= step:
        return row.summary.best_val_loss
    return _read_loss(RunFolder(runs_dir / row.run_id).metrics_path, step)


# What a run has measured up to a step that it has passed does not change.
@functools.lru_cache(maxsize=100_000)
def _read_loss(path: Path, step: int) -> float | None:
    series = RunSeries(path)
    series.poll()
    losses = series.column("eval", "val_loss")[series.column("eval", "step") <= step]
    finite = losses[np.isfinite(losses)]
    return float(finite.min()) if len(finite) else None
