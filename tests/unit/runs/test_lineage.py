"""Branches below the runs that they started from."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from builders.runs import make_run, run_info
from transformer_playground.runs.fields import Parent, RunInfo
from transformer_playground.runs.lineage import ancestors, curve_up_to, tree_order
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.series import Curve
from transformer_playground.runs.thinning import Buckets


def family(**parents: str) -> list[RunInfo]:
    """Runs with the parent of each, at step 10; "-" for none."""
    return [
        run_info(name, parent=None if parent == "-" else Parent(parent, 10))
        for name, parent in parents.items()
    ]


def drawn(rows: list[RunInfo]) -> list[str]:
    return [lines + row.run_id for row, lines in tree_order(rows)]


def test_branches_stand_below_their_parent_in_the_given_order() -> None:
    rows = family(c="a", x="-", d="c", b="a", a="-", e="c", lost="gone")
    assert drawn(rows) == ["x", "a", "├ c", "│ ├ d", "│ └ e", "└ b", "lost"]


@given(st.lists(st.integers(0, 5), max_size=6))
def test_no_run_is_lost_whatever_the_files_say_about_parents(parents: list[int]) -> None:
    rows = [run_info(str(n), parent=Parent(str(parent))) for n, parent in enumerate(parents)]
    assert sorted(row.run_id for row, _ in tree_order(rows)) == sorted(row.run_id for row in rows)
    known = {row.run_id: row for row in rows}
    assert all(len(ancestors(run_id, known)) <= len(rows) for run_id in known)


def test_a_long_chain_of_branches_is_listed() -> None:
    rows = family(**{f"r{n}": f"r{n - 1}" if n else "-" for n in range(2_000)})
    assert len(tree_order(rows)) == 2_000


def test_ancestors_are_followed_to_the_first_that_is_known() -> None:
    rows = {row.run_id: row for row in family(a="gone", b="a", c="b", me="me")}
    assert ancestors("c", rows) == (Parent("b", 10), Parent("a", 10))
    assert ancestors("me", rows) == ancestors("unknown", rows) == ()


def test_the_curve_of_a_parent_ends_where_the_branch_starts() -> None:
    by_step = Curve(np.array([10.0, 20.0, 30.0]), np.array([3.0, 2.0, 1.0]))
    by_time = Curve(np.array([1.5, 2.5, 3.5]), by_step.y)
    part = curve_up_to(by_time, by_step, 20)
    assert (part.x.tolist(), part.y.tolist()) == ([1.5, 2.5], [3.0, 2.0])
    assert not curve_up_to(by_step, by_step, 5).x.size


def test_thinned_points_are_cut_between_their_buckets() -> None:
    counts = np.array([4, 4])
    thinned = Curve(
        np.array([1.0, 4.0, 5.0, 8.0, 9.0]),
        np.array([4.0, 3.0, 2.0, 1.0, 0.5]),
        Buckets(counts, counts, np.array([3.5, 1.5])),
    )
    for last, points, buckets in ((9, 5, 2), (8, 4, 2), (7, 2, 1), (3, 0, 0)):
        part = curve_up_to(thinned, thinned, last)
        assert (len(part.x), len(part.buckets or ())) == (points, buckets)


def test_the_parent_of_a_branch_is_listed(tmp_path: Path) -> None:
    make_run(tmp_path, "twig", parent={"run_id": "tree", "checkpoint": "x.pt", "step": 300})
    make_run(tmp_path, "odd", parent={"run_id": 7})
    make_run(tmp_path, "half", parent={"run_id": "tree", "step": "x"})
    parents = {row.run_id: row.parent for row in list_runs(tmp_path)}
    assert parents == {"twig": Parent("tree", 300), "odd": None, "half": Parent("tree")}
    assert Parent("tree", 1_300).text() == "tree @ 1,300"
