"""What a sweep shows: a table of its combinations, and the effect of each setting.

Losses are best validation losses in nats per token; smaller is better.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformer_playground.comparison.cells import estimate_text
from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.comparison.significance import LEVEL, p_value
from transformer_playground.formatting import power_text
from transformer_playground.runs.fields import setting_text
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.axes import Values
from transformer_playground.sweeps.trials import Trial, TrialState


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
        value: As TOML, or the bounds of drawn numbers.
        loss: Mean over all trials with this value.
        difference: Mean difference to the best value, over pairs of trials that agree in everything
            else and in the seed; None for that value itself, or without pairs.
        p_value: Of a paired t-test of that difference; None for fewer than two pairs.
    """

    value: str
    loss: Estimate
    difference: Estimate | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Effect:
    """How the loss depends on one setting, best value first."""

    key: str
    levels: tuple[Level, ...]

    @property
    def size(self) -> float:
        """Difference of the mean losses of the worst and the best value."""
        means = [level.loss.mean for level in self.levels if level.loss.mean is not None]
        return max(means) - min(means) if means else 0.0


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


def effects(combinations: Sequence[Combination]) -> list[Effect]:
    """The effect of each setting that has several values, the largest first."""
    keys = [key for key, _ in combinations[0].values] if combinations else []
    found = [_effect(key, combinations) for key in keys]
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


def rejections(p_values: Sequence[float], level: float = LEVEL) -> int:
    """How many hypotheses Holm's method (1979) rejects at a level."""
    count = 0
    for rank, value in enumerate(sorted(p_values)):
        if value * (len(p_values) - rank) >= level:
            break
        count += 1
    return count


def values_text(values: Values) -> str:
    """Values in short, such as "rope learning_rate=3e-3"."""
    headers = setting_headers([key for key, _ in values])
    parts = [
        value if isinstance(value, str) else f"{headers[key]}={value_text(value)}"
        for key, value in values
    ]
    return " ".join(parts)


def trial_text(trial: Trial) -> str:
    """Values and seed of a trial in short."""
    values = values_text(trial.values)
    return f"{values}{' ' if values else ''}seed {trial.seed}"


def value_text(value: Any) -> str:
    """A value of a setting as in tables; numbers in their shortest form, as in names of runs."""
    return power_text(value) if isinstance(value, float) else setting_text(value)


def loss_of(state: TrialState) -> float | None:
    """Best validation loss of a finished trial; None of any other."""
    is_done = state.state == "finished" and state.row is not None
    return state.row.summary.best_val_loss if is_done and state.row else None


def _losses(each: Combination) -> list[float] | None:
    """The loss of each seed; None if one is missing."""
    found = [loss for state in each.states if (loss := loss_of(state)) is not None]
    return found if len(found) == len(each.states) else None


def _effect(key: str, combinations: Sequence[Combination]) -> Effect:
    losses: dict[str, list[float]] = {}
    pairs: dict[str, dict[tuple[str, int], float]] = {}
    for each in combinations:
        value = value_text(dict(each.values)[key])
        others = repr([pair for pair in each.values if pair[0] != key])
        for state in each.states:
            if (loss := loss_of(state)) is not None:
                losses.setdefault(value, []).append(loss)
                pairs.setdefault(value, {})[others, state.trial.seed] = loss
    means = {value: estimate(found) for value, found in losses.items()}
    ordered = sorted(means, key=lambda value: means[value].mean or 0.0)
    best = pairs[ordered[0]] if ordered else {}
    return Effect(key, tuple(_level(value, means[value], pairs[value], best) for value in ordered))


def _level(
    value: str,
    loss: Estimate,
    own: Mapping[tuple[str, int], float],
    best: Mapping[tuple[str, int], float],
) -> Level:
    shared = [] if own is best else [own[key] - best[key] for key in own if key in best]
    if not shared:
        return Level(value, loss)
    difference = estimate(shared)
    error, mean = difference.standard_error, difference.mean or 0.0
    if error is None:
        return Level(value, loss, difference)
    return Level(value, loss, difference, p_value(mean, error, difference.n - 1))
