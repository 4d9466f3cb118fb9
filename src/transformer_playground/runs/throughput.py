"""The throughput of a run: the median over its logged steps, wherever one is shown."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

# Nothing a machine does comes near; two of them can be added.
_LARGEST = 1e100
# On each side of the median: so many steps in a row may be faster, or slower, than all of them.
_KEPT = 100


@dataclass(frozen=True)
class Rates:
    """Throughputs of steps, of which those around the median are kept and the others counted.

    The median ignores the slow first steps and short disturbances.

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
        """Their exact median; None if there are none, or if it is not among those kept."""
        count = self.below + len(self.kept) + self.above
        low, high = (count - 1) // 2 - self.below, count // 2 - self.below
        if low < 0 or high >= len(self.kept):
            return None
        return (self.kept[low] + self.kept[high]) / 2

    @property
    def has_lost_median(self) -> bool:
        """Whether only the steps themselves can tell the median, or where more of them belong."""
        return self.median is None and self != Rates()

    def with_more(self, rates: Iterable[float]) -> "Rates":
        """These and others, in any order; what is no number that can be measured is left out.

        To be asked only of rates that have not lost their median.
        """
        values = sorted(rate for rate in rates if abs(rate) < _LARGEST)
        first = bisect_left(values, self.kept[0]) if self.below else 0
        last = bisect_right(values, self.kept[-1]) if self.above else len(values)
        # Between those kept and those counted there is nothing that could be in a wrong place.
        known = sorted((*self.kept, *values[first:last]))
        below, above = self.below + first, self.above + len(values) - last
        middle = (below + len(known) + above) // 2 - below
        start = min(max(0, middle - _KEPT), len(known))
        stop = min(max(start, middle + _KEPT), len(known))
        kept = tuple(known[start:stop])
        return Rates(below + start, kept, above + len(known) - stop)
