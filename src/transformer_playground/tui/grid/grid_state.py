"""State of the grid: what has a chart, in which order, which is selected, in how many rows."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import islice
from typing import Literal

from transformer_playground.runs.labels import name_order

Mode = Literal["runs", "quantities"]
Order = Literal["loss", "selection", "name"]
ORDERS: tuple[Order, ...] = ("loss", "selection", "name")

MOST_RUNS = 64
"""Number of runs that are followed; more would take too long to read again and again."""

# Least width and height of a chart with its title, from large to small.
_SIZES = ((56, 16), (40, 11), (27, 8), (20, 6), (14, 4))
_USUAL_SIZE = 2
_GAP = 2


def count_text(shown: int, wanted: int) -> str:
    """How many runs have a chart on the page, on all pages, and how many there are."""
    followed = min(wanted, MOST_RUNS)
    if followed == wanted:
        return f"{wanted} runs" if shown == wanted else f"{shown} of {wanted}"
    most = f"{followed} of {wanted:,} runs"
    return most if shown == followed else f"{shown} of the first {most}"


def in_order(
    runs: Iterable[str],
    order: Order,
    loss_of: Callable[[str], float | None],
    name_of: Callable[[str], str],
) -> tuple[str, ...]:
    """The first `MOST_RUNS` runs of an order; those that it does not tell apart stay as they are.

    Args:
        runs: As they were selected, or the newest first.
        order: By the lowest validation loss, as they are, or by name.
        loss_of: The lowest validation loss of a run; runs without one come last.
        name_of: What a run is called.
    """

    def loss(run_id: str) -> float:
        known = loss_of(run_id)
        return math.inf if known is None else known

    match order:
        case "loss":
            return tuple(nsmallest(MOST_RUNS, runs, key=loss))
        case "name":
            return tuple(nsmallest(MOST_RUNS, runs, key=lambda run_id: name_order(name_of(run_id))))
        case "selection":
            return tuple(islice(runs, MOST_RUNS))


@dataclass(frozen=True)
class GridState:
    """What the grid shows.

    Attributes:
        mode: One chart for each run, or for each quantity of one run.
        selected: Run or quantity of the selected chart; None = the first.
        size: Index of the least size of a chart, from large to small.
        is_large: Whether the selected chart fills the view.
        order: Order of the runs.
    """

    mode: Mode = "runs"
    selected: str | None = None
    size: int = _USUAL_SIZE
    is_large: bool = False
    order: Order = "loss"

    def shape(self, count: int, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of a page: charts as large as they can be with as many on a page.

        Args:
            count: How many charts there are.
            width: Columns of characters.
            height: Rows of characters.
        """
        if self.is_large or count < 1:
            return 1, 1
        least_width, least_height = _SIZES[self.size]
        columns = max(1, (width + _GAP) // (least_width + _GAP))
        rows = max(1, height // least_height)
        if count >= rows * columns:
            return rows, columns
        fitting = [
            (-(-count // across), across)
            for across in range(1, columns + 1)
            if -(-count // across) <= rows
        ]
        return max(
            fitting,
            key=lambda each: min(
                width / each[1] / least_width, height / each[0] / least_height, 1e9
            ),
        )

    def index(self, keys: Sequence[str]) -> int:
        """Place of the selected chart among all; 0 if it is gone."""
        return keys.index(self.selected) if self.selected in keys else 0

    def page(self, keys: Sequence[str], per_page: int) -> tuple[int, int]:
        """Number of the page with the selected chart, from 0, and the number of pages."""
        return self.index(keys) // per_page, max(1, -(-len(keys) // per_page))

    def on_page(self, keys: Sequence[str], per_page: int) -> tuple[str, ...]:
        """What has a chart on the page."""
        first = self.page(keys, per_page)[0] * per_page
        return tuple(keys[first : first + per_page])

    def moved(self, keys: Sequence[str], by: int) -> "GridState":
        """Another chart is selected, `by` places further; stays at the ends."""
        if not keys:
            return self
        target = min(max(0, self.index(keys) + by), len(keys) - 1)
        return replace(self, selected=keys[target])

    def resized(self, by: int) -> "GridState":
        """Smaller charts, or larger ones for a negative number; a large chart stays large."""
        return replace(self, size=min(max(0, self.size + by), len(_SIZES) - 1))

    def reordered(self) -> "GridState":
        """The next order; the selected chart stays selected."""
        return replace(self, order=ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)])

    def order_text(self, *, is_selection: bool) -> str:
        """What the order is called.

        Args:
            is_selection: Whether the runs were selected.
        """
        unsorted = "as selected" if is_selection else "newest first"
        return {"loss": "best first", "selection": unsorted, "name": "by name"}[self.order]

    def toggled(self) -> "GridState":
        """The other mode."""
        mode: Mode = "quantities" if self.mode == "runs" else "runs"
        return replace(self, mode=mode, selected=None, is_large=False)
