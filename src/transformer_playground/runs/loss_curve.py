"""A short curve of all validation losses of a run, for lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformer_playground.jsonvalues import LARGEST

MOST_POINTS = 20


@dataclass(frozen=True)
class LossCurve:
    """At most `MOST_POINTS` evenly spaced validation losses, which grows without the earlier rows.

    Attributes:
        count: Evaluations so far.
        losses: Every n-th of them from the first, where n is the least power of two with which
            they fit, to four digits; None for a loss that is not finite.
    """

    count: int = 0
    losses: tuple[float | None, ...] = ()

    def with_more(self, losses: Sequence[float]) -> "LossCurve":
        """The curve with further losses, in the order of their steps."""
        count = self.count + len(losses)
        before, stride = _stride(self.count), _stride(count)
        new = losses[-self.count % stride :: stride]
        return LossCurve(count, (*self.losses[:: stride // before], *map(_rounded, new)))


def _stride(count: int) -> int:
    stride = 1
    while count > MOST_POINTS * stride:
        stride *= 2
    return stride


def _rounded(loss: float) -> float | None:
    return float(f"{loss:.4g}") if abs(loss) < LARGEST else None
