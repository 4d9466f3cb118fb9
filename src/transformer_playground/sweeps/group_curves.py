"""Learning curves of a sweep by group: the mean validation loss with its band over seeds."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import RunSeries
from transformer_playground.sweeps.axes import Axis
from transformer_playground.sweeps.levels import Scale
from transformer_playground.sweeps.results import Combination, values_text
from transformer_playground.sweeps.trials import TrialState

ReadLosses = Callable[[TrialState], tuple[FloatArray, FloatArray]]
"""Steps of the evaluations of a trial's run, ascending, and their validation losses."""


@dataclass(frozen=True)
class GroupCurve:
    """The mean validation loss of a group of runs; arrays of one length.

    Attributes:
        label: A value of a setting, or a combination.
        steps: Steps at which all runs of the group were evaluated: a mean over those alone that
            were trained longest would look better than the group is.
        mean: Mean over seeds, in nats per token.
        error: Its standard error over seeds; NaN for a single one.
        runs: Number of runs.
    """

    label: str
    steps: FloatArray
    mean: FloatArray
    error: FloatArray
    runs: int


def curves_by_combination(
    combinations: Sequence[Combination], read: ReadLosses
) -> list[GroupCurve]:
    """A curve for each combination with evaluations, in the given order."""
    groups = [(values_text(each.values) or "all", [each]) for each in combinations]
    return _curves(groups, read)


def curves_by_setting(
    axes: Sequence[Axis], combinations: Sequence[Combination], key: str, read: ReadLosses
) -> list[GroupCurve]:
    """A curve for each level of a setting, the mean over all others.

    Each seed counts once, with the mean over its runs, so that the band is the spread of seeds and
    not that of the other settings.
    """
    scale = Scale(next(axis for axis in axes if axis.key == key))
    groups: list[tuple[str, list[Combination]]] = [(label, []) for label in scale.levels]
    for each in combinations:
        level = scale.level(dict(each.values)[key])
        if level is not None:
            groups[level][1].append(each)
    return _curves(groups, read)


def losses_reader(runs_dir: Path) -> ReadLosses:
    """Reads from run folders; files that have not changed are not read again."""
    return functools.partial(_losses, runs_dir)


def _losses(runs_dir: Path, state: TrialState) -> tuple[FloatArray, FloatArray]:
    if state.row is None:
        return np.empty(0), np.empty(0)
    path = RunFolder(runs_dir / state.row.run_id).metrics_path
    try:
        found = path.stat()
    except OSError:
        return np.empty(0), np.empty(0)
    return _read(path, found.st_mtime_ns, found.st_size)


# The time and size of a file stand for its content.
@functools.lru_cache(maxsize=10_000)
def _read(path: Path, _time: int, _size: int) -> tuple[FloatArray, FloatArray]:
    series = RunSeries(path)
    series.poll()
    return series.column("eval", "step"), series.column("eval", "val_loss")


def _curves(
    groups: Sequence[tuple[str, Sequence[Combination]]], read: ReadLosses
) -> list[GroupCurve]:
    found = [_curve(label, members, read) for label, members in groups]
    return [curve for curve in found if curve is not None]


def _curve(label: str, members: Sequence[Combination], read: ReadLosses) -> GroupCurve | None:
    states = [state for each in members for state in each.states if state.row is not None]
    ended = [state for state in states if state.state in ("finished", "pruned")]
    # Those in training have come less far, and failed ones have no loss to end with.
    chosen = ended or [state for state in states if state.state != "failed"]
    by_seed: dict[int, list[dict[float, float]]] = {}
    for state in chosen:
        steps, losses = read(state)
        is_finite = np.isfinite(losses)
        measured = dict(zip(steps[is_finite].tolist(), losses[is_finite].tolist(), strict=True))
        if measured:
            by_seed.setdefault(state.trial.seed, []).append(measured)
    runs = [run for of_seed in by_seed.values() for run in of_seed]
    common = sorted(set.intersection(*map(set, runs))) if runs else []
    if not common:
        return None
    means = np.array(
        [[fmean(run[step] for run in of_seed) for step in common] for of_seed in by_seed.values()]
    )
    seeds = len(means)
    error = np.full(len(common), np.nan)
    if seeds > 1:
        error = means.std(axis=0, ddof=1) / np.sqrt(seeds)
    return GroupCurve(label, np.array(common), means.mean(axis=0), error, len(runs))
