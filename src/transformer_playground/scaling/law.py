"""The law L(N, D) = E + A / N^α + B / D^β of loss, parameters and training tokens.

Fitted as in approach 3 of Hoffmann et al. (2022), "Training Compute-Optimal Large Language Models":
a Huber loss with δ = 0.001 of the difference of logarithms, minimised by L-BFGS from a grid of
starts. Where sizes or budgets are too few for a term, it is left out.

The band is a parametric bootstrap: losses drawn around the law with the spread of the points are
fitted again, and the prediction gets a draw of that spread, too. Each draw has a spread of its own
(its estimate comes from few points), so the band is as wide as Student's t says.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transformer_playground.errors import UsageError
from transformer_playground.scaling.lbfgs import FloatArray, Rows, minimise

LEVEL = 0.9
"""Share of the band."""
DELTA = 1e-3
LEAST_LEVELS = 3
"""So many different sizes, or budgets, give a term and the loss that remains without it."""
REPLICATES = 500

# Starts: share of the lowest loss that no size removes; exponents; parts of the rest that is N's.
_SHARES = (0.2, 0.5, 0.8, 0.95)
_EXPONENTS = (0.1, 0.3, 0.6, 1.0, 2.0)
_PARTS = (0.2, 0.5, 0.8)
# A few steps from every start show which ones are worth more.
_ROUGH_STEPS = 15
_PROMISING = 8


@dataclass(frozen=True)
class Point:
    """Loss of one size after one budget.

    Attributes:
        loss: In nats per token, the mean over seeds.
        spread: Standard deviation between the seeds, on a logarithmic scale; None for one seed.
        seeds: Number of seeds.
    """

    parameters: int
    tokens: int
    loss: float
    spread: float | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Term:
    """One term `coefficient / x^exponent`, with 5 to 95 % of the bootstrap's values."""

    coefficient: float
    exponent: float
    exponent_band: tuple[float, float] | None


@dataclass(frozen=True)
class Prediction:
    """Expected loss, and the band in which the loss of a run lies; None if it is not known."""

    loss: float
    band: tuple[float, float] | None


class Law:
    """A law fitted to points; see `fit_law`.

    Attributes:
        points: Those that it was fitted to.
        error: Standard deviation of the points around it, on a logarithmic scale; None if there
            are as many points as coefficients.
        degrees: Of freedom of that estimate.
    """

    def __init__(self, points: Sequence[Point], *, of_size: bool, of_tokens: bool) -> None:
        self.points = tuple(points)
        self._has = (of_size, of_tokens)
        self._centres = np.array([_mean_log(self._xs(place)) for place in (0, 1)])
        self._logs = self._log_matrix([(each.parameters, each.tokens) for each in points])
        losses = np.log([each.loss for each in points])
        self._best = self._fit(losses, self._starts(losses))
        fitted = self._predict(self._best[None], self._logs)[0]
        self.error, self.degrees = self._spread(losses - fitted)
        self._replicates = self._bootstrap(fitted)

    @property
    def irreducible(self) -> float:
        """E, the loss that remains."""
        return math.exp(self._best[0])

    @property
    def size(self) -> Term | None:
        """The term of the parameters."""
        return self._term(0)

    @property
    def tokens(self) -> Term | None:
        """The term of the training tokens."""
        return self._term(1)

    def expected(self, parameters: float, tokens: float) -> float:
        """The loss that the law says."""
        place = self._log_matrix([(parameters, tokens)])
        return float(np.exp(self._predict(self._best[None], place)[0, 0]))

    def is_for(self, parameters: int, tokens: int) -> bool:
        """Whether a size and a budget differ from the points only in what has a term."""
        sizes = {point.parameters for point in self.points}
        budgets = {point.tokens for point in self.points}
        of_size, of_tokens = self._has
        return (of_size or parameters in sizes) and (of_tokens or tokens in budgets)

    def predict(self, parameters: float, tokens: float) -> Prediction:
        """The loss of a new run, with as many seeds as the points have."""
        place, expected = (
            self._log_matrix([(parameters, tokens)]),
            self.expected(parameters, tokens),
        )
        if self._replicates is None:
            return Prediction(expected, None)
        drawn = np.exp(self._predict(self._replicates, place)[:, 0] + self._noise)
        return Prediction(expected, _quantiles(drawn))

    def band_of_mean(self, parameters: float, tokens: float) -> tuple[float, float] | None:
        """The band of the law itself, without the spread of a single run."""
        if self._replicates is None:
            return None
        place = self._log_matrix([(parameters, tokens)])
        return _quantiles(np.exp(self._predict(self._replicates, place)[:, 0]))

    def _xs(self, place: int) -> list[int]:
        return [(each.parameters, each.tokens)[place] for each in self.points]

    def _log_matrix(self, pairs: Sequence[tuple[float, float]]) -> FloatArray:
        """Logarithms of the variables of the law's terms, shape (terms, points)."""
        logs = np.log(np.array(pairs, dtype=np.float64)).T - self._centres[:, None]
        kept: FloatArray = logs[[place for place, present in enumerate(self._has) if present]]
        return kept

    def _predict(self, theta: FloatArray, logs: FloatArray) -> FloatArray:
        """Logarithms of losses, shape (problems, points)."""
        return _log_sum(_exponents(theta, logs))

    def _starts(self, losses: FloatArray) -> FloatArray:
        lowest, mean = float(np.exp(losses.min())), float(np.exp(losses.mean()))
        terms = sum(self._has)
        found = []
        parts = _PARTS if terms == 2 else (1.0,)
        for share, part, *exponents in itertools.product(_SHARES, parts, *[_EXPONENTS] * terms):
            rest = mean - share * lowest
            heights = [part, 1 - part][:terms]
            pairs = zip(heights, exponents, strict=True)
            found.append(
                [
                    math.log(share * lowest),
                    *(value for high, power in pairs for value in (math.log(rest * high), power)),
                ]
            )
        return np.array(found)

    def _fit(self, losses: FloatArray, starts: FloatArray) -> FloatArray:
        """The coefficients with the lowest Huber loss, shape (coefficients,)."""
        objective = _Huber(self._logs, np.broadcast_to(losses, (len(starts), len(losses))))
        rough, values = minimise(objective, starts, steps=_ROUGH_STEPS)
        promising = rough[np.argsort(values)[:_PROMISING]]
        found, values = minimise(objective, promising)
        best: FloatArray = found[np.argmin(values)]
        return best

    def _spread(self, residuals: FloatArray) -> tuple[float | None, int]:
        """Spread of the points around the law: their residuals, pooled with that of the seeds."""
        degrees = len(self.points) - _coefficients(*self._has)
        squares = float(residuals @ residuals) if degrees > 0 else 0.0
        degrees = max(0, degrees)
        for each in self.points:
            if each.spread is not None:
                # Of the mean over seeds.
                squares += (each.seeds - 1) * each.spread**2 / each.seeds
                degrees += each.seeds - 1
        return (math.sqrt(squares / degrees), degrees) if degrees else (None, 0)

    def _bootstrap(self, fitted: FloatArray) -> FloatArray | None:
        """The coefficients of laws fitted to drawn losses, shape (replicates, coefficients)."""
        if self.error is None:
            return None
        generator = np.random.default_rng(0)
        spread = self.error * np.sqrt(self.degrees / generator.chisquare(self.degrees, REPLICATES))
        drawn = fitted + spread[:, None] * generator.standard_normal((REPLICATES, len(fitted)))
        self._noise = spread * generator.standard_normal(REPLICATES)
        found, _ = minimise(_Huber(self._logs, drawn), np.tile(self._best, (REPLICATES, 1)))
        return found

    def _term(self, place: int) -> Term | None:
        if not self._has[place]:
            return None
        column = 1 + 2 * sum(self._has[:place])
        height, exponent = (float(value) for value in self._best[column : column + 2])
        band = None if self._replicates is None else _quantiles(self._replicates[:, column + 1])
        power = height + exponent * float(self._centres[place])
        # A steep exponent over few sizes makes a coefficient without meaning.
        return Term(math.exp(min(power, 700.0)), exponent, band)


class _Huber:
    """Mean Huber loss of the differences of logarithms, with its gradient.

    The coefficients are log E, then for each term the logarithm of its value at the centre of the
    data and its exponent: centred, these two hardly depend on each other.
    """

    def __init__(self, logs: FloatArray, losses: FloatArray) -> None:
        # Losses are one row for each problem.
        self._logs, self._losses = logs, losses

    def __call__(self, theta: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        parts = _exponents(theta, self._logs)
        total = _log_sum(parts)
        difference = total - self._losses[rows]
        size = np.abs(difference)
        values = np.where(size <= DELTA, difference**2 / 2, DELTA * (size - DELTA / 2))
        pull = np.clip(difference, -DELTA, DELTA) / difference.shape[1]
        shares = np.exp(parts - total[:, None, :]) * pull[:, None, :]
        gradient = np.empty_like(theta)
        gradient[:, 0] = shares[:, 0].sum(axis=1)
        gradient[:, 1::2] = shares[:, 1:].sum(axis=2)
        gradient[:, 2::2] = -(shares[:, 1:] * self._logs[None]).sum(axis=2)
        # δ is the natural unit: without it all gradients would look flat.
        return values.mean(axis=1) / DELTA**2, gradient / DELTA**2


def _exponents(theta: FloatArray, logs: FloatArray) -> FloatArray:
    """Logarithm of each term of the law, shape (problems, terms + 1, points)."""
    constant = np.broadcast_to(theta[:, 0, None, None], (len(theta), 1, logs.shape[1]))
    terms = theta[:, 1::2, None] - theta[:, 2::2, None] * logs[None]
    return np.concatenate([constant, terms], axis=1)


def _log_sum(parts: FloatArray) -> FloatArray:
    highest = parts.max(axis=1)
    total: FloatArray = highest + np.log(np.exp(parts - highest[:, None]).sum(axis=1))
    return total


def _coefficients(of_size: bool, of_tokens: bool) -> int:
    return 1 + 2 * (of_size + of_tokens)


def _mean_log(values: Sequence[int]) -> float:
    return math.fsum(map(math.log, values)) / len(values)


def _quantiles(values: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def fit_law(points: Sequence[Point]) -> Law:
    """The law with the terms that the points support.

    With fewer than three budgets the law has no term of the tokens, and only the points of the
    largest budget count; in the same way for sizes.

    Raises:
        UsageError: There are neither three sizes nor three budgets, or fewer points than
            coefficients.
    """
    sizes = {each.parameters for each in points}
    budgets = {each.tokens for each in points}
    of_size, of_tokens = len(sizes) >= LEAST_LEVELS, len(budgets) >= LEAST_LEVELS
    if not (of_size or of_tokens):
        raise UsageError(
            f"A law needs the losses of {LEAST_LEVELS} sizes or {LEAST_LEVELS} budgets; there are "
            f"{len(sizes)} and {len(budgets)}.",
            "Add --sizes or --budgets, or train those that are left.",
        )
    kept = [
        each
        for each in points
        if (of_tokens or each.tokens == max(budgets)) and (of_size or each.parameters == max(sizes))
    ]
    left = "Train those that are left."
    if of_size and len({each.parameters for each in kept}) < LEAST_LEVELS:
        raise UsageError(f"Only {len(kept)} sizes have been trained with the largest budget.", left)
    if of_tokens and len({each.tokens for each in kept}) < LEAST_LEVELS:
        raise UsageError(f"The largest size has been trained with only {len(kept)} budgets.", left)
    if len(kept) < (count := _coefficients(of_size, of_tokens)):
        raise UsageError(
            f"A law of sizes and budgets has {count} coefficients; there are only {len(kept)} "
            "points.",
            left,
        )
    return Law(kept, of_size=of_size, of_tokens=of_tokens)
