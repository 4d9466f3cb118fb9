"""Learning-rate range test: what the losses of a growing learning rate say.

From Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3: a throw-away
model is trained with a rate that grows from step to step until it diverges. Here the rate grows by
the same factor each step. Importing this module loads no torch; the steps are run by
`training.lr_range_steps`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer_playground.jsonvalues import as_number, as_object

SCHEMA_VERSION = 1
DIVERGED = 2.0
"""The test ends when the loss is so many times the lowest one so far."""
BELOW_MINIMUM = 10.0
"""The suggestion is the rate of the lowest loss divided by this."""

# Width of the smoothing as a share of all steps.
_WIDTH = 0.03
_LEAST_POINTS = 5
# At both ends smoothing has points on one side only.
_EDGE = 0.05


@dataclass(frozen=True)
class RangeSettings:
    """Rates of a test: `steps` rates from `start` to `end`, with equal ratios."""

    start: float = 1e-6
    end: float = 1.0
    steps: int = 100

    def rate(self, step: int) -> float:
        """The learning rate of a step that is counted from 0."""
        share = step / max(1, self.steps - 1)
        return self.start * math.exp(share * math.log(self.end / self.start))


@dataclass(frozen=True)
class RangeTest:
    """The losses of a test.

    Attributes:
        rates: Learning rate of each step; that of AdamW.
        losses: Mean loss of the batch of each step, before its update, in nats per token.
        diverged: Whether the test ended before its last rate.
        current: The learning rate of the experiment.
        muon_ratio: Rate of Muon divided by that of AdamW, which the test keeps; None without Muon.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    diverged: bool
    current: float
    muon_ratio: float | None = None

    @property
    def smoothed(self) -> tuple[float, ...]:
        """Losses averaged over neighbouring steps with Gaussian weights, so without a lag."""
        values, count = np.array(self.losses), len(self.losses)
        if not count:
            return ()
        width = max(1.0, _WIDTH * count)
        places = np.arange(count)
        weights = np.exp(-0.5 * ((places[:, None] - places[None]) / width) ** 2)
        return tuple(map(float, weights @ values / weights.sum(axis=1)))

    @property
    def minimum(self) -> float | None:
        """The rate of the lowest smoothed loss; None for too few steps."""
        if len(self.rates) < _LEAST_POINTS:
            return None
        return self.rates[int(np.argmin(self.smoothed))]

    @property
    def steepest(self) -> float | None:
        """The rate, below that of the lowest loss, at which the smoothed loss falls fastest.

        None if it falls nowhere, or for too few steps.
        """
        if (minimum := self.minimum) is None:
            return None
        slope = np.gradient(np.array(self.smoothed), np.log(self.rates))
        edge = math.ceil(_EDGE * len(slope))
        lowest = self.rates.index(minimum)
        inner = slope[edge : max(edge, lowest)]
        if not inner.size or inner.min() >= 0:
            return None
        return self.rates[edge + int(np.argmin(inner))]

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate of the lowest loss, with two digits; None if none was tried below."""
        minimum = self.minimum
        if minimum is None or minimum / BELOW_MINIMUM < self.rates[0]:
            return None
        return _two_digits(minimum / BELOW_MINIMUM)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The settings of the suggestion, `key=value` each; empty without one."""
        if (rate := self.suggestion) is None:
            return ()
        found = [f"train.optim.learning_rate={rate:g}"]
        if self.muon_ratio is not None:
            found.append(f"train.optim.muon_learning_rate={_two_digits(rate * self.muon_ratio):g}")
        return tuple(found)

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits the test."""
        found = []
        if not self.diverged:
            found.append("the loss has not diverged; a higher end shows how far it goes")
        if self.suggestion is None:
            found.append("no suggestion: too few steps were run below the lowest loss")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "schema_version": SCHEMA_VERSION,
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": list(self.smoothed),
            "diverged": self.diverged,
            "current": self.current,
            "muon_ratio": self.muon_ratio,
            "minimum": self.minimum,
            "steepest": self.steepest,
            "suggestion": self.suggestion,
            "overrides": list(self.overrides),
            "notes": list(self.notes),
        }


def range_test_from_json(document: Mapping[str, Any]) -> RangeTest:
    """The test that `RangeTest.as_json` has written; values that are none are left out."""
    values = as_object(document)
    return RangeTest(
        _numbers(values.get("rates")),
        _numbers(values.get("losses")),
        values.get("diverged") is True,
        as_number(values.get("current")) or 0.0,
        as_number(values.get("muon_ratio")),
    )


def _numbers(values: object) -> tuple[float, ...]:
    found = values if isinstance(values, Sequence) else ()
    return tuple(number for each in found if (number := as_number(each)) is not None)


def _two_digits(rate: float) -> float:
    return float(f"{rate:.2g}")
