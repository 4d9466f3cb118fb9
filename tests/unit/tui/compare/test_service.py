"""State of the compare view without a screen: reading, verdicts, selection and steps."""

import errno
import json
from pathlib import Path

import pytest

from builders.comparisons import evaluated, finished_run
from builders.runs import append_rows
from transformer_playground.runs.fields import Parent
from transformer_playground.tui.compare.service import (
    Comparer,
    PairedTest,
    Request,
    SampleTrack,
    StepSamples,
    move_step,
    read_track,
    steps_of,
)
from transformer_playground.tui.core.workspace import Workspace, pin, toggle
from transformer_playground.tui.shared.panes import ranks


def test_a_comparison_is_kept_until_request_or_files_change(tmp_path: Path) -> None:
    run, _ = finished_run(tmp_path, "one"), finished_run(tmp_path, "two", 1.0)
    comparer = Comparer(tmp_path)
    request = Request(("one", "two"), group=False)
    first = comparer.update(request, {})
    assert first is not None
    assert first.comparison is not None
    assert comparer.update(request, {}, first) is None

    turned = comparer.update(Request(("two", "one"), group=False), {}, first)
    assert turned is not None
    assert turned.comparison is not None
    assert turned.comparison.columns[0].label == "two"

    append_rows(run, evaluated(0.5, 0.25, step=101))
    changed = None
    while changed is None:
        changed = comparer.update(request, {}, first)
    assert changed.comparison is not None
    assert changed.comparison.columns[0].estimates["best_val_loss"].mean == 0.25
    assert changed.curves["one"].y.tolist() == [2.0, 0.25]


def test_the_losses_before_a_branch_are_those_of_its_parent_up_to_there(tmp_path: Path) -> None:
    for name in ("tree", "twig", "other"):
        finished_run(tmp_path, name)
    losses = Comparer(tmp_path).update(Request(("tree", "other")), {})
    assert losses is not None
    steps = losses.curves["tree"].x.tolist()
    comparer = Comparer(tmp_path)
    request = Request(("twig", "other"), lineages=(("twig", (Parent("tree", int(steps[0])),)),))
    found = comparer.update(request, {})
    assert found is not None
    assert [each.x.tolist() for each in found.before["twig"]] == [steps[:1]]
    assert set(found.curves) == {"twig", "other"}


def test_a_change_that_was_read_but_not_shown_is_shown_later(tmp_path: Path) -> None:
    run, _ = finished_run(tmp_path, "one"), finished_run(tmp_path, "two")
    comparer = Comparer(tmp_path)
    request = Request(("one", "two"))
    shown = comparer.update(request, {})
    append_rows(run, evaluated(0.5, 0.25, step=101))
    lost = None
    while lost is None:
        lost = comparer.update(request, {}, shown)
    assert comparer.update(request, {}, shown) is not None
    assert comparer.update(request, {}, lost) is None


def test_a_run_whose_process_died_is_read_again(tmp_path: Path) -> None:
    finished_run(tmp_path, "one"), finished_run(tmp_path, "two")
    comparer = Comparer(tmp_path)
    request = Request(("one", "two"))
    shown = comparer.update(request, {"one": "running"})
    changed = None
    while changed is None:
        changed = comparer.update(request, {"one": "interrupted"}, shown)
    assert changed.version > (shown.version if shown else 0)


@pytest.mark.parametrize("text", ["{", "[]", '{"config": 1}', "\x00", "[" * 100_000])
def test_a_broken_run_is_reported_and_the_others_are_compared(tmp_path: Path, text: str) -> None:
    for run_id in ("one", "two", "three"):
        finished_run(tmp_path, run_id)
    (tmp_path / "two" / "config.json").write_text(text, encoding="utf-8")
    compared = Comparer(tmp_path).update(Request(("one", "two", "gone", "three"), group=False), {})
    assert compared is not None
    assert compared.comparison is not None
    assert [column.label for column in compared.comparison.columns] == ["one", "three"]
    assert compared.problems.keys() == {"two", "gone"}
    assert compared.tracks.keys() == compared.curves.keys() == {"one", "three"}


def test_samples_are_found_at_or_before_a_step(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "one")
    rows = [
        {"step": 0, "text": "a", "prompt": 7},
        {"step": 10, "text": "b", "prompt": ">"},
        {"step": 10, "text": "c", "prompt": ">"},
        {"step": True, "text": "no"},
        {"step": 20, "text": None},
        {"step": "30", "text": "no"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    run.samples_path.write_text(lines + '{"step": 40', encoding="utf-8")
    track = read_track(run)
    assert track.at(-1) is None
    assert track.at(0) == track.at(9) == StepSamples(0, ("a",))
    assert track.at(10) == track.at(11)
    assert track.at(99) == StepSamples(10, (">b", ">c"))
    assert steps_of([track, SampleTrack((StepSamples(5, ("x",)),))]) == (0, 5, 10)


def test_moving_through_steps_stops_at_the_ends() -> None:
    steps = (0, 5, 10)
    assert move_step(steps, None, 0) == 10
    assert move_step(steps, None, -1) == 5
    assert move_step(steps, 5, 1) == 10
    assert move_step(steps, 5, 9) == 10
    assert move_step(steps, 5, -9) == 0
    assert move_step(steps, 7, 0) == 5
    assert move_step((), 7, 1) is None


def test_pinning_and_unpinning_keeps_every_run(tmp_path: Path) -> None:
    workspace = Workspace(current="a", baseline="b")
    pin(workspace, "a")
    assert workspace.chosen() == ["a", "b"]
    pin(workspace, "a")
    assert set(workspace.chosen()) == {"a", "b"}


def test_an_evaluation_that_cannot_be_started_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", fail)
    outcome = PairedTest(tmp_path, tmp_path, ["one", "two"]).run()
    assert outcome == "The evaluation cannot be started: Resource temporarily unavailable."


def test_a_run_can_be_added_and_removed_however_it_was_selected() -> None:
    workspace = Workspace(current="a")
    toggle(workspace, "b")
    assert workspace.chosen() == ["a", "b"]
    toggle(workspace, "a")
    assert workspace.chosen() == ["b"]
    pin(workspace, "b")
    toggle(workspace, "b")
    assert workspace.chosen() == []


def test_the_active_pane_then_the_table_then_what_was_used_last() -> None:
    assert ranks([0, 1, 3, 2]) == [0, 1, 3, 2]
    assert ranks([2, 1, 0, 3]) == [1, 2, 0, 3]
