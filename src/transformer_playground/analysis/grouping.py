"""Means over seeds, and what can be said of the difference of two means."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """A mean over runs.

    Attributes:
        mean: Arithmetic mean; None if no run has a value.
        standard_error: Sample standard deviation / sqrt(n); None for fewer than two values.
        n: Number of values.
    """

    mean: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class Delta:
    """How far one estimate lies from the first one.

    Attributes:
        difference: Its mean minus the first's.
        percent: The same in percent of the first's size; None if that is (next to) 0.
        standard_error: Of the difference, after Welch (The generalization of "Student's" problem,
            1947): sqrt(s1²/n1 + s2²/n2). None unless both have at least two values.
    """

    difference: float
    percent: float | None
    standard_error: float | None


def estimate(values: Iterable[float | None]) -> Estimate:
    """Mean and standard error of the values that are there."""
    measured = [value for value in values if value is not None]
    count = len(measured)
    if not measured:
        return Estimate(None, None, 0)
    # One value stays exactly as it is, a large integer too.
    mean = measured[0] if count == 1 else statistics.fmean(measured)
    error = statistics.stdev(measured) / math.sqrt(count) if count > 1 else None
    return Estimate(mean, error, count)


def delta(first: Estimate, other: Estimate) -> Delta | None:
    """The difference `other - first`; None if one of them has no value."""
    if first.mean is None or other.mean is None:
        return None
    difference = other.mean - first.mean
    percent = 100 * difference / abs(first.mean) if first.mean else None
    if percent is not None and not math.isfinite(percent):
        percent = None
    error = None
    if first.standard_error is not None and other.standard_error is not None:
        error = math.hypot(first.standard_error, other.standard_error)
    return Delta(difference, percent, error)


def group_by_seed(
    items: Sequence[T], same: Callable[[T], str | None], seed: Callable[[T], int | None]
) -> list[list[T]]:
    """Put together what differs in nothing but its seed, in order of first appearance.

    Args:
        items: What to group.
        same: Equal for items that may stand together; None for one that stands alone.
        seed: The seed. A seed that its group has already repeats an experiment rather than adding
            an independent one, so that item stands alone; so does one without a seed.
    """
    groups: list[list[T]] = []
    open_groups: dict[str, list[T]] = {}
    for item in items:
        key, own_seed = same(item), seed(item)
        group = None if key is None or own_seed is None else open_groups.get(key)
        if group is not None and own_seed not in [seed(other) for other in group]:
            group.append(item)
            continue
        groups.append([item])
        if key is not None and own_seed is not None:
            open_groups.setdefault(key, groups[-1])
    return groups
