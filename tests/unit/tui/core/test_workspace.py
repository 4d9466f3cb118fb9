"""Glyphs and colours of the runs in charts, and what a chart calls them."""

from pathlib import Path

import pytest
from textual.app import App

from builders.runs import run_info
from transformer_playground.runs.naming import name_runs
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.snapshot import Snapshot
from transformer_playground.tui.core.workspace import SLOTS, Workspace
from transformer_playground.tui.themes import SERIES, series_of

RUNS = [f"run-{number}" for number in range(SLOTS + 3)]


def test_as_many_runs_as_there_are_glyphs_can_be_told_apart_without_colours() -> None:
    workspace = Workspace(selected=list(RUNS))
    slots = [workspace.slot(run_id) for run_id in RUNS]
    assert slots == [*range(SLOTS), None, None, None]
    assert Workspace(selected=list(RUNS)).slot(RUNS[20]) == 20
    assert len({series_of(slot).glyph for slot in slots[:SLOTS]}) == SLOTS == len(SERIES) >= 20


def test_a_run_keeps_its_glyph_while_others_come_and_go() -> None:
    workspace = Workspace(selected=["a", "b", "c"])
    assert [workspace.slot(run_id) for run_id in "abc"] == [0, 1, 2]
    workspace.selected = ["b", "d", "c"]
    assert [workspace.slot(run_id) for run_id in "bcd"] == [1, 2, 0]
    assert workspace.slot("a") is None


def test_neighbouring_runs_and_a_shape_and_its_outline_have_different_colours() -> None:
    for step in (1, 6):
        for one, other in zip(SERIES, SERIES[step:], strict=False):
            assert one.dark != other.dark
            assert one.light != other.light


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("ab", ["other=2", "other=3"]), ("ac", ["first=1", "first=4"]), ("a", ["first=1 other=2"])],
)
def test_short_names_say_what_differs_among_the_runs_that_are_shown(
    tmp_path: Path, shown: str, expected: list[str]
) -> None:
    values = {"a": (1, 2), "b": (1, 3), "c": (4, 2)}
    ids = {name: f"tiny-20260101-10000{place}-000{name}" for place, name in enumerate(values)}
    rows = [
        run_info(ids[name], settings={"model.first": one, "model.other": other})
        for name, (one, other) in values.items()
    ]
    context = AppContext(App(), tmp_path, tmp_path, tmp_path)
    context.snapshot = Snapshot({row.run_id: row for row in rows}, name_runs(rows))
    for _ in range(2):
        found = context.short_names(ids[name] for name in shown)
        assert found == dict(zip((ids[name] for name in shown), expected, strict=True))
