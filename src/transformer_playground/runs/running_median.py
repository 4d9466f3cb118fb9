"""Exact median of a growing set of numbers, without keeping all of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_playground.jsonvalues import LARGEST

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# On each side of the median: so many steps in a row may be faster, or slower, than all of them.
_KEPT = 100


@dataclass(frozen=True)
class RunningMedian:
    """Median of a growing set of numbers, of which those around the median are kept.

    Attributes:
        below: How many are lower than those kept, or equal to the lowest.
        kept: Those around the median, in order.
        above: How many are higher than those kept, or equal to the highest.
    """

    below: int = 0
    kept: tuple[float, ...] = ()
    above: int = 0

    @property
    def median(self) -> float | None:
        """The exact median; None if there are no numbers, or if it is not among those kept."""
        count = self.below + len(self.kept) + self.above
        low, high = (count - 1) // 2 - self.below, count // 2 - self.below
        if low < 0 or high >= len(self.kept):
            return None
        return (self.kept[low] + self.kept[high]) / 2

    @property
    def has_lost_median(self) -> bool:
        """Whether only all the numbers together can tell the median, or where more belong."""
        return self.median is None and self != RunningMedian()

    def with_more(self, values: "ArrayLike") -> "RunningMedian":
        """These and further numbers, in any order; NaN and infinities are left out.

        Only valid as long as the median is not lost.
        """
        # Lists of runs hold medians without adding to them, and start without numpy.
        import numpy as np

        added = np.asarray(values, dtype=np.float64)
        added = added[np.abs(added) < LARGEST]
        lowest = self.kept[0] if self.below else -LARGEST
        highest = self.kept[-1] if self.above else LARGEST
        # Between those kept and those counted there is nothing that could be in a wrong place.
        known = np.append(self.kept, added[(added >= lowest) & (added <= highest)])
        below = self.below + int(np.count_nonzero(added < lowest))
        above = self.above + int(np.count_nonzero(added > highest))
        middle = (below + len(known) + above) // 2 - below
        start = min(max(0, middle - _KEPT), len(known))
        stop = min(max(start, middle + _KEPT), len(known))
        if start < stop:
            # Sorting all of a long run would take most of the time of a summary.
            known.partition([start, stop - 1])
        kept = tuple(np.sort(known[start:stop]).tolist())
        return RunningMedian(below + start, kept, above + len(known) - stop)
