"""Which panes are worth showing, given how many fit."""

from collections.abc import Sequence


def ranks(recent: Sequence[int]) -> list[int]:
    """For each pane how early it is shown, 0 for the one that is always shown.

    The active pane comes first, then pane 0, by which the others are read, then the others by how
    lately they were used.

    Args:
        recent: Every pane's number, the active one first.
    """
    order = list(dict.fromkeys([recent[0], 0, *recent]))
    return [order.index(number) for number in range(len(order))]
