"""Renaming, deleting and restoring runs: nothing is lost if a step fails."""

import errno
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from builders.runs import append_rows, hold_lock, make_run, status_row, train_row
from transformer_playground.errors import PlaygroundError, RunError, UsageError
from transformer_playground.files import replace_json
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.manage import delete_runs, list_deleted, rename_run, restore_run
from transformer_playground.runs.status import RunLock
from transformer_playground.runs.summary_file import write_summary

ROWS = [status_row(0, "running"), train_row(5), status_row(5, "finished")]


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("writer.lock", ".index.json")
    }


def run_id_in(path: Path) -> str:
    return str(json.loads(path.read_bytes())["run_id"])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunFolder]:
    """A run that another process writes."""
    run = make_run(tmp_path, "busy")
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=hold_lock, args=(run, sender))
    process.start()
    try:
        assert receiver.recv()
        yield run
    finally:
        process.kill()
        process.join()


def test_a_renamed_run_keeps_all_files_with_the_new_id(tmp_path: Path) -> None:
    run = make_run(tmp_path, "old", ROWS)
    write_summary(run)
    (run.reports / "report.json").write_text('{"run_id": "old"}')
    config = read_run_config(run)
    before = files(run.root)

    renamed, problem = rename_run(run, "new")

    assert problem is None
    assert not run.root.exists()
    assert [row.run_id for row in list_runs(tmp_path)] == ["new"]
    assert read_run_config(renamed) == config | {"run_id": "new", "former_ids": ["old"]}
    assert run_id_in(renamed.summary_path) == "new"
    after = files(renamed.root)
    for name in before.keys() - {"config.json", "summary.json"}:
        assert after[name] == before[name], name
    assert after.keys() == before.keys()
    with RunLock(renamed):
        append_rows(renamed, [train_row(6)])


def test_branches_follow_a_renamed_parent(tmp_path: Path) -> None:
    run = make_run(tmp_path, "old", ROWS)
    make_run(tmp_path, "twig", ROWS, parent={"run_id": "old", "step": 5})
    for name in ("middle", "old", "new"):
        run, _ = rename_run(run, name)
    assert read_run_config(run)["former_ids"] == ["middle", "old"]

    def parent() -> Parent | None:
        return {row.run_id: row.parent for row in list_runs(tmp_path)}["twig"]

    assert parent() == Parent("new", 5)
    # Another run of that name is the parent, as far as its branches say.
    make_run(tmp_path, "old", ROWS)
    assert parent() == Parent("old", 5)


@pytest.mark.parametrize("name", ["", "../out", "a/b", ".hidden", "x" * 101, "\x1b[31m", "old"])
def test_an_invalid_name_is_rejected(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, "old", ROWS)
    with pytest.raises(UsageError):
        rename_run(run, name)
    assert list_runs(tmp_path)[0].run_id == "old"


@pytest.mark.parametrize("kind", ["run", "empty folder", "file", "dangling link"])
def test_an_existing_name_is_rejected(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path, "old", ROWS)
    target = tmp_path / "new"
    if kind == "run":
        make_run(tmp_path, "new")
    elif kind == "empty folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = files(tmp_path)

    with pytest.raises(UsageError, match="already a run 'new'"):
        rename_run(run, "new")

    assert files(tmp_path) == before
    assert run.root.is_dir()


def test_an_interrupted_rename_leaves_a_usable_run(tmp_path: Path) -> None:
    """The name of the folder counts, and the next rename corrects the rest."""
    run = make_run(tmp_path, "old", ROWS)
    write_summary(run)
    written: list[Path] = []

    def die_at(count: int) -> mock.Mock:
        def write(path: Path, value: object) -> None:
            if len(written) == count:
                raise KeyboardInterrupt
            written.append(path)
            replace_json(path, value)

        return mock.Mock(side_effect=write)

    for count, name in ((0, "first"), (1, "second")):
        written.clear()
        with (
            mock.patch("transformer_playground.runs.manage.replace_json", die_at(count)),
            pytest.raises(KeyboardInterrupt),
        ):
            rename_run(run, name)
        run = find_run(tmp_path, name)
        (row,) = list_runs(tmp_path)
        assert (row.run_id, row.state, row.summary.step) == (name, "finished", 5)
        with RunLock(run):
            assert write_summary(run)["run_id"] == name
    renamed, problem = rename_run(run, "third")
    assert problem is None
    assert run_id_in(renamed.config_path) == run_id_in(renamed.summary_path) == "third"


def test_a_full_disk_after_the_rename_is_reported_and_damages_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, "old", ROWS)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("transformer_playground.runs.manage.replace_json", side_effect=full):
        renamed, problem = rename_run(run, "new")
    assert "No space left" in str(problem)
    assert "folder name is used" in str(problem)
    assert run_id_in(renamed.config_path) == "old"
    assert list_runs(tmp_path)[0].state == "finished"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"run_id": NaN, "x": Infinity}'])
def test_a_damaged_configuration_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path, "old", ROWS)
    run.config_path.write_bytes(content)
    renamed, problem = rename_run(run, "new")
    assert "damaged" in str(problem)
    assert renamed.config_path.read_bytes() == content
    (moved,) = delete_runs([renamed])
    assert (moved.path / "config.json").read_bytes() == content
    assert list_deleted(tmp_path)[0].run_id == "new"
    assert restore_run(tmp_path, "new").path == renamed.root


def test_a_running_run_is_neither_renamed_nor_deleted(tmp_path: Path, running: RunFolder) -> None:
    idle = make_run(tmp_path, "idle", ROWS)
    pid = json.loads(running.writer_path.read_bytes())["pid"]
    with pytest.raises(RunError, match=f"process {pid}"):
        rename_run(running, "new")
    with pytest.raises(RunError, match=f"process {pid}"):
        delete_runs([idle, running])
    # Without its record the lock of the kernel still shows it.
    running.writer_path.unlink()
    with pytest.raises(RunError, match="another process"):
        delete_runs([idle, running])
    assert {row.run_id for row in list_runs(tmp_path)} == {"idle", "busy"}


def test_a_run_with_a_writer_on_another_machine_is_left_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, "far", [status_row(0, "running")])
    writer = {"pid": 4242, "host": "elsewhere", "process_started": 1.0, "heartbeat": time.time()}
    run.writer_path.write_text(json.dumps(writer))
    for act in (lambda: delete_runs([run]), lambda: rename_run(run, "new")):
        with pytest.raises(RunError, match="process 4242"):
            act()
    run.writer_path.write_text(json.dumps(writer | {"heartbeat": time.time() - 600}))
    assert rename_run(run, "new")[0].root.is_dir()


@pytest.mark.parametrize("kind", ["file", "empty folder", "dangling link"])
def test_an_entry_of_the_trash_is_never_replaced(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path, "mine", ROWS)
    taken = tmp_path / ".trash" / "mine"
    taken.parent.mkdir()
    if kind == "file":
        taken.write_text("kept")
    elif kind == "empty folder":
        taken.mkdir()
    else:
        taken.symlink_to(tmp_path / "nowhere")
    state = taken.lstat()

    (moved,) = delete_runs([run])

    assert moved.path.name == "mine~2"
    assert taken.lstat().st_ino == state.st_ino


def test_a_deleted_run_is_restored_unchanged(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine", ROWS)
    (run.checkpoints / "last.pt").write_bytes(b"weights")
    before = files(run.root)

    (moved,) = delete_runs([run])

    assert moved.path == tmp_path / ".trash" / "mine"
    assert list_runs(tmp_path) == []
    assert files(moved.path) == before
    (listed,) = list_deleted(tmp_path)
    assert (listed.name, listed.run_id, listed.step) == ("mine", "mine", 5)
    assert restore_run(tmp_path, "min").path == run.root
    assert files(run.root) == before
    assert list_deleted(tmp_path) == []


def test_the_trash_keeps_several_runs_of_one_name(tmp_path: Path) -> None:
    for number in range(3):
        run = make_run(tmp_path, "mine", [train_row(number), status_row(number, "stopped")])
        delete_runs([run])

    assert {run.name for run in list_deleted(tmp_path)} == {"mine", "mine~2", "mine~3"}
    assert {run.run_id for run in list_deleted(tmp_path)} == {"mine"}
    with pytest.raises(UsageError, match="mine~1, mine~2, mine~3"):
        restore_run(tmp_path, "mine")
    assert restore_run(tmp_path, "mine~2").path.name == "mine"
    assert list_runs(tmp_path)[0].summary.step == 1
    with pytest.raises(UsageError, match="already a run 'mine'") as caught:
        restore_run(tmp_path, "mine~1")
    assert "--as NEW" in caught.value.hint
    moved = restore_run(tmp_path, "mine~1", "older")
    assert (moved.run_id, moved.path.name) == ("mine", "older")
    assert run_id_in(moved.path / "config.json") == "older"
    delete_runs([find_run(tmp_path, "mine")])
    assert {run.name for run in list_deleted(tmp_path)} == {"mine", "mine~3"}


@pytest.mark.parametrize("name", ["nobody", "", "../mine", "/etc", "mine~7", "\x1b[31m"])
def test_a_run_that_is_not_in_the_trash_is_reported(tmp_path: Path, name: str) -> None:
    delete_runs([make_run(tmp_path, "mine", ROWS)])
    with pytest.raises(UsageError, match="no deleted run"):
        restore_run(tmp_path, name)


@pytest.mark.parametrize("name", ["../out", "a/b", ".trash", "\x1b[31m", ""])
def test_a_run_is_not_restored_to_an_invalid_name(tmp_path: Path, name: str) -> None:
    delete_runs([make_run(tmp_path, "mine", ROWS)])
    with pytest.raises(UsageError, match="not a valid run ID"):
        restore_run(tmp_path, "mine", name)
    assert [run.name for run in list_deleted(tmp_path)] == ["mine"]


def test_several_runs_are_deleted_together_or_not_at_all(tmp_path: Path) -> None:
    one, two = make_run(tmp_path, "one", ROWS), make_run(tmp_path, "two", ROWS)
    with pytest.raises(UsageError, match="twice"):
        delete_runs([one, two, one])
    two.lock_path.unlink(missing_ok=True)
    two.lock_path.mkdir()
    with pytest.raises(RunError, match="two"):
        delete_runs([one, two])
    assert len(list_runs(tmp_path)) == 2
    two.lock_path.rmdir()
    assert [moved.run_id for moved in delete_runs([one, two])] == ["one", "two"]


def test_a_trash_on_another_file_system_is_named(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, ROWS) for name in ("one", "two")]
    rename, away = Path.rename, OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def refuse_two(path: Path, target: Path) -> Path:
        if path.name == "two":
            raise away
        return rename(path, target)

    with (
        mock.patch.object(Path, "rename", refuse_two),
        pytest.raises(RunError, match=r"'two' .* another file system.* Already moved: one"),
    ):
        delete_runs(runs)
    assert [row.run_id for row in list_runs(tmp_path)] == ["two"]
    assert [run.name for run in list_deleted(tmp_path)] == ["one"]


def test_a_trash_that_is_not_an_own_folder_is_rejected(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "mine", ROWS)
    trash = tmp_path / "runs" / ".trash"
    trash.write_text("a file")
    with pytest.raises(PlaygroundError, match="not a folder"):
        delete_runs([run])
    trash.unlink()
    (tmp_path / "outside").mkdir()
    trash.symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match="is a symbolic link"):
        delete_runs([run])
    with pytest.raises(UsageError, match="is a symbolic link"):
        list_deleted(tmp_path / "runs")
    assert run.config_path.is_file()
    assert list((tmp_path / "outside").iterdir()) == []


def test_links_are_not_moved_as_runs(tmp_path: Path) -> None:
    secret = make_run(tmp_path / "elsewhere", "secret", ROWS)
    inside = make_run(tmp_path / "runs", "mine", ROWS)
    alias = tmp_path / "runs" / "alias"
    alias.symlink_to("mine")
    for act in (lambda: delete_runs([RunFolder(alias)]), lambda: rename_run(RunFolder(alias), "x")):
        with pytest.raises(UsageError, match="is a symbolic link"):
            act()
    trash = tmp_path / "runs" / ".trash"
    trash.mkdir()
    (trash / "secret").symlink_to(secret.root)
    (listed,) = list_deleted(tmp_path / "runs")
    assert listed.problem == "It is a symbolic link."
    with pytest.raises(UsageError, match="is a symbolic link"):
        restore_run(tmp_path / "runs", "secret")
    assert not (tmp_path / "runs" / "secret").exists()
    assert inside.config_path.is_file()


def test_a_missing_trash_is_empty(tmp_path: Path) -> None:
    assert list_deleted(tmp_path / "none") == []


def test_a_broken_folder_can_be_deleted_and_restored(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (moved,) = delete_runs([find_run(tmp_path, "broken")])
    (listed,) = list_deleted(tmp_path)
    assert "no config.json" in str(listed.problem)
    assert restore_run(tmp_path, "broken").path == tmp_path / "broken"
    assert not moved.path.exists()
