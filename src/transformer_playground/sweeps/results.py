"""What a sweep shows: a table of its combinations, and the effect of each setting.

Losses are best validation losses in nats per token; smaller is better.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from transformer_playground.comparison.cells import estimate_text
from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.comparison.significance import LEVEL, p_value, welch
from transformer_playground.runs.fields import setting_text
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.axes import Axis, Values
from transformer_playground.sweeps.levels import Scale
from transformer_playground.sweeps.trials import Trial, TrialState

EffectTest = Literal["paired", "welch"]


@dataclass(frozen=True)
class Combination:
    """One combination of values with all its trials, one for each seed."""

    values: Values
    states: tuple[TrialState, ...]
    loss: Estimate

    @property
    def best_run(self) -> TrialState | None:
        """The trial with the lowest loss."""
        measured = [
            (loss, place) for place, each in enumerate(self.states) if (loss := loss_of(each))
        ]
        return self.states[min(measured)[1]] if measured else None


@dataclass(frozen=True)
class Level:
    """One value of a setting.

    Attributes:
        value: As text, or the bounds of drawn numbers.
        loss: Mean over all trials with this value.
        difference: Mean difference to the best value; None for that value itself. It has a standard
            error if there is a test.
        p_value: Of that difference, corrected by Holm's method for the differences between all
            values of the setting; None without a test.
        test: "paired" = t-test over pairs of trials that agree in everything else and in the seed;
            "welch" = without two such pairs, as in a random sweep: Welch's test over the means of
            combinations.
    """

    value: str
    loss: Estimate
    difference: Estimate | None = None
    p_value: float | None = None
    test: EffectTest | None = None


@dataclass(frozen=True)
class Effect:
    """How the loss depends on one setting, best value first."""

    key: str
    levels: tuple[Level, ...]

    @property
    def size(self) -> float:
        """Difference of the worst value to the best one."""
        found = [abs(level.difference.mean or 0.0) for level in self.levels if level.difference]
        return max(found, default=0.0)


def combine(states: Iterable[TrialState]) -> list[Combination]:
    """The combinations of a sweep, best first; those without a loss last, in their order."""
    groups: dict[str, dict[int, TrialState]] = {}
    for state in states:
        groups.setdefault(repr(state.trial.values), {})[state.trial.seed] = state
    found = [
        Combination(members[0].trial.values, members, estimate(map(loss_of, members)))
        for members in (tuple(group.values()) for group in groups.values())
    ]
    return sorted(found, key=lambda each: (each.loss.mean is None, each.loss.mean or 0.0))


def effects(axes: Sequence[Axis], combinations: Sequence[Combination]) -> list[Effect]:
    """The effect of each setting of which several values have a loss, the largest first.

    Args:
        axes: What varies.
        combinations: All combinations, with and without a loss.
    """
    found = [_effect(axis, combinations) for axis in axes]
    return sorted(
        (each for each in found if len(each.levels) > 1), key=lambda each: each.size, reverse=True
    )


def verdict(combinations: Sequence[Combination], looks: int = 1) -> str:
    """One sentence about the best combination, and how sure that is; empty without losses.

    Combinations are compared seed by seed, as in a randomised block design: the residuals of all
    complete ones around the means of combination and seed give the standard error. Holm's
    step-down method keeps the best of many from looking better than it is by luck.

    Args:
        combinations: The best first.
        looks: How often the results were looked at to decide whether to go on; the level is
            divided by it (Bonferroni).
    """
    measured = [each for each in combinations if each.loss.mean is not None]
    if not measured:
        return ""
    best, *others = measured
    name = f"{values_text(best.values) or 'this setting'} is best: val loss "
    name += estimate_text("loss", best.loss)
    if not others:
        return f"{name}." if best.values else ""
    losses = [complete for each in measured if (complete := _losses(each)) is not None]
    p_values = block_tests(losses)
    if len(losses) < len(measured) or p_values is None:
        return f"{name}. It takes several finished seeds of each to know whether that is chance."
    same = len(p_values) - rejections(p_values, LEVEL / looks)
    second = f"{values_text(others[0].values)} with {estimate_text('loss', others[0].loss)}"
    if same:
        count = "the next" if same == 1 else f"{same} of {len(others)} others"
        return f"{name}, but {count} cannot be distinguished from it (next: {second})."
    return f"{name}, better than all others at p < {LEVEL} (next: {second})."


def block_tests(losses: Sequence[Sequence[float]]) -> list[float] | None:
    """Two-sided p-values of the difference of the first row to each other row.

    Args:
        losses: A row for each combination, best first, with a loss for each seed. All are assumed
            to vary equally around the sum of an effect of the combination and one of the seed.

    Returns:
        None without two rows of two losses.
    """
    rows, seeds = len(losses), len(losses[0]) if losses else 0
    if rows < 2 or seeds < 2:
        return None
    means = [math.fsum(row) / seeds for row in losses]
    total = math.fsum(means) / rows
    of_seed = [math.fsum(column) / rows - total for column in zip(*losses, strict=True)]
    squares = math.fsum(
        (loss - mean - effect) ** 2
        for row, mean in zip(losses, means, strict=True)
        for loss, effect in zip(row, of_seed, strict=True)
    )
    degrees = (rows - 1) * (seeds - 1)
    error = math.sqrt(2 * squares / degrees / seeds)
    found = []
    for mean in means[1:]:
        difference = mean - means[0]
        found.append(p_value(difference, error, degrees))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values, in their order, corrected for their number by Holm's step-down method (1979).

    Below a level, the chance that any of the rejected hypotheses is true is below it, too.
    """
    found, largest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        found[place] = largest
    return found


def rejections(p_values: Sequence[float], level: float = LEVEL) -> int:
    """How many hypotheses Holm's method rejects at a level."""
    return sum(value < level for value in holm(p_values))


def values_text(values: Values) -> str:
    """Values in short, such as "rope learning_rate=3e-3"."""
    headers = setting_headers([key for key, _ in values])
    parts = [
        value if isinstance(value, str) else f"{headers[key]}={setting_text(value)}"
        for key, value in values
    ]
    return " ".join(parts)


def trial_text(trial: Trial) -> str:
    """Values and seed of a trial in short."""
    values = values_text(trial.values)
    return f"{values}{' ' if values else ''}seed {trial.seed}"


def loss_of(state: TrialState) -> float | None:
    """Best validation loss of a finished trial; None of any other."""
    is_done = state.state == "finished" and state.row is not None
    return state.row.summary.best_val_loss if is_done and state.row else None


def _losses(each: Combination) -> list[float] | None:
    """The loss of each seed; None if one is missing."""
    found = [loss for state in each.states if (loss := loss_of(state)) is not None]
    return found if len(found) == len(each.states) else None


def _effect(axis: Axis, combinations: Sequence[Combination]) -> Effect:
    scale = Scale(axis)
    groups = [_Group(label) for label in scale.levels]
    for each in combinations:
        value = dict(each.values)[axis.key]
        level = scale.level(value)
        if level is None:
            continue
        group = groups[level]
        others = repr([pair for pair in each.values if pair[0] != axis.key])
        for state in each.states:
            if (loss := loss_of(state)) is not None:
                group.losses.append(loss)
                if scale.is_exact:
                    group.pairs[others, state.trial.seed] = loss
        if each.loss.mean is not None:
            group.means.append(each.loss.mean)
    measured = [group for group in groups if group.losses]
    return Effect(axis.key, tuple(_levels(measured)))


@dataclass(eq=False)
class _Group:
    """Losses of one level: of all runs, by what else they have, and the mean of combinations."""

    label: str
    losses: list[float] = field(default_factory=list)
    pairs: dict[tuple[str, int], float] = field(default_factory=dict)
    means: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return math.fsum(self.means) / len(self.means)


@dataclass(frozen=True)
class _Difference:
    """Of two levels, with its p-value before the correction."""

    estimate: Estimate
    p_value: float | None = None
    test: EffectTest | None = None


def _levels(groups: Sequence[_Group]) -> list[Level]:
    """The levels, best first, the others by their difference to it."""
    differences = {
        (one, other): _difference(groups[one], groups[other])
        for one, other in itertools.combinations(range(len(groups)), 2)
    }
    is_paired = all(each.test == "paired" for each in differences.values())
    means = _adjusted_means(groups) if is_paired else [group.mean for group in groups]
    # The best one is chosen by the same losses, so that any of the pairs might have been tested.
    tested = {pair: each.p_value for pair, each in differences.items() if each.p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    best = min(range(len(groups)), key=means.__getitem__, default=0)
    others: list[tuple[float, Level]] = []
    for place, group in enumerate(groups):
        if place == best:
            continue
        pair = (min(place, best), max(place, best))
        each = differences[pair]
        mean = each.estimate.mean or 0.0
        signed = replace(each.estimate, mean=mean if place > best else 0.0 - mean)
        level = Level(group.label, estimate(group.losses), signed, corrected.get(pair), each.test)
        others.append((signed.mean or 0.0, level))
    others.sort(key=lambda entry: entry[0])
    first = [Level(each.label, estimate(each.losses)) for each in groups[best : best + 1]]
    return first + [level for _, level in others]


def _difference(one: _Group, other: _Group) -> _Difference:
    """Of the other level to the one."""
    found = estimate([other.pairs[key] - one.pairs[key] for key in one.pairs if key in other.pairs])
    error, mean = found.standard_error, found.mean or 0.0
    if error is not None:
        return _Difference(found, p_value(mean, error, found.n - 1), "paired")
    if (test := welch(estimate(one.means), estimate(other.means))) is not None:
        means = Estimate(test.difference, test.standard_error, sum(test.counts))
        return _Difference(means, test.p_value, "welch")
    return _Difference(Estimate(other.mean - one.mean, None, len(one.means) + len(other.means)))


def _adjusted_means(groups: Sequence[_Group]) -> list[float]:
    """Means of levels as if all had the same runs, so that missing ones do not distort them.

    Where runs are missing: the effects of the levels by least squares, of losses that are a sum of
    one of the level and one of everything else with the seed.
    """
    whole = [math.fsum(group.losses) / len(group.losses) for group in groups]
    if all(group.pairs.keys() == groups[0].pairs.keys() for group in groups):
        return whole
    blocks: dict[tuple[str, int], dict[int, float]] = {}
    for place, group in enumerate(groups):
        for key, loss in group.pairs.items():
            blocks.setdefault(key, {})[place] = loss
    matrix, sums = np.zeros((len(groups), len(groups))), np.zeros(len(groups))
    for losses in blocks.values():
        places, mean = list(losses), math.fsum(losses.values()) / len(losses)
        matrix[places, places] += 1.0
        matrix[np.ix_(places, places)] -= 1.0 / len(places)
        sums[places] += np.array(list(losses.values())) - mean
    if not np.isfinite(sums).all():
        return whole
    means: list[float] = np.linalg.lstsq(matrix, sums)[0].tolist()
    return means
