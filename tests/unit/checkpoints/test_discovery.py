"""Finding checkpoints that are whole."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.checkpoints import flip_byte, read, save
from transformer_playground.checkpoints.discovery import (
    choose,
    list_checkpoints,
    newest_valid,
    scan_folder,
)
from transformer_playground.checkpoints.store import write_payload
from transformer_playground.errors import CheckpointError, UsageError
from transformer_playground.files import sha256_file


def detach(path: Path) -> None:
    """Give a file bytes of its own, so that damage to it spares its hard links."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def test_the_newest_whole_checkpoint_is_found(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save(tmp_path, step, keep_last=3)

    found = newest_valid(tmp_path)

    assert found.path == tmp_path / "ckpt_last_00000100.pt"
    assert found.info is not None
    assert found.info.step == 100
    assert found.skipped == ()


@pytest.mark.parametrize(
    "damage", ["truncated", "flipped", "no sidecar", "missing", "torn sidecar"]
)
def test_a_damaged_newest_file_is_passed_over_and_named(tmp_path: Path, damage: str) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    newest = tmp_path / "ckpt_last_00000002.pt"
    for name in ("last.pt", "last.json"):
        (tmp_path / name).unlink()
    if damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-1])
    if damage == "flipped":
        flip_byte(newest)
    if damage == "no sidecar":
        newest.with_suffix(".json").unlink()
    if damage == "missing":
        newest.unlink()
    if damage == "torn sidecar":
        newest.with_suffix(".json").write_text('{"schema_version": 1, "ki')

    found = newest_valid(tmp_path)

    assert found.path == tmp_path / "ckpt_last_00000001.pt"
    assert [skipped.path for skipped in found.skipped] == [newest]
    assert found.skipped[0].reason
    assert "ckpt_last_00000002.pt: " in str(found.skipped[0])


def test_no_whole_checkpoint_is_an_error_that_lists_what_was_found(tmp_path: Path) -> None:
    save(tmp_path, 1)
    flip_byte(tmp_path / "last.pt")

    with pytest.raises(CheckpointError, match=r"ckpt_last_00000001\.pt: .*hash.*last\.pt: "):
        newest_valid(tmp_path)


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_no_checkpoint_at_all_is_an_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        newest_valid(tmp_path / folder)


def test_a_best_checkpoint_newer_than_every_last_one_is_resumed_from(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2, val_loss=1.0, last=False)

    assert newest_valid(tmp_path).path.name == "ckpt_best_00000002_val_loss_1.0000.pt"


def test_a_pointer_ahead_of_its_sidecar_is_vouched_for_by_its_target(tmp_path: Path) -> None:
    save(tmp_path, 1)
    stale = (tmp_path / "last.json").read_bytes()
    save(tmp_path, 2)
    (tmp_path / "last.json").unlink()
    (tmp_path / "last.json").write_bytes(stale)

    for name in ("last.pt", "last"):
        found = choose(tmp_path, name)
        assert found.info is not None
        assert found.info.step == 2
        assert found.skipped == ()


@pytest.mark.parametrize(("kind", "pointer"), [("last", "last.pt"), ("best", "best_val.pt")])
def test_a_pointer_that_was_left_behind_is_not_preferred(
    tmp_path: Path, kind: str, pointer: str
) -> None:
    save(tmp_path, 1, val_loss=2.0)
    sidecar = pointer.replace(".pt", ".json")
    old = {name: (tmp_path / name).read_bytes() for name in (pointer, sidecar)}
    save(tmp_path, 2, val_loss=1.0)
    for name, data in old.items():
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(data)

    assert read(choose(tmp_path, kind).path)["step"] == 2


def test_an_orphan_is_not_vouched_for_by_its_twin(tmp_path: Path) -> None:
    best = save(tmp_path, 1, val_loss=1.0)[1]
    best.path.with_suffix(".json").unlink()

    assert best.path not in [info.path for info in list_checkpoints(tmp_path).valid]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema_version", 2),
        ("kind", "newest"),
        ("step", -1),
        ("step", "5"),
        ("step", True),
        ("metric", "low"),
        ("size", None),
        ("sha256", 5),
        ("created", None),
        ("sequence", 1.5),
        ("tokens_seen", "many"),
        ("config_hash", 3),
    ],
)
def test_a_sidecar_with_a_wrong_value_is_not_trusted(
    tmp_path: Path, key: str, value: object
) -> None:
    path = save(tmp_path, 1)[0].path.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    detach(path)

    reasons = {skipped.path.name: skipped.reason for skipped in list_checkpoints(tmp_path).skipped}

    assert key.replace("_", " ") in reasons["ckpt_last_00000001.pt"].replace("_", " ")


@pytest.mark.parametrize("content", [b"[]", b"\xff\xfe", b"[" * 100_000, b""])
def test_a_sidecar_that_is_not_an_object_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    path = save(tmp_path, 1)[0].path.with_suffix(".json")
    detach(path)
    path.write_bytes(content)

    assert [skipped.path for skipped in list_checkpoints(tmp_path).skipped] == [
        path.with_suffix(".pt")
    ]


def test_auto_prefers_best_then_last_then_nanogpt(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (tmp_path / "ckpt.pt").write_bytes(b"nanoGPT")
    assert choose(folder, "auto").path == tmp_path / "ckpt.pt"
    (folder / "ckpt.pt").write_bytes(b"nanoGPT")
    assert choose(folder, "auto").path == folder / "ckpt.pt"
    save(folder, 1)
    assert choose(folder, "auto").path == folder / "last.pt"
    save(folder, 2, val_loss=1.0)
    assert choose(folder, "auto").path == folder / "best_val.pt"


def test_auto_says_which_damaged_files_it_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    detach(tmp_path / "best_val.pt")
    flip_byte(tmp_path / "best_val.pt")

    found = choose(tmp_path, "auto")

    assert found.path.name == "ckpt_best_00000001_val_loss_1.0000.pt"
    assert [skipped.path.name for skipped in found.skipped] == ["best_val.pt"]


def test_best_and_last_are_what_they_say(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    save(tmp_path, 2, val_loss=2.0)

    assert read(choose(tmp_path, "best").path)["step"] == 1
    assert read(choose(tmp_path, "last").path)["step"] == 2


def test_best_is_an_error_when_nothing_was_evaluated(tmp_path: Path) -> None:
    save(tmp_path, 1)

    with pytest.raises(CheckpointError):
        choose(tmp_path, "best")


def test_a_file_can_be_named(tmp_path: Path) -> None:
    path = save(tmp_path, 1)[0].path

    assert choose(tmp_path, "ckpt_last_00000001.pt").path == path


def test_a_named_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    flip_byte(save(tmp_path, 1)[0].path)

    with pytest.raises(CheckpointError, match="damaged"):
        choose(tmp_path, "ckpt_last_00000001.pt")


def test_a_named_file_that_is_missing_lists_those_that_are_there(tmp_path: Path) -> None:
    save(tmp_path, 1)

    with pytest.raises(CheckpointError, match=r"ckpt_last_00000001\.pt"):
        choose(tmp_path, "ckpt_last_00000002.pt")


@pytest.mark.parametrize(
    "name", ["../secret.pt", "/etc/passwd", "a/b.pt", "..", "", ".hidden", "a\nb"]
)
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        choose(tmp_path, name)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "secret.pt").write_bytes(b"secret")
    (folder / "mine.pt").symlink_to(tmp_path / "secret.pt")

    with pytest.raises(UsageError, match="leads out"):
        choose(folder, "mine.pt")


def without_sequence(folder: Path) -> None:
    """Make the sidecars of a folder those of the first version, which did not number saves."""
    for path in folder.glob("*.json"):
        document = json.loads(path.read_text())
        del document["sequence"]
        path.unlink()
        path.write_text(json.dumps(document))


def test_saves_without_a_number_are_ordered_by_step(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    for name in ("last.pt", "last.json"):
        (tmp_path / name).unlink()
    without_sequence(tmp_path)

    assert [info.sequence for info in list_checkpoints(tmp_path).valid] == [0, 0]
    assert choose(tmp_path, "last").path.name == "ckpt_last_00000002.pt"
    assert newest_valid(tmp_path).path.name == "ckpt_last_00000002.pt"


def test_of_one_save_the_last_checkpoint_is_resumed_from(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)

    assert newest_valid(tmp_path).path.name == "ckpt_last_00000001.pt"


def test_a_checkpoint_before_the_first_step_counts(tmp_path: Path) -> None:
    save(tmp_path, 0)

    assert newest_valid(tmp_path).path.name == "ckpt_last_00000000.pt"


@pytest.mark.parametrize("losses", [(0.0, 0.5), (-0.5, 0.0)])
def test_a_loss_of_zero_is_ranked_like_any_other(
    tmp_path: Path, losses: tuple[float, float]
) -> None:
    for step, loss in enumerate(losses, start=1):
        save(tmp_path, step, val_loss=loss, last=False, keep_best=2)
    for name in ("best_val.pt", "best_val.json"):
        (tmp_path / name).unlink()

    assert read(choose(tmp_path, "best").path)["step"] == 1


def test_without_hashing_only_sizes_are_compared(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    for name in ("last.pt", "last.json"):
        (tmp_path / name).unlink()
    flip_byte(tmp_path / "ckpt_last_00000001.pt")
    torn = tmp_path / "ckpt_last_00000002.pt"
    torn.write_bytes(torn.read_bytes()[:-1])

    listing = list_checkpoints(tmp_path, hash_file=None)

    assert [info.step for info in listing.valid] == [1]
    assert [skipped.path for skipped in listing.skipped] == [torn]


def test_a_file_that_cannot_be_read_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    save(tmp_path, 1)

    def fail(_: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    assert {skipped.reason for skipped in list_checkpoints(tmp_path, fail).skipped} == {
        "it cannot be read: Input/output error"
    }


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(CheckpointError, match=r"Cannot list .*file: Not a directory"):
        list_checkpoints(tmp_path / "file")


def test_a_torn_pointer_is_compared_with_its_own_sidecar(tmp_path: Path) -> None:
    save(tmp_path, 1)
    detach(tmp_path / "last.pt")
    size = (tmp_path / "last.pt").stat().st_size
    (tmp_path / "last.pt").write_bytes(b"torn")
    other = tmp_path / "ckpt_last_00000001.json"
    document = json.loads(other.read_text()) | {"size": 7}
    detach(other)
    other.write_text(json.dumps(document))

    reasons = {skipped.path.name: skipped.reason for skipped in list_checkpoints(tmp_path).skipped}

    assert reasons["last.pt"] == f"it has 4 bytes, but its sidecar says {size}"


def test_best_is_an_error_that_names_the_damaged_ones_only(tmp_path: Path) -> None:
    save(tmp_path, 1, val_loss=1.0)
    for name in ("best_val.pt", "ckpt_best_00000001_val_loss_1.0000.pt"):
        detach(tmp_path / name)
        flip_byte(tmp_path / name)

    with pytest.raises(CheckpointError, match=r"best_val\.pt: .*; ckpt_best\w+\.\d+\.pt: [^;]*$"):
        choose(tmp_path, "best")


def test_a_file_that_is_being_replaced_is_tried_a_second_time(tmp_path: Path) -> None:
    save(tmp_path, 1)
    hashes = iter(["of a file half replaced"] * 2)

    found = choose(tmp_path, "auto", lambda path: next(hashes, sha256_file(path)))

    assert (found.path, found.skipped) == (tmp_path / "last.pt", ())


def test_a_named_file_without_a_sidecar_is_taken_as_it_is(tmp_path: Path) -> None:
    known = save(tmp_path, 1)[0]
    (tmp_path / "mine.pt").write_bytes(b"from elsewhere")

    assert choose(tmp_path, "mine.pt").info is None
    assert choose(tmp_path, known.path.name).info == known


def test_a_named_file_with_a_damaged_sidecar_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)[0].path
    detach(path.with_suffix(".json"))
    path.with_suffix(".json").write_text("{")

    with pytest.raises(CheckpointError, match="is damaged: its sidecar is not valid JSON"):
        choose(tmp_path, path.name)


def test_files_that_are_no_checkpoints_are_not_listed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    for name in (".hidden.pt", "notes.txt", "settings.json", "ckpt.pt"):
        (tmp_path / name).write_text("mine")

    listing = list_checkpoints(tmp_path)

    assert [info.path.name for info in listing.valid] == ["ckpt_last_00000001.pt", "last.pt"]
    assert listing.skipped == ()


def test_records_of_checkpoints_cannot_be_changed(tmp_path: Path) -> None:
    info = save(tmp_path, 1)[0]
    (tmp_path / "ckpt_last_00000009.json").write_text("{")
    listing = list_checkpoints(tmp_path)
    written = write_payload(tmp_path / "mine.pt", {})
    records = (info, listing, listing.skipped[0], newest_valid(tmp_path), scan_folder(tmp_path))

    for record in (*records, written):
        name = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, None)


def test_finding_checkpoints_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "import transformer_playground.checkpoints.discovery\n"
        "import transformer_playground.checkpoints.loading\n"
        "import transformer_playground.checkpoints.store\n"
        "import transformer_playground.runs.listing\n"
        "import transformer_playground.runs.status\n"
        "import transformer_playground.runs.metrics\n"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_lost_checkpoint_is_not_among_those_to_choose_instead(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step, keep_last=2)
    (tmp_path / "ckpt_last_00000001.pt").unlink()
    with pytest.raises(CheckpointError, match="There is no checkpoint") as caught:
        choose(tmp_path, "ckpt_last_00000001.pt")
    assert "ckpt_last_00000001.pt" not in str(caught.value.hint)
    assert "ckpt_last_00000002.pt" in str(caught.value.hint)
