"""Rotation, pointers and names of saved checkpoints."""

import errno
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.checkpoints import flip_byte, names, read, save, tiny_payload
from transformer_playground.checkpoints.discovery import list_checkpoints, newest_valid
from transformer_playground.checkpoints.store import (
    CheckpointStore,
    estimated_size,
    write_payload,
)
from transformer_playground.errors import CheckpointError
from transformer_playground.files import link_or_copy, sha256_file


def test_a_save_writes_the_file_its_sidecar_and_the_pointers(tmp_path: Path) -> None:
    saved = save(tmp_path, 250, val_loss=1.88571)

    assert [info.path.name for info in saved] == [
        "ckpt_last_00000250.pt",
        "ckpt_best_00000250_val_loss_1.8857.pt",
    ]
    assert names(tmp_path) == {
        "ckpt_last_00000250.pt",
        "ckpt_last_00000250.json",
        "ckpt_best_00000250_val_loss_1.8857.pt",
        "ckpt_best_00000250_val_loss_1.8857.json",
        "last.pt",
        "last.json",
        "best_val.pt",
        "best_val.json",
    }
    for name in names(tmp_path):
        if name.endswith(".pt"):
            assert read(tmp_path / name)["step"] == 250


def test_the_sidecar_says_what_the_file_is(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=1)
    payload = tiny_payload(3) | {"config": {"seed": 1}}
    info = store.save(payload, step=3, last=True, best_metric=2.5)[1]

    sidecar = json.loads(info.path.with_suffix(".json").read_text())

    assert sidecar["schema_version"] == 1
    assert (sidecar["kind"], sidecar["step"], sidecar["metric"]) == ("best", 3, 2.5)
    assert sidecar["size"] == info.path.stat().st_size
    assert sidecar["sha256"] == sha256_file(info.path)
    assert sidecar["tokens_seen"] == 30
    assert len(sidecar["config_hash"]) == 64
    assert "path" not in sidecar


def test_best_shares_its_bytes_with_last(tmp_path: Path) -> None:
    last, best = save(tmp_path, 1, val_loss=2.0)

    assert last.path.samefile(best.path)
    assert last.path.samefile(tmp_path / "last.pt")


def test_only_the_newest_last_checkpoints_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep_last=2)

    assert {n for n in names(tmp_path) if n.startswith("ckpt")} == {
        "ckpt_last_00000003.pt",
        "ckpt_last_00000003.json",
        "ckpt_last_00000004.pt",
        "ckpt_last_00000004.json",
    }
    assert read(tmp_path / "last.pt")["step"] == 4


def test_the_best_checkpoints_of_lowest_loss_stay(tmp_path: Path) -> None:
    for step, loss in enumerate((3.0, 1.0, 2.0, 4.0), start=1):
        save(tmp_path, step, val_loss=loss, last=False, keep_best=2)

    assert {n for n in names(tmp_path) if n.startswith("ckpt") and n.endswith(".pt")} == {
        "ckpt_best_00000002_val_loss_1.0000.pt",
        "ckpt_best_00000003_val_loss_2.0000.pt",
    }
    assert read(tmp_path / "best_val.pt")["step"] == 2


def test_last_and_best_rotate_independently(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    for step in (2, 3, 4, 5):
        save(tmp_path, step, val_loss=1.0 + step, keep_last=1)

    assert read(tmp_path / "best_val.pt")["step"] == 1
    assert (tmp_path / "ckpt_best_00000001_val_loss_1.0000.pt").exists()
    assert read(tmp_path / "last.pt")["step"] == 5
    assert not (tmp_path / "ckpt_last_00000004.pt").exists()


def test_keeping_none_still_keeps_what_the_pointers_hold(tmp_path: Path) -> None:
    for step, loss in ((1, 1.0), (2, 2.0), (3, 3.0)):
        save(tmp_path, step, val_loss=loss, keep_last=0, keep_best=0)

    assert names(tmp_path) == {"last.pt", "last.json", "best_val.pt", "best_val.json"}
    assert read(tmp_path / "last.pt")["step"] == 3
    assert read(tmp_path / "best_val.pt")["step"] == 1
    assert newest_valid(tmp_path).path == tmp_path / "last.pt"


def test_the_file_resumed_from_is_never_removed(tmp_path: Path) -> None:
    resumed = save(tmp_path, 1)[0].path
    for step in (2, 3, 4):
        save(tmp_path, step, keep_last=1, protect=resumed)

    assert resumed.exists()
    assert {info.step for info in list_checkpoints(tmp_path).valid} == {1, 4}


def test_damaged_files_do_not_count_when_old_ones_are_removed(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=1)
    for step in (1, 2):
        store.save(tiny_payload(step), step=step, last=True, best_metric=None)
    # A hard link would damage last.pt with it.
    shutil.copy(tmp_path / "ckpt_last_00000002.pt", tmp_path / "copy")
    (tmp_path / "copy").replace(tmp_path / "ckpt_last_00000002.pt")
    flip_byte(tmp_path / "ckpt_last_00000002.pt")

    store.save(tiny_payload(3), step=3, last=True, best_metric=None)

    assert {info.step for info in list_checkpoints(tmp_path).valid} == {1, 3}


def test_a_second_save_at_one_step_replaces_nothing_before_it_is_whole(tmp_path: Path) -> None:
    first = save(tmp_path, 7)[0]
    second = save(tmp_path, 7)[0]

    assert first.path != second.path
    assert newest_valid(tmp_path).path == second.path
    assert [info.path for info in list_checkpoints(tmp_path).valid] == [
        second.path,
        tmp_path / "last.pt",
    ]


def test_saves_are_numbered_and_those_of_one_step_named_apart(tmp_path: Path) -> None:
    first = save(tmp_path, 7)[0]
    saved = [first, *(save(tmp_path, 7, protect=first.path)[0] for _ in range(2))]

    assert [info.sequence for info in saved] == [1, 2, 3]
    assert [info.path.name for info in saved] == [
        "ckpt_last_00000007.pt",
        "ckpt_last_00000007_2.pt",
        "ckpt_last_00000007_3.pt",
    ]


def test_a_protected_file_without_a_sidecar_keeps_its_name_and_content(tmp_path: Path) -> None:
    resumed = save(tmp_path, 7)[0].path
    content = resumed.read_bytes()
    resumed.with_suffix(".json").unlink()

    assert save(tmp_path, 7, protect=resumed)[0].path.name == "ckpt_last_00000007_2.pt"
    assert resumed.read_bytes() == content


def test_a_save_that_fails_half_way_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("transformer_playground.checkpoints.store.link_or_copy", fail)
    with pytest.raises(CheckpointError, match=r"step 1 could not be saved .*: Input/") as caught:
        save(tmp_path, 1, val_loss=1.0)
    assert caught.value.hint.startswith("Check the disk")

    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("losses", "best"), [((0.0, 0.5), 1), ((-0.5, 0.0), 1), ((0.5, 0.0), 2), ((1.0, 1.0), 2)]
)
def test_the_best_pointer_goes_to_the_lowest_loss_and_the_newest_of_equals(
    tmp_path: Path, losses: tuple[float, float], best: int
) -> None:
    for step, loss in enumerate(losses, start=1):
        save(tmp_path, step, val_loss=loss, keep_best=2)

    assert read(tmp_path / "best_val.pt")["step"] == best


def test_equal_settings_have_one_hash_in_whatever_order(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=1)
    hashes = set()
    for step, config in enumerate(
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    ):
        payload = tiny_payload(step) | {"config": config}
        hashes.add(store.save(payload, step=step, last=True, best_metric=None)[0].config_hash)

    assert len(hashes) == 1


def test_a_damaged_best_pointer_is_replaced_by_the_best_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    (tmp_path / "best_val.pt").unlink()
    (tmp_path / "best_val.pt").write_bytes(b"damaged")

    save(tmp_path, 2, val_loss=2.0)

    assert read(tmp_path / "best_val.pt")["step"] == 1


def test_going_back_to_an_earlier_step_never_removes_the_newest_save(tmp_path: Path) -> None:
    save(tmp_path, 300)
    save(tmp_path, 400)
    save(tmp_path, 310, keep_last=1)

    assert newest_valid(tmp_path).path.name == "ckpt_last_00000310.pt"
    assert read(tmp_path / "last.pt")["step"] == 310


def test_leftovers_of_dead_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".ckpt_last_00000001.pt.abc.tmp").write_bytes(b"torn")
    (tmp_path / "ckpt_last_00000001.pt").write_bytes(b"never committed")
    mine = {"notes.txt", "x.tmp", ".mine", "settings.json", "mine.pt", "ckpt_last_00000001.txt"}
    for name in mine:
        (tmp_path / name).write_text("mine")

    save(tmp_path, 2)

    assert names(tmp_path) == {
        "ckpt_last_00000002.pt",
        "ckpt_last_00000002.json",
        "last.pt",
        "last.json",
        *mine,
    }


def test_the_best_pointer_goes_to_the_next_best_when_its_file_is_damaged(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    flip_byte(tmp_path / "best_val.pt")

    save(tmp_path, 2, val_loss=2.0)

    assert read(tmp_path / "best_val.pt")["step"] == 2


def test_a_damaged_sidecar_of_the_best_pointer_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    (tmp_path / "best_val.json").unlink()
    (tmp_path / "best_val.json").write_text("{")

    save(tmp_path, 2, val_loss=2.0)

    assert json.loads((tmp_path / "best_val.json").read_text())["step"] == 1


def test_the_best_pointer_is_left_alone_while_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, val_loss=1.0)
    linked: list[str] = []

    def link(source: Path, target: Path) -> None:
        linked.append(target.name)
        link_or_copy(source, target)

    monkeypatch.setattr("transformer_playground.checkpoints.store.link_or_copy", link)
    save(tmp_path, 2, val_loss=2.0)

    assert [name for name in linked if not name.startswith("ckpt")] == ["last.pt", "last.json"]


def test_without_hard_links_everything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    for step in (1, 2, 3):
        save(tmp_path, step, val_loss=float(step), keep_last=0, keep_best=0)

    assert names(tmp_path) == {"last.pt", "last.json", "best_val.pt", "best_val.json"}
    assert read(tmp_path / "last.pt")["step"] == 3
    assert read(tmp_path / "best_val.pt")["step"] == 1
    assert not list_checkpoints(tmp_path).skipped


def test_a_full_disk_is_noticed_before_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    before = names(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=900_000))

    # More is needed than the file itself, which would fit.
    full = r"disk full: about 1\.0 MiB needed, 878\.9 KiB free"
    with pytest.raises(CheckpointError, match=full) as caught:
        save(tmp_path, 2)
    assert caught.value.hint.startswith("Free some disk space")

    assert names(tmp_path) == before
    assert newest_valid(tmp_path).info == save_info(tmp_path)


def test_the_room_for_the_newest_checkpoint_and_a_little_more_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=1)
    store.save(tiny_payload(1, size=100_000), step=1, last=True, best_metric=None)
    (newest,) = store.save(tiny_payload(2), step=2, last=True, best_metric=None)
    usage = shutil.disk_usage(tmp_path)
    enough = newest.size + 2**20

    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=enough - 1))
    with pytest.raises(CheckpointError, match="disk full"):
        store.save(tiny_payload(3), step=3, last=True, best_metric=None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=enough))
    assert store.save(tiny_payload(3), step=3, last=True, best_metric=None)


def save_info(folder: Path) -> object:
    return list_checkpoints(folder).valid[0]


def test_a_loss_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nan"):
        save(tmp_path, 1, val_loss=float("nan"))


def test_a_vanished_run_folder_is_not_brought_back(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="step 1 could not be saved"):
        save(tmp_path / "gone" / "checkpoints", 1)

    assert not (tmp_path / "gone").exists()


def test_saved_files_are_readable_by_others(tmp_path: Path) -> None:
    info = save(tmp_path, 1)[0]

    assert info.path.stat().st_mode & 0o777 == 0o644


def test_tensors_that_cannot_be_pickled_leave_nothing_behind(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=1)

    with pytest.raises(Exception, match="pickle"):
        store.save({"f": lambda: torch.ones(1)}, step=1, last=True, best_metric=None)

    assert names(tmp_path) == set()


def test_a_write_that_fails_is_the_error_of_the_system() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no full device")

    with pytest.raises(OSError, match="No space left"):
        write_payload(full, tiny_payload(1, size=1_000_000))


def test_a_write_that_fails_within_the_archive_is_the_error_of_the_system(tmp_path: Path) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
    try:
        # torch would say "unexpected pos" instead.
        with pytest.raises(OSError, match="File too large"):
            write_payload(tmp_path / "ckpt.pt", tiny_payload(1, size=1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


def test_the_size_of_a_payload_is_that_of_its_tensors() -> None:
    payload = {
        "model": {"a": torch.zeros(10), "b": torch.zeros(3, dtype=torch.float64)},
        "optimizer": [torch.zeros(2), (np.zeros(1, np.int16), "text")],
        "step": 5,
    }

    assert estimated_size(payload) == 40 + 24 + 8 + 2
