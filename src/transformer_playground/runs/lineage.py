"""Lineage of runs: branches below the runs that they started from, and the curves of those."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from transformer_playground.runs.fields import Parent, RunInfo

if TYPE_CHECKING:
    from transformer_playground.runs.series import Curve


def tree_order(rows: Sequence[RunInfo]) -> list[tuple[RunInfo, str]]:
    """Each run followed by its branches, with the lines of a tree to print before its name.

    Runs whose parent is not among `rows` are roots. Roots and the branches of each run keep the
    given order. Damaged files whose parents form a circle lose no run.
    """
    known = {row.run_id: row for row in rows}
    branches: dict[str, list[RunInfo]] = {}
    roots = []
    for row in rows:
        if row.parent is not None and row.parent.run_id in known:
            branches.setdefault(row.parent.run_id, []).append(row)
        else:
            roots.append(row)
    found: dict[str, tuple[RunInfo, str]] = {}
    for root in (*roots, *rows):
        _add_branches(root, branches, found)
    return list(found.values())


def _add_branches(
    root: RunInfo,
    branches: dict[str, list[RunInfo]],
    found: dict[str, tuple[RunInfo, str]],
) -> None:
    # Iterative: a chain of branches may exceed the recursion limit.
    waiting = [(root, "", "")]
    while waiting:
        row, lines, below = waiting.pop()
        if row.run_id in found:
            continue
        found[row.run_id] = row, lines
        own = [each for each in branches.get(row.run_id, ()) if each.run_id not in found]
        for place, each in reversed(list(enumerate(own))):
            is_last = place == len(own) - 1
            fork, line = ("└ ", "  ") if is_last else ("├ ", "│ ")
            waiting.append((each, below + fork, below + line))


def ancestors(run_id: str, rows: Mapping[str, RunInfo]) -> tuple[Parent, ...]:
    """The runs that a branch continues, the nearest first, each with the step where it was left.

    Those that were deleted, or whose step is not known, and what lies before them, are left out.
    """
    found: list[Parent] = []
    seen = {run_id}
    row = rows.get(run_id)
    while row is not None and (parent := row.parent) is not None:
        if parent.run_id in seen or parent.run_id not in rows or parent.step is None:
            break
        found.append(parent)
        seen.add(parent.run_id)
        row = rows[parent.run_id]
    return tuple(found)


def curve_up_to(curve: "Curve", steps: "Curve", last: int) -> "Curve":
    """The part of a curve up to a step.

    Args:
        curve: A metric along any axis.
        steps: The same metric by step.
        last: The step, which is included.
    """
    import numpy as np

    end = int(np.searchsorted(steps.x, last, side="right"))
    if curve.buckets is not None and end < 2 * len(curve.buckets):
        # Thinned points come in pairs, one for each bucket.
        end -= end % 2
        buckets = curve.buckets.where(np.arange(len(curve.buckets)) < end // 2)
        return replace(curve, x=curve.x[:end], y=curve.y[:end], buckets=buckets)
    return replace(curve, x=curve.x[:end], y=curve.y[:end])
