"""No crash, kill, refusing or full disk takes an earlier checkpoint away."""

import errno
import itertools
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.checkpoints import (
    names,
    put_back,
    read,
    save,
    save_for_ever,
    save_with_file_limit,
)
from builders.disks import Crash, Trouble, WatchedDisk, crash_at, refuse_from, refuse_once
from transformer_playground.checkpoints.discovery import (
    choose,
    list_checkpoints,
    newest_valid,
)
from transformer_playground.errors import CheckpointError

# Importing torch once in a server and forking from it makes each child start in milliseconds.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["torch"])


@dataclass(frozen=True)
class Save:
    """One way of saving."""

    last: bool = True
    val_loss: float | None = None
    keep_last: int = 1
    keep_best: int = 1

    def run(self, folder: Path, step: int) -> None:
        save(
            folder,
            step,
            last=self.last,
            val_loss=self.val_loss,
            keep_last=self.keep_last,
            keep_best=self.keep_best,
        )


WAYS = [
    pytest.param(Save(), id="last"),
    pytest.param(Save(val_loss=0.5), id="a new best"),
    pytest.param(Save(val_loss=9.0), id="not the best"),
    pytest.param(Save(last=False, val_loss=0.5), id="best only"),
    pytest.param(Save(val_loss=0.5, keep_last=0, keep_best=0), id="pointers only"),
    pytest.param(Save(val_loss=9.0, keep_last=0, keep_best=0), id="pointers only, not the best"),
]
# The usual case, and a second save at a step that is already saved.
WAYS_AND_STEPS = [
    *(pytest.param(*way.values, 2, id=str(way.id)) for way in WAYS),
    pytest.param(Save(val_loss=0.5), 1, id="a new best at the same step"),
    pytest.param(Save(val_loss=0.5, keep_last=0, keep_best=0), 1, id="pointers only, same step"),
]


def folder_with_one_save(way: Save, folder: Path) -> Path:
    folder.mkdir(parents=True)
    Save(val_loss=1.0, keep_last=way.keep_last, keep_best=way.keep_best).run(folder, 1)
    return folder


def unseen(
    states: Iterable[Mapping[str, bytes]], seen: set[object]
) -> Iterator[Mapping[str, bytes]]:
    """Leave out states that were checked before; the names of temporary files are random."""
    for state in states:
        key = frozenset(
            ("" if name.endswith(".tmp") else name, data) for name, data in state.items()
        )
        if key not in seen:
            seen.add(key)
            yield state


def error_of(
    way: Save, folder: Path, step: int, trouble: Trouble
) -> tuple[CheckpointError | None, int]:
    """What saving raised, and how many operations it asked of the disk."""
    disk = WatchedDisk(folder, trouble)
    try:
        with disk:
            way.run(folder, step)
    except CheckpointError as error:
        return error, disk.operations
    return None, disk.operations


def check_whole(folder: Path, step: int) -> None:
    """Step 1 or the newer one can be found, and both pointers are whole."""
    found = newest_valid(folder)
    assert found.info is not None
    assert found.info.step in (1, step)
    assert read(found.path)["step"] == found.info.step
    for choice, pointer in (("last", "last.pt"), ("best", "best_val.pt")):
        pointed = choose(folder, pointer).info
        assert pointed is not None
        assert read(folder / pointer)["step"] == pointed.step
        chosen = choose(folder, choice)
        assert chosen.skipped == ()
        assert chosen.info is not None
        assert read(chosen.path)["step"] == chosen.info.step
        assert chosen.info.step in (1, step)


def check_told_truly(error: CheckpointError | None, folder: Path, way: Save, step: int) -> None:
    """An error means that nothing was saved, none that the new state is what readers get."""
    if error is not None:
        assert f"step {step} could not be saved" in error.message
        assert [info.step for info in list_checkpoints(folder).valid if info.step != 1] == []
        return
    expected = {"last": step if way.last else 1, "best": step if way.val_loss == 0.5 else 1}
    found = {choice: choose(folder, choice).info for choice in expected}
    assert {choice: info.step for choice, info in found.items() if info} == expected
    newest = newest_valid(folder).info
    assert newest is not None
    assert newest.step == step


def check_recovers(folder: Path, way: Save) -> None:
    """A later save succeeds and clears away what the interrupted one left."""
    Save(val_loss=0.25, keep_last=way.keep_last, keep_best=way.keep_best).run(folder, 3)
    assert not list_checkpoints(folder).skipped
    assert not [name for name in names(folder) if name.endswith(".tmp")]
    assert read(folder / "last.pt")["step"] == 3
    assert read(folder / "best_val.pt")["step"] == 3
    assert len([n for n in names(folder) if n.startswith("ckpt_last") and n.endswith(".pt")]) == (
        way.keep_last
    )


@pytest.mark.parametrize(("way", "step"), WAYS_AND_STEPS)
def test_a_crash_before_any_operation_leaves_complete_checkpoints(
    tmp_path: Path, way: Save, step: int
) -> None:
    seen: set[object] = set()
    for number in itertools.count(1):
        folder = folder_with_one_save(way, tmp_path / str(number))
        crashed = False
        with WatchedDisk(folder, crash_at(number)) as disk:
            try:
                way.run(folder, step)
            except Crash:
                crashed = True
            states = list(disk.after_power_cut())
        check_whole(folder, step)
        for index, state in enumerate(unseen(states, seen)):
            revived = put_back(tmp_path / f"{number}-{index}", state)
            check_whole(revived, step)
            if len(seen) % 4 == 0:  # slow, and much the same for all
                check_recovers(revived, way)
        check_recovers(folder, way)
        if not crashed:
            assert number > 12
            return


@pytest.mark.parametrize("way", WAYS)
def test_a_finished_save_survives_a_power_cut(tmp_path: Path, way: Save) -> None:
    folder = folder_with_one_save(way, tmp_path / "run")
    with WatchedDisk(folder) as disk:
        way.run(folder, 2)
        states = list(disk.after_power_cut())
    for index, state in enumerate(states):
        info = newest_valid(put_back(tmp_path / str(index), state)).info
        assert info is not None
        assert info.step == 2


def test_a_crash_during_the_very_first_save_leaves_all_or_nothing(tmp_path: Path) -> None:
    way = Save(val_loss=1.0)
    seen: set[object] = set()
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        crashed = False
        with WatchedDisk(folder, crash_at(number)) as disk:
            try:
                way.run(folder, 1)
            except Crash:
                crashed = True
            states = list(disk.after_power_cut())
        for index, state in enumerate(unseen(states, seen)):
            revived = put_back(tmp_path / f"{number}-{index}", state)
            for info in list_checkpoints(revived).valid:
                assert read(info.path)["step"] == 1
            for pointer in ("last.pt", "best_val.pt"):
                if pointer in state:
                    assert read(revived / pointer)["step"] == 1
            if len(seen) % 4 == 0:  # slow, and much the same for all
                check_recovers(revived, way)
        if not crashed:
            return


@pytest.mark.parametrize(("way", "step"), WAYS_AND_STEPS)
def test_one_failing_operation_is_an_error_that_damages_nothing(
    tmp_path: Path, way: Save, step: int
) -> None:
    for number in itertools.count(1):
        folder = folder_with_one_save(way, tmp_path / str(number))
        error, operations = error_of(way, folder, step, refuse_once(number))
        if operations < number:
            assert number > 12
            return
        check_told_truly(error, folder, way, step)
        assert not [name for name in names(folder) if name.endswith(".tmp")]
        # At worst the removal of an unwanted checkpoint stopped between its two files.
        for skipped in list_checkpoints(folder).skipped:
            assert skipped.reason == "it has no sidecar, so its save never completed"
        check_whole(folder, step)
        check_recovers(folder, way)


@pytest.mark.parametrize("way", WAYS)
def test_a_disk_that_fails_from_some_operation_on_damages_nothing(
    tmp_path: Path, way: Save
) -> None:
    for number in itertools.count(1):
        folder = folder_with_one_save(way, tmp_path / str(number))
        error, operations = error_of(way, folder, 2, refuse_from(number))
        if operations < number:
            return
        assert error is None or "disk" in error.hint
        if error is None:
            check_told_truly(error, folder, way, 2)
        check_whole(folder, 2)
        check_recovers(folder, way)


def test_a_failed_save_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """Until the checkpoint is committed, byte for byte and name for name."""
    for number in itertools.count(1):
        folder = folder_with_one_save(Save(), tmp_path / str(number))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        error, _ = error_of(Save(), folder, 2, refuse_once(number))
        if error is None:
            assert number > 8
            return
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_no_power_cut_leaves_a_new_sidecar_without_its_file(tmp_path: Path) -> None:
    for number in itertools.count(1):
        folder = folder_with_one_save(Save(), tmp_path / str(number))
        crashed = False
        with WatchedDisk(folder, crash_at(number)) as disk:
            try:
                Save(val_loss=0.5).run(folder, 2)
            except Crash:
                crashed = True
            states = list(disk.after_power_cut())
        for state in states:
            sidecars = [name for name in state if "_00000002" in name and name.endswith(".json")]
            assert all(state.get(name.replace(".json", ".pt")) for name in sidecars)
        if not crashed:
            return


@pytest.mark.parametrize("limit", [0, 1, 1000, 1500])
def test_a_real_limit_on_file_size_is_a_clear_error(tmp_path: Path, limit: int) -> None:
    save(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    receiving, sending = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=save_with_file_limit, args=(tmp_path, 2, limit, sending))
    process.start()
    message = receiving.recv()
    process.join()

    assert os.strerror(errno.EFBIG) in message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_killed_processes_leave_at_least_what_they_had_saved(tmp_path: Path) -> None:
    chance = random.Random(1)
    step = 0
    for _ in range(20):
        receiving, sending = _FORKS.Pipe(duplex=False)
        process = _FORKS.Process(target=save_for_ever, args=(tmp_path, step + 1, sending))
        process.start()
        sending.close()
        reported = [receiving.recv() for _ in range(chance.randint(1, 4))]
        time.sleep(chance.random() * 0.02)
        process.kill()
        process.join()
        while receiving.poll():
            try:
                reported.append(receiving.recv())
            except EOFError:
                break
        receiving.close()

        found = newest_valid(tmp_path)
        assert found.info is not None
        assert reported[-1] <= found.info.step <= reported[-1] + 1
        content = read(found.path)
        assert content["step"] == found.info.step
        assert content["weights"].eq(found.info.step).all()
        for pointer in ("last.pt", "best_val.pt"):
            assert choose(tmp_path, pointer.removesuffix(".pt").removesuffix("_val")).skipped == ()
            assert read(tmp_path / pointer)["step"] >= reported[-1]
        step = found.info.step


def test_a_moved_folder_keeps_its_checkpoints(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    save(old, 1, val_loss=1.0)
    copied = shutil.copytree(old, tmp_path / "copied")
    moved = old.rename(tmp_path / "moved")

    for folder in (copied, moved):
        assert not list_checkpoints(folder).skipped
        save(folder, 2)
        assert newest_valid(folder).path == folder / "ckpt_last_00000002.pt"
