"""Snapshots of the folders of experiments and runs."""

from pathlib import Path

import pytest

from builders.runs import append_rows, eval_row, make_run, status_row
from transformer_playground.tui.core.snapshot import next_snapshot, take_snapshot


def test_an_unreadable_folder_is_named_and_hides_nothing_of_the_other(tmp_path: Path) -> None:
    runs, experiments, file = tmp_path / "runs", tmp_path / "experiments", tmp_path / "file"
    make_run(runs, "one", rows=[status_row(1, "finished")])
    (experiments / "mine").mkdir(parents=True)
    file.write_text("")

    whole = take_snapshot(experiments, runs)
    assert (list(whole.runs), [each.name for each in whole.experiments]) == (["one"], ["mine"])
    assert whole.problem is None
    without = take_snapshot(file, runs)
    assert list(without.runs) == ["one"]
    assert "file cannot be read: Not a directory" in (without.problem or "")
    other = take_snapshot(experiments, file)
    assert [each.name for each in other.experiments] == ["mine"]
    assert str(file) in (other.problem or "")
    assert take_snapshot(tmp_path / "new", tmp_path / "new").problem is None


def test_unchanged_runs_stay_the_same_objects(tmp_path: Path) -> None:
    for name in ("one", "other"):
        run = make_run(tmp_path / "runs", name, rows=[status_row(1, "finished")])
    first = take_snapshot(tmp_path, tmp_path / "runs")
    append_rows(run, [eval_row(2, 1.5)])
    make_run(tmp_path / "runs", "new", rows=[])

    second = take_snapshot(tmp_path, tmp_path / "runs", first)
    assert second.runs["one"] is first.runs["one"]
    assert second.runs["other"].summary.val_loss == 1.5
    assert set(second.runs) == {"one", "other", "new"}


def test_a_fault_while_listing_keeps_what_is_known_and_the_next_listing_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(runs_dir: Path) -> None:
        raise RecursionError("too deep")

    make_run(tmp_path, "one", rows=[status_row(1, "finished")])
    first = next_snapshot(tmp_path, tmp_path, take_snapshot(tmp_path, tmp_path))
    with monkeypatch.context() as broken:
        broken.setattr("transformer_playground.runs.listing.list_runs", fail)
        faulty = next_snapshot(tmp_path, tmp_path, first)
    assert (faulty.runs, faulty.problem) == (first.runs, "Runs cannot be listed: too deep")
    assert faulty.next_refresh > 0
    assert next_snapshot(tmp_path, tmp_path, faulty).problem is None
