"""Means over seeds with their standard errors."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """Mean over runs.

    Attributes:
        mean: Arithmetic mean; None without values.
        standard_error: Sample standard deviation / sqrt(n); None for fewer than two values.
        n: Number of values.
    """

    mean: float | None
    standard_error: float | None
    n: int


def estimate(values: Iterable[float | None]) -> Estimate:
    """Mean and standard error, ignoring None."""
    measured = [value for value in values if value is not None]
    count = len(measured)
    if not measured:
        return Estimate(None, None, 0)
    # A mean would round a large integer.
    mean = measured[0] if count == 1 else math.fsum(measured) / count
    if count == 1:
        return Estimate(mean, None, 1)
    squares = math.fsum((value - mean) ** 2 for value in measured)
    return Estimate(mean, math.sqrt(squares / (count - 1)) / math.sqrt(count), count)


def group_by_seed(
    items: Sequence[T], same: Callable[[T], str | None], seed: Callable[[T], int | None]
) -> list[list[T]]:
    """Group items that differ only in their seed, in order of first appearance.

    An item whose seed is already in its group repeats an experiment instead of adding an
    independent one, so it stays alone. So does an item without a seed.

    Args:
        same: Equal for items of one group; None for an item that stays alone.
    """
    groups: list[list[T]] = []
    open_groups: dict[str, list[T]] = {}
    for item in items:
        key, own_seed = same(item), seed(item)
        group = None if key is None or own_seed is None else open_groups.get(key)
        if group is not None and own_seed not in map(seed, group):
            group.append(item)
            continue
        groups.append([item])
        if key is not None and own_seed is not None:
            open_groups.setdefault(key, groups[-1])
    return groups
