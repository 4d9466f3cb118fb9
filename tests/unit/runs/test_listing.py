"""Listing of runs, broken ones included, and finding a run by what a user types."""

import gc
import json
import os
import platform
from pathlib import Path

import pytest

from builders.runs import eval_row, make_run, run_config, status_row, train_row
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.runs import index, listing
from transformer_playground.runs.annotations import Annotations, read_annotations
from transformer_playground.runs.fields import FIELDS
from transformer_playground.runs.finding import find_run, find_run_or_latest
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.listing import list_runs, refresh_run
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.summary_file import summarise

ROWS = [
    status_row(0, "running"),
    eval_row(0, 4.0),
    train_row(20),
    eval_row(20, 2.0),
    train_row(30),
    status_row(30, "stopped"),
]


def test_a_run_is_listed_with_its_numbers(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS, created="2026-01-02T03:04:05+00:00")

    (row,) = list_runs(tmp_path)

    assert row.run_id == "tiny-1"
    assert (row.experiment, row.state, row.problem) == ("tiny", "stopped", None)
    assert (row.summary.step, row.max_iters) == (30, 100)
    assert row.summary.best_val_loss == 2.0
    assert row.summary.tokens_per_sec_median == 525.0
    assert row.parameters == 1234
    assert row.created == 1767323045.0
    assert row.updated == run.metrics_path.stat().st_mtime


def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    for day in (2, 3, 1):
        make_run(tmp_path, f"run-{day}", created=f"2026-01-0{day}T00:00:00+00:00")

    assert [row.run_id for row in list_runs(tmp_path)] == ["run-3", "run-2", "run-1"]


def test_a_missing_runs_folder_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []


def test_a_failed_run_is_listed_with_its_error(tmp_path: Path) -> None:
    make_run(tmp_path, rows=[status_row(1, "failed", error="loss is nan")])

    assert list_runs(tmp_path)[0].problem == "loss is nan"


def test_broken_folders_are_listed_with_their_reason(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "good")
    make_run(tmp_path / "elsewhere", "secret")
    runs = tmp_path / "runs"
    (runs / "empty").mkdir()
    make_run(runs, "torn").config_path.write_bytes(b'{"experiment": "x')
    (runs / "\x1b]0;owned\x07").mkdir()
    (runs / os.fsdecode(b"\xff")).mkdir()
    (runs / "out").symlink_to(tmp_path / "elsewhere" / "secret")

    rows = {row.run_id: row for row in list_runs(runs)}

    assert rows.pop("good").state == "new"
    assert set(rows) == {"empty", "torn", "\x1b]0;owned\x07", os.fsdecode(b"\xff"), "out"}
    assert {row.state for row in rows.values()} == {"broken"}
    assert "no config.json" in str(rows["empty"].problem)
    assert "JSON" in str(rows["torn"].problem)
    assert "leads out" in str(rows["out"].problem)


def test_hidden_folders_and_files_are_not_runs(tmp_path: Path) -> None:
    make_run(tmp_path, "good")
    (tmp_path / ".trash").mkdir()
    (tmp_path / "README.md").write_text("runs")

    assert [row.run_id for row in list_runs(tmp_path)] == ["good"]


def test_invalid_values_in_a_config_are_left_out(tmp_path: Path) -> None:
    make_run(
        tmp_path,
        experiment=5,
        config={"train": []},
        parameters="many",
        created="yesterday",
        rows=[train_row(1, tokens_per_sec="fast")],
    )

    (row,) = list_runs(tmp_path)

    assert (row.experiment, row.max_iters, row.parameters, row.created) == (None,) * 4
    assert row.summary.tokens_per_sec_median is None


def test_an_exact_id_wins_over_longer_ids_with_that_prefix(tmp_path: Path) -> None:
    make_run(tmp_path, "tiny")
    make_run(tmp_path, "tiny-2")

    assert find_run(tmp_path, "tiny").run_id == "tiny"


def test_a_run_is_found_by_a_unique_prefix(tmp_path: Path) -> None:
    make_run(tmp_path, "tiny-1")
    make_run(tmp_path, "tiny-22")

    assert find_run(tmp_path, "tiny-2").run_id == "tiny-22"


def test_an_ambiguous_prefix_names_the_candidates(tmp_path: Path) -> None:
    for number in range(12):
        make_run(tmp_path, f"tiny-{number:02}")

    with pytest.raises(UsageError, match=r"12 runs: tiny-00, .*tiny-07, …"):
        find_run(tmp_path, "tiny")


def test_an_unknown_run_is_reported_with_the_closest_id(tmp_path: Path) -> None:
    make_run(tmp_path, "shakespeare-1")

    with pytest.raises(UsageError, match="shakespeare-1"):
        find_run(tmp_path, "shakespere-1")


def test_latest_and_best_of_an_experiment(tmp_path: Path) -> None:
    for number, loss in ((1, 3.0), (2, 1.0), (3, None)):
        rows = [eval_row(5, loss)]
        make_run(tmp_path, f"r{number}", rows, created=f"2026-01-0{number}T00:00:00+00:00")
    make_run(tmp_path, "other", [eval_row(5, 0.1)], experiment="tiny2")

    assert find_run(tmp_path, "tiny@latest").run_id == "r3"
    assert find_run(tmp_path, "tiny@best").run_id == "r2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tyni@latest", "Experiments with runs: tiny"),
        ("tiny@best", "not been evaluated|has been evaluated"),
        ("tiny@newest", "@latest or"),
        ("", "no run ''"),
        ("@latest", "no run"),
        ("../secret", "no run"),
        ("/etc", "no run"),
    ],
)
def test_an_unknown_reference_gives_a_clear_error(tmp_path: Path, name: str, message: str) -> None:
    make_run(tmp_path, "tiny-1")

    with pytest.raises(UsageError, match=message):
        find_run(tmp_path, name)


def test_a_link_to_outside_the_runs_folder_is_not_found(tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere", "secret")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(tmp_path / "elsewhere" / "secret")

    for name in ("mine", "mi"):
        with pytest.raises(PlaygroundError, match="leads out"):
            find_run(tmp_path / "runs", name)


def test_a_name_is_an_id_before_an_experiment_before_a_prefix(tmp_path: Path) -> None:
    for number in (1, 2):
        make_run(tmp_path, f"r{number}", created=f"2026-01-0{number}T00:00:00+00:00")
    make_run(tmp_path, "tiny-other", experiment="else", created="2026-01-03T00:00:00+00:00")

    assert find_run_or_latest(tmp_path, "tiny").run_id == "r2"
    assert find_run_or_latest(tmp_path, "tiny-").run_id == "tiny-other"
    assert find_run_or_latest(tmp_path, "tiny@latest").run_id == "r2"
    make_run(tmp_path, "tiny", experiment="else")
    assert find_run_or_latest(tmp_path, "tiny").run_id == "tiny"


def test_the_latest_run_is_found_past_broken_ones_and_with_unreadable_metrics(
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    make_run(tmp_path, "torn").config_path.write_bytes(b"{")
    make_run(tmp_path, "whole").metrics_path.mkdir()

    assert find_run_or_latest(tmp_path, "tiny").run_id == "whole"


@pytest.mark.parametrize("name", ["", "nobody", "../secret"])
def test_an_unknown_name_gives_a_clear_error(tmp_path: Path, name: str) -> None:
    make_run(tmp_path, "tiny-1")
    with pytest.raises(UsageError, match="no run"):
        find_run_or_latest(tmp_path, name)


HOSTILE_VALUES = [
    *("-1", "0", "1e999", "-1e999", "NaN", "9" * 400, "[]", "{}", "null", "true", '"1"', '""'),
    *(str(1 << 31), str(1 << 63), "[" * 100_000, '"' + "x" * 100_000 + '"', "2.5"),
]
WRITER = {"pid": 1, "host": platform.node(), "process_started": 1.0, "heartbeat": 1.0}


@pytest.mark.parametrize("value", HOSTILE_VALUES, ids=lambda value: value[:8])
@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("writer.json", WRITER),
        ("config.json", {**run_config(), "created": "2026", "schema_version": 1, "dataset": {}}),
        ("notes.json", {"note": "", "tags": []}),
        ("metrics.jsonl", train_row(1) | {"event": "status", "status": "running", "error": ""}),
        ("samples.jsonl", {"step": 1, "text": ""}),
    ],
)
def test_no_value_in_a_file_of_one_run_hides_the_others(
    tmp_path: Path, name: str, document: dict[str, object], value: str
) -> None:
    make_run(tmp_path, "good-1", [train_row(1)])
    fields = {key: json.dumps(each) for key, each in document.items()}
    broken = [value, *(_object(fields | {key: value}) for key in fields)]
    for number, text in enumerate(broken):
        run = make_run(tmp_path, f"bad-{number}", [train_row(1)])
        (run.root / name).write_text(text + "\n", encoding="utf-8")
    for _ in range(2):
        rows = list_runs(tmp_path)
        assert {row.run_id for row in rows} == {
            "good-1",
            *(f"bad-{number}" for number in range(len(broken))),
        }
        for row in rows:
            json.dumps(row.as_json(), allow_nan=False)
            for field in FIELDS.values():
                field.text(row, 2000.0)
            if row.state != "broken":
                refresh_run(tmp_path, row)
                summarise(RunFolder(tmp_path / row.run_id))
                read_samples(RunFolder(tmp_path / row.run_id))


def _object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + "}"


@pytest.mark.parametrize(
    "name", ["writer.json", "config.json", "notes.json", "metrics.jsonl", "samples.jsonl"]
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "link out", "link loop"])
def test_what_is_no_file_of_the_run_is_neither_waited_for_nor_followed(
    tmp_path: Path, name: str, kind: str
) -> None:
    runs_dir, outside = tmp_path / "runs", tmp_path / "outside"
    outside.write_text(json.dumps({"note": "secret", "step": 1, "text": "secret"}) + "\n")
    run = make_run(runs_dir, "bad")
    make_run(runs_dir, "good")
    path = run.root / name
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link out":
            path.symlink_to(outside)
        case _:
            path.symlink_to(path)
    rows = {row.run_id: row for row in list_runs(runs_dir)}
    assert rows.keys() == {"bad", "good"}
    assert "secret" not in json.dumps(rows["bad"].as_json())
    assert read_samples(run) == []


def test_an_unexpected_error_concerns_one_run_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, "good")
    make_run(tmp_path, "bad")

    def failing(run: RunFolder) -> Annotations:
        if run.run_id == "bad":
            raise ZeroDivisionError("unexpected")
        return read_annotations(run)

    monkeypatch.setattr(index, "read_annotations", failing)
    rows = {row.run_id: row for row in list_runs(tmp_path)}
    assert rows["good"].state == "new"
    assert rows["bad"].state == "broken"
    assert "unexpected" in str(rows["bad"].problem)


def test_the_rows_of_many_runs_are_left_out_of_garbage_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path, rows=ROWS)
    monkeypatch.setattr(listing, "_MANY_OBJECTS", -1)
    try:
        rows = list_runs(tmp_path)
        assert gc.isenabled()
        assert not any(each is rows[0] for each in gc.get_objects())
    finally:
        gc.unfreeze()
    monkeypatch.undo()
    rows = list_runs(tmp_path)
    assert any(each is rows[0] for each in gc.get_objects())
