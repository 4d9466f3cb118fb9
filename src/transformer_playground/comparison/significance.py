"""Tests of a difference of mean losses, with two-sided p-values of Student's t distribution.

Welch's test compares seeds of two configurations. Where one of them has a single seed, the spread
of seeds elsewhere in the comparison stands in for its own. Two single models are compared window
by window over the validation split: see `paired`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transformer_playground.comparison.estimates import Estimate

LEVEL = 0.01
"""Differences with a p-value of at least this are called not distinguishable."""

Method = Literal["welch", "seed_spread", "paired_windows"]

_MAX_TERMS = 500
_TINY = 1e-300


@dataclass(frozen=True)
class Test:
    """A test of the difference of two means.

    Attributes:
        difference: Other mean minus first mean.
        standard_error: Of the difference.
        degrees: Degrees of freedom of the t distribution.
        p_value: Probability of a difference at least as large, if there were none.
        counts: Number of measurements of both; of windows for "paired_windows".
    """

    __test__ = False

    method: Method
    difference: float
    standard_error: float
    degrees: float
    p_value: float
    counts: tuple[int, int]


def welch(first: Estimate, other: Estimate) -> Test | None:
    """Welch's test of two means; None unless both are of at least two values.

    From "The generalization of 'Student's' problem when several different population variances
    are involved" (1947).
    """
    errors = first.standard_error, other.standard_error
    if first.mean is None or other.mean is None or errors[0] is None or errors[1] is None:
        return None
    counts = (first.n, other.n)
    variances = [error * error for error in errors if error is not None]
    total = sum(variances)
    spread = sum(part * part / (count - 1) for part, count in zip(variances, counts, strict=True))
    # Without any spread the degrees do not matter.
    degrees = total * total / spread if spread else float(sum(counts) - 2)
    error, difference = math.sqrt(total), other.mean - first.mean
    return Test("welch", difference, error, degrees, p_value(difference, error, degrees), counts)


@dataclass(frozen=True)
class SeedSpread:
    """Standard deviation of a loss between seeds of one configuration, and its degrees."""

    deviation: float
    degrees: int


def seed_spread(groups: Iterable[Estimate]) -> SeedSpread | None:
    """Pooled standard deviation within groups; None without a group of two values."""
    squares, degrees = 0.0, 0
    for each in groups:
        if each.standard_error is not None:
            squares += each.standard_error**2 * each.n * (each.n - 1)
            degrees += each.n - 1
    return SeedSpread(math.sqrt(squares / degrees), degrees) if degrees else None


def against_spread(first: Estimate, other: Estimate, spread: SeedSpread) -> Test | None:
    """Student's test with a spread measured on several groups; None without values.

    It assumes that all configurations vary equally with the seed.
    """
    if first.mean is None or other.mean is None:
        return None
    counts = (first.n, other.n)
    error = spread.deviation * math.sqrt(1 / first.n + 1 / other.n)
    difference = other.mean - first.mean
    return Test(
        "seed_spread",
        difference,
        error,
        float(spread.degrees),
        p_value(difference, error, spread.degrees),
        counts,
    )


def paired(
    first: NDArray[np.float64], other: NDArray[np.float64], targets: NDArray[np.int64]
) -> Test | None:
    """Test of the mean loss per token of two models on the same windows; None for fewer than two.

    The standard error is that of a ratio estimate (Cochran, Sampling Techniques, 1977, chapter 6);
    for windows of equal length it is that of the paired t-test.

    Args:
        first: Loss of each window, summed over its targets, shape (windows,).
        other: The same of the other model.
        targets: Number of targets of each window, shape (windows,).
    """
    count, total = len(targets), int(targets.sum())
    if count < 2 or not total:
        return None
    differences = other - first
    if not np.isfinite(differences).all():
        return None
    mean = float(differences.sum()) / total
    residuals = differences - mean * targets
    error = math.sqrt(count / (count - 1) * float(residuals @ residuals)) / total
    degrees = float(count - 1)
    return Test(
        "paired_windows", mean, error, degrees, p_value(mean, error, degrees), (count, count)
    )


def p_value(difference: float, error: float, degrees: float) -> float:
    """Two-sided p-value of a difference with this standard error, also of one without spread."""
    if not difference:
        return 1.0
    return two_sided(difference / error, degrees) if error else 0.0


def two_sided(t: float, degrees: float) -> float:
    """Probability that Student's t is at least `abs(t)` away from 0."""
    if not math.isfinite(t):
        return 0.0
    return regularized_beta(degrees / (degrees + t * t), degrees / 2, 0.5)


def regularized_beta(x: float, a: float, b: float) -> float:
    """Regularized incomplete beta function I_x(a, b), for 0 <= x <= 1 and positive a and b.

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22).
    """
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        # The fraction converges fast on the other side only.
        return 1.0 - regularized_beta(1.0 - x, b, a)
    log_factor = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return min(1.0, math.exp(log_factor) / a / _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction 1 + d1/(1 + d2/(1 + …)), by the modified method of Lentz (1976)."""
    value, above, below = 1.0, 1.0, 0.0
    for term in range(1, _MAX_TERMS):
        half = term // 2
        if term % 2:
            factor = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            factor = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        below = 1.0 / _away_from_zero(1.0 + factor * below)
        above = _away_from_zero(1.0 + factor / above)
        change = above * below
        value *= change
        if abs(change - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
