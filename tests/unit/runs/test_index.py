"""The list of runs is the same with and without its cache, also if files or cache are damaged."""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from builders.disks import WatchedDisk, refuse_from
from builders.runs import (
    append_rows,
    eval_row,
    make_run,
    measured_rows,
    resume_row,
    status_row,
    train_row,
)
from transformer_playground.runs.annotations import Annotations, write_annotations
from transformer_playground.runs.clock import TrainingClock
from transformer_playground.runs.fields import Parent, RunInfo
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.index import INDEX_NAME, flatten
from transformer_playground.runs.index_file import (
    Identity,
    IndexEntry,
    decode_index,
    encode_index,
)
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.loss_curve import LossCurve
from transformer_playground.runs.metrics import FileOffset, RunningMedian
from transformer_playground.runs.status import RunLock
from transformer_playground.runs.summary import RunSummary

ROWS = [
    *measured_rows(),
    status_row(20, "finished", time=121.0),
]


# Files younger than this are not cached in the index.
SETTLED_SECONDS = 2.6


class Settled:
    """Runs folders with files old enough for the index: made together, with a single wait."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spare = [root / str(number) for number in range(len(CHANGES) + 40)]
        for folder in self._spare:
            make_run(folder, rows=ROWS)
        make_run(root / "odd", "odd", ROWS, config=ODD)
        make_run(root / "running", rows=ROWS[:-1])
        time.sleep(SETTLED_SECONDS)

    def take(self, name: str = "") -> Path:
        """An unused folder."""
        return self._root / name if name else self._spare.pop()


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Settled:
    return Settled(tmp_path_factory.mktemp("settled"))


def without_cache(runs_dir: Path) -> list[RunInfo]:
    index = runs_dir / INDEX_NAME
    kept = index.read_bytes() if index.is_file() else None
    index.unlink(missing_ok=True)
    rows = list_runs(runs_dir)
    if kept is not None:
        index.write_bytes(kept)
    return rows


def entries(runs_dir: Path) -> dict[str, Any]:
    runs: dict[str, Any] = json.loads((runs_dir / INDEX_NAME).read_bytes())["runs"]
    return runs


def poison(runs_dir: Path) -> None:
    """Change entries to wrong values that show whether they are used."""
    document = json.loads((runs_dir / INDEX_NAME).read_bytes())
    for entry in document["runs"].values():
        entry["summary"]["best_val_loss"] = 0.25
        entry["identity"]["experiment"] = "poisoned"
        entry["annotations"]["note"] = "poisoned"
    (runs_dir / INDEX_NAME).write_text(json.dumps(document))


def test_a_row_has_the_values_of_the_list(tmp_path: Path) -> None:
    config = {"model": {"norm": "rmsnorm"}, "train": {"runtime": {"seed": 0, "max_iters": 100}}}
    run = make_run(tmp_path, rows=ROWS, config=config)
    write_annotations(run, Annotations("a note", ("b", "a")))

    for _ in range(2):
        (row,) = list_runs(tmp_path)
        assert (row.summary.step, row.summary.best_val_loss, row.summary.best_step) == (20, 2.0, 20)
        assert (row.summary.train_loss, row.summary.val_loss, row.summary.bits_per_byte) == (
            3.8,
            2.0,
            3.0,
        )
        assert (row.summary.tokens_seen, row.wall_time, row.seed) == (200, 21.0, 0)
        assert (row.note, row.tags) == ("a note", ("b", "a"))
        assert dict(row.settings) == {
            "model.norm": "rmsnorm",
            "train.runtime.seed": 0,
            "train.runtime.max_iters": 100,
        }


ODD = {"a": "\udc80", "b": 10**40, "c": {}}


def same_size_edit(run: RunFolder) -> None:
    path = run.metrics_path
    state = path.stat()
    changed = path.read_bytes().replace(b'"val_loss": 2.0', b'"val_loss": 1.0')
    path.write_bytes(changed)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size


def other_config(run: RunFolder) -> None:
    run.config_path.write_text(
        run.config_path.read_text().replace('"experiment": "tiny"', '"experiment": "tidy"')
    )


CHANGES: dict[str, Callable[[RunFolder], object]] = {
    "same size, same time": same_size_edit,
    "grown": lambda run: append_rows(run, [eval_row(30, 1.5), status_row(30, "failed", error="x")]),
    "resumed": lambda run: append_rows(run, [resume_row(0), status_row(0, "stopped")]),
    "truncated": lambda run: os.truncate(run.metrics_path, 300),
    "emptied": lambda run: os.truncate(run.metrics_path, 0),
    "metrics gone": lambda run: run.metrics_path.unlink(),
    "config edited": other_config,
    "config damaged": lambda run: run.config_path.write_text("{"),
    "noted": lambda run: write_annotations(run, Annotations("words", ("new",))),
    "removed": lambda run: shutil.rmtree(run.root),
    "trashed": lambda run: run.root.rename(run.root.parent / ".hidden"),
    "renamed": lambda run: run.root.rename(run.root.with_name("other-name")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_list_is_correct_after_each_kind_of_change(settled: Settled, change: str) -> None:
    folder = settled.take()
    before = list_runs(folder)
    assert list(entries(folder)) == ["tiny-1"]
    assert list_runs(folder) == before

    CHANGES[change](RunFolder(folder / "tiny-1"))
    after = list_runs(folder)
    assert after != before
    assert after == without_cache(folder) == list_runs(folder)


def test_a_change_during_reading_is_not_missed(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS)
    for loss in (b"1.0", b"3.0", b"1.5"):
        before = run.metrics_path.read_bytes()
        list_runs(tmp_path)
        head, _, tail = before.rpartition(b'"val_loss": ')
        run.metrics_path.write_bytes(head + b'"val_loss": ' + loss + tail[3:])
        assert list_runs(tmp_path)[0].summary.val_loss == float(loss)


def test_unchanged_runs_are_served_from_the_index_and_changed_ones_are_not(
    settled: Settled, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    for run_id in ("same", "grown", "noted", "configured"):
        (settled.take() / "tiny-1").rename(tmp_path / "runs" / run_id)
    list_runs(tmp_path / "runs")
    poison(tmp_path / "runs")
    # The folder may move: nothing in the index depends on its path.
    runs = (tmp_path / "runs").rename(tmp_path / "moved")
    append_rows(RunFolder(runs / "grown"), [train_row(30)])
    write_annotations(RunFolder(runs / "noted"), Annotations("mine"))
    other_config(RunFolder(runs / "configured"))
    shutil.copytree(runs, tmp_path / "copied")

    rows = {row.run_id: row for row in list_runs(runs)}
    shown = {
        name: (row.summary.best_val_loss, row.experiment, row.note) for name, row in rows.items()
    }
    assert shown == {
        "same": (0.25, "poisoned", "poisoned"),
        "grown": (2.0, "poisoned", "poisoned"),
        "noted": (0.25, "poisoned", "mine"),
        "configured": (0.25, "tidy", "poisoned"),
    }
    assert {row.summary.best_val_loss for row in list_runs(tmp_path / "copied")} == {2.0}


def test_an_unchanged_index_is_read_once(settled: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = settled.take()
    expected = list_runs(runs)
    assert list_runs(runs) == expected
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path.name} was read"))
    assert list_runs(runs) == expected
    monkeypatch.undo()
    poison(runs)
    assert list_runs(runs)[0].note == "poisoned"


def test_settings_keep_their_order_and_empty_tables_stay_values() -> None:
    table = {"b": {"y": {"deep": 1}, "x": {}}, "a": [{"not": "a table"}]}
    assert list(flatten(table).items()) == [
        ("b.y.deep", 1),
        ("b.x", {}),
        ("a", [{"not": "a table"}]),
    ]


def test_a_dead_writer_is_noticed_without_any_change_of_files(settled: Settled) -> None:
    runs = settled.take("running")
    run = RunFolder(runs / "tiny-1")
    with RunLock(run):
        writer = run.writer_path.read_text()
        assert list_runs(runs)[0].state == "running"
    assert list_runs(runs)[0].state == "interrupted"
    assert None not in entries(runs)["tiny-1"]["signatures"]
    dead = json.loads(writer) | {"process_started": 1.0}
    run.writer_path.write_text(json.dumps(dead))
    assert list_runs(runs)[0].state == "interrupted"
    run.writer_path.write_text(writer)
    assert list_runs(runs)[0].state == "running"


def test_the_summary_of_a_running_run_is_correct_after_every_row(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running", time=5.0)])
    rows = [
        *ROWS[1:5],
        eval_row(20, 1.5),
        train_row(30, train_loss=None),
        eval_row(30, 1.5),
        status_row(30, "paused"),
        status_row(30, "running", time=9000.0),
        train_row(40, time=9010.0),
        resume_row(10, time=9100.0),
        train_row(20, time=9200.0),
        eval_row(40, 3.0),
        status_row(40, "finished", time=9300.0),
    ]
    with RunLock(run):
        # Enough rows for the index to be stored with them.
        append_rows(run, [{"event": "warning", "step": 0, "message": "x" * 2_000_000}])
        list_runs(tmp_path)
        assert entries(tmp_path)["tiny-1"]["position"]["offset"] > 2_000_000
        for row in rows:
            append_rows(run, [row])
            assert list_runs(tmp_path) == without_cache(tmp_path)


def test_a_running_run_whose_speed_changes_has_a_correct_throughput(tmp_path: Path) -> None:
    slow = [train_row(step, tokens_per_sec=100.0 + step) for step in range(500)]
    run = make_run(tmp_path, rows=[status_row(0, "running"), *slow])
    with RunLock(run):
        append_rows(run, [{"event": "warning", "step": 0, "message": "x" * 2_000_000}])
        assert list_runs(tmp_path)[0].summary.tokens_per_sec_median == 349.5
        for step in range(500, 1_500, 90):
            fast = [train_row(at, tokens_per_sec=9_000.0) for at in range(step, step + 90)]
            append_rows(run, fast)
            (row,) = list_runs(tmp_path)
            assert (
                row.summary.tokens_per_sec_median
                == without_cache(tmp_path)[0].summary.tokens_per_sec_median
            )
        assert list_runs(tmp_path)[0].summary.tokens_per_sec_median == 9_000.0


def test_only_new_rows_of_a_running_run_are_read(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running"), eval_row(0, 4.0), train_row(1)])
    with RunLock(run):
        append_rows(run, [{"event": "warning", "step": 0, "message": "x" * 2_000_000}])
        list_runs(tmp_path)
        poison(tmp_path)
        append_rows(run, [train_row(2)])
        (row,) = list_runs(tmp_path)
        assert (row.summary.step, row.summary.best_val_loss) == (2, 0.25)
    append_rows(run, [status_row(2, "finished")])
    # The final status is read from the whole file.
    assert list_runs(tmp_path)[0].summary.best_val_loss == 4.0


STORED = (
    *(Identity, Parent, Annotations),
    *(RunSummary, TrainingClock, RunningMedian, LossCurve, FileOffset),
)


def test_other_figures_have_another_version_of_the_index() -> None:
    names = [f"{kind.__name__}.{field.name}" for kind in STORED for field in fields(kind)]
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
    version = json.loads(encode_index({}))["schema_version"]
    # What an older version did not store would read as unset. With other fields, raise the version
    # and then state both here.
    assert (version, digest) == (9, "a7d4b534")


DAMAGES: dict[str, bytes] = {
    "empty": b"",
    "torn": b'{"schema_version":3,"runs":{"tiny-1":{"iden',
    "binary": b"\x00\xff" * 50,
    "deep": b"[" * 100_000,
    "foreign": b'{"runs": ["a", "b"]}',
    "another version": b'{"schema_version": 2, "settings": [], "runs": {}}',
    "without settings": b'{"schema_version": 7, "runs": {}}',
    "list": b"[]",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_invalid_index_is_replaced(settled: Settled, damage: str) -> None:
    runs = settled.take()
    (runs / INDEX_NAME).write_bytes(DAMAGES[damage])

    assert [row.summary.best_val_loss for row in list_runs(runs)] == [2.0]
    assert list(entries(runs)) == ["tiny-1"]


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("summary", "best_val_loss", "low"),
        ("summary", "step", 1.5),
        ("summary", "unknown", 1),
        ("summary", "clock", {"total": "long"}),
        ("position", "offset", "x"),
        ("position", "offset", True),
        ("identity", "settings", [1]),
        ("identity", "settings", {"base": 9, "changed": {}}),
        ("identity", "seed", "one"),
        ("annotations", "tags", "abc"),
        ("annotations", "tags", [1]),
        ("annotations", "note", 5),
    ],
)
def test_an_entry_with_invalid_values_is_read_again(
    settled: Settled, part: str, key: str, value: object
) -> None:
    runs = settled.take()
    expected = list_runs(runs)
    poison(runs)
    assert list_runs(runs) != expected
    document = json.loads((runs / INDEX_NAME).read_bytes())
    document["runs"]["tiny-1"][part][key] = value
    (runs / INDEX_NAME).write_text(json.dumps(document))

    assert list_runs(runs) == expected


@pytest.mark.parametrize("value", [None, [], {"identity": 1}, {"signatures": [None]}])
def test_what_is_no_entry_is_read_again(settled: Settled, value: object) -> None:
    runs = settled.take()
    expected = list_runs(runs)
    document = json.loads((runs / INDEX_NAME).read_bytes())
    document["runs"]["tiny-1"] = value
    (runs / INDEX_NAME).write_text(json.dumps(document))

    assert list_runs(runs) == expected


def test_settings_that_few_runs_change_are_stored_once_and_come_back_exactly() -> None:
    base = {"a.b": 1, "a.c": [1], "d": "text", "e": 0.5}
    tables = [
        base,
        dict(base),
        {**base, "a.b": True},
        {**base, "a.c": [True]},
        {**base, "e": 1},
        {**base, "new": None},
        {"e": 0.5, **base},
        {},
    ]
    entries = {str(number): entry_of(table) for number, table in enumerate(tables)}
    data = encode_index(entries)

    again = {name: entry.identity.settings for name, entry in decode_index(data).items()}
    for number, table in enumerate(tables):
        assert json.dumps(again[str(number)]) == json.dumps(table)
    assert data.count(b'"text"') == 3
    assert again["0"] is again["1"]


def entry_of(settings: dict[str, Any]) -> IndexEntry:
    identity = Identity("tiny", None, 1, 2, None, (), settings)
    return IndexEntry(identity, Annotations(), RunSummary(), FileOffset(), (None, None, None))


@pytest.mark.parametrize(
    "mark",
    [
        {"offset": -5, "inode": 1, "last_bytes": "zz"},
        {"offset": 10**15, "inode": 1, "last_bytes": ""},
        {"offset": 3, "inode": 1, "last_bytes": "aa" * 50},
    ],
)
def test_an_invalid_resume_position_is_not_used(tmp_path: Path, mark: dict[str, Any]) -> None:
    run = make_run(tmp_path, rows=[*ROWS[:-1], train_row(21, message="x" * 2_000_000)])
    with RunLock(run):
        list_runs(tmp_path)
        document = json.loads((tmp_path / INDEX_NAME).read_bytes())
        inode = run.metrics_path.stat().st_ino
        document["runs"]["tiny-1"]["position"] = {**mark, "inode": inode}
        (tmp_path / INDEX_NAME).write_text(json.dumps(document))

        assert list_runs(tmp_path)[0].summary.best_val_loss == 2.0


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device"])
def test_an_index_that_is_not_a_regular_file_is_not_read(tmp_path: Path, kind: str) -> None:
    make_run(tmp_path, rows=ROWS)
    path = tmp_path / INDEX_NAME
    if kind == "folder":
        (path / "x").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    assert [row.summary.best_val_loss for row in list_runs(tmp_path)] == [2.0]


def test_a_failed_write_of_the_index_leaves_no_files(tmp_path: Path) -> None:
    make_run(tmp_path, rows=ROWS)
    expected = list_runs(tmp_path)
    (tmp_path / INDEX_NAME).unlink(missing_ok=True)
    with WatchedDisk(tmp_path, refuse_from(10**9)) as healthy:
        list_runs(tmp_path)
    (tmp_path / INDEX_NAME).unlink(missing_ok=True)
    for number in range(1, healthy.operations + 1):
        with WatchedDisk(tmp_path, refuse_from(number)):
            assert list_runs(tmp_path) == expected
        for left in tmp_path.glob(".*"):
            left.unlink()  # a disk on which every write fails cannot be cleaned up either


def test_a_read_only_folder_is_listed(tmp_path: Path) -> None:
    make_run(tmp_path, rows=ROWS)
    tmp_path.chmod(0o555)
    try:
        assert [row.summary.best_val_loss for row in list_runs(tmp_path)] == [2.0]
    finally:
        tmp_path.chmod(0o755)


def test_runs_with_invalid_unicode_and_huge_numbers_are_listed(
    settled: Settled,
) -> None:
    runs = settled.take("odd")
    (settled.take() / "tiny-1").rename(runs / "plain")
    first = list_runs(runs)

    assert list_runs(runs) == first
    assert {row.run_id: dict(row.settings) for row in first}["odd"] == ODD
    assert list(entries(runs)) == ["plain"]


def test_concurrent_listings_are_correct(settled: Settled, tmp_path: Path) -> None:
    for number in range(3):
        (settled.take() / "tiny-1").rename(tmp_path / f"r{number}")
    expected = list_runs(tmp_path)
    (tmp_path / INDEX_NAME).unlink(missing_ok=True)
    results: list[list[RunInfo]] = []
    threads = [
        threading.Thread(target=lambda: results.append(list_runs(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [expected] * 8
    assert len(entries(tmp_path)) == 3
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_run_of_a_newer_version_is_reported(tmp_path: Path) -> None:
    make_run(tmp_path, "newer", ROWS, schema_version=2)
    make_run(tmp_path, "older", ROWS, schema_version=0)

    rows = {row.run_id: row for row in list_runs(tmp_path)}
    assert (rows["newer"].state, rows["newer"].summary.best_val_loss) == ("broken", None)
    assert "written by a newer version" in str(rows["newer"].problem)
    assert rows["older"].summary.best_val_loss == 2.0


def test_rows_with_missing_keys_are_listed_with_their_other_values(tmp_path: Path) -> None:
    bare = [{"event": "train", "step": 7}, {"event": "eval", "step": 9, "val_loss": 2.5}]
    make_run(tmp_path, rows=bare, config={})

    (row,) = list_runs(tmp_path)
    assert (row.summary.step, row.summary.best_val_loss, row.summary.best_step) == (9, 2.5, 9)
    assert (row.summary.train_loss, row.summary.tokens_seen, row.wall_time, row.seed) == (
        None,
        None,
        0.0,
        None,
    )


def test_hidden_folders_are_not_indexed(settled: Settled) -> None:
    runs = settled.take()
    make_run(runs / ".trash", "gone", ROWS)

    assert [row.run_id for row in list_runs(runs)] == ["tiny-1"]
    assert list(entries(runs)) == ["tiny-1"]


def test_the_best_run_is_found_through_the_index(tmp_path: Path) -> None:
    make_run(tmp_path, "first", [eval_row(5, 1.0)])
    run = make_run(tmp_path, "second", [eval_row(5, 2.0)])
    assert find_run(tmp_path, "tiny@best").run_id == "first"
    append_rows(run, [eval_row(6, 0.5)])

    assert find_run(tmp_path, "tiny@best").run_id == "second"


def test_a_file_changed_just_before_it_was_read_is_not_cached(settled: Settled) -> None:
    runs = settled.take()
    make_run(runs, "fresh", ROWS)
    list_runs(runs)

    assert None not in entries(runs)["tiny-1"]["signatures"]
    config, notes, metrics = entries(runs)["fresh"]["signatures"]
    assert (config, metrics) == (None, None)
    assert notes is not None
