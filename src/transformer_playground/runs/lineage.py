"""Lineage of runs: branches below the runs that they started from, and the curves of those."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from transformer_playground.runs.fields import Parent, RunInfo

if TYPE_CHECKING:
    from transformer_playground.runs.series import Curve, RunSeries


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


Lineage = tuple[str, tuple[Parent, ...]]
"""A branch and the runs that it continues, the nearest first."""


def lineages(
    branches: Iterable[str], rows: Mapping[str, RunInfo], shown: Container[str | None] = ()
) -> tuple[Lineage, ...]:
    """The lineage of each of these runs that is a branch, without parents that are shown anyway."""
    found = []
    for run_id in branches:
        parents = tuple(each for each in ancestors(run_id, rows) if each.run_id not in shown)
        if parents:
            found.append((run_id, parents))
    return tuple(found)


def seconds_at(series: "RunSeries", step: int) -> float:
    """Seconds for which a run had trained at a step; 0 before its first row."""
    import numpy as np

    steps = series.curve("train", "step", "time")
    end = int(np.searchsorted(steps.y, step, side="right"))
    return float(steps.x[end - 1]) if end else 0.0


def curve_up_to(curve: "Curve", steps: "Curve", last: int, before: float = 0.0) -> "Curve":
    """The part of a curve up to a step.

    Args:
        curve: A metric along any axis.
        steps: The same metric by step.
        last: The step, which is included.
        before: Subtracted from the positions: on the axis of time, which starts at 0 with each
            run, the part lies before a branch that began so many seconds after it.
    """
    part = _up_to(curve, steps, last)
    return replace(part, x=part.x - before) if before else part


def _up_to(curve: "Curve", steps: "Curve", last: int) -> "Curve":
    import numpy as np

    end = int(np.searchsorted(steps.x, last, side="right"))
    if curve.buckets is not None and end < 2 * len(curve.buckets):
        # Thinned points come in pairs, one for each bucket.
        end -= end % 2
        buckets = curve.buckets.where(np.arange(len(curve.buckets)) < end // 2)
        return replace(curve, x=curve.x[:end], y=curve.y[:end], buckets=buckets)
    return replace(curve, x=curve.x[:end], y=curve.y[:end])
