"""Run ids, creating and opening run folders."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.disks import WatchedDisk, refuse_once
from builders.runs import make_run, run_config
from transformer_playground.errors import RunError, UsageError
from transformer_playground.runs.folder import (
    check_run_id,
    create_run,
    new_run_id,
    open_run,
    read_run_config,
)


def test_a_new_id_names_experiment_and_time() -> None:
    assert re.fullmatch(r"shakespeare_char-\d{8}-\d{6}-[0-9a-f]{4}", new_run_id("shakespeare_char"))


@given(st.text())
def test_a_new_id_is_valid_whatever_the_experiment_is_called(name: str) -> None:
    run_id = new_run_id(name)

    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize("name", ["a", "A1", "x" * 100, "run.1_2-3", "0"])
def test_plain_names_are_run_ids(name: str) -> None:
    assert check_run_id(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "/a",
        ".hidden",
        "-a",
        "_a",
        "a b",
        "x" * 101,
        "a\n",
        "ä",
        "\x1b",
    ],
)
def test_other_names_are_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check_run_id(name)
    with pytest.raises(UsageError):
        create_run(tmp_path, name, run_config())
    with pytest.raises(UsageError):
        open_run(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_created_run_has_its_folders_and_its_config(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", "one", run_config())

    config = read_run_config(run)
    assert run.run_id == "one"
    assert (config["schema_version"], config["run_id"]) == (1, "one")
    assert config["experiment"] == "tiny"
    assert config["created"]
    for folder in (run.checkpoints, run.tokenizer, run.reports, run.tensorboard):
        assert folder.is_dir()
        assert folder.is_relative_to(run.root)
    assert open_run(tmp_path / "runs", "one") == run
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["one"]


def test_a_file_name_that_is_not_unicode_survives_in_the_config(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    run = make_run(tmp_path, experiment=name)

    assert read_run_config(run)["experiment"] == name
    run.config_path.read_bytes().decode("utf-8")


def test_an_existing_run_id_is_rejected(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    before = run.config_path.read_bytes()

    with pytest.raises(UsageError, match="already"):
        make_run(tmp_path, "one", experiment="other")
    assert run.config_path.read_bytes() == before


@pytest.mark.parametrize("kind", ["file", "link", "empty folder", "dangling link"])
def test_an_existing_file_at_the_path_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "one"
    if kind == "file":
        place.write_text("mine")
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    if kind == "empty folder":
        place.mkdir()
    if kind == "dangling link":
        place.symlink_to(tmp_path / "nowhere")

    with pytest.raises(UsageError, match="already"):
        make_run(tmp_path, "one")
    assert os.path.lexists(place)


def test_a_failed_write_leaves_no_run_behind(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()
    for number in range(1, 100):
        try:
            with WatchedDisk(runs_dir, refuse_once(number)):
                create_run(runs_dir, "one", run_config())
        except RunError:
            assert not (runs_dir / "one").exists()
            shutil.rmtree(runs_dir)
            runs_dir.mkdir()
        else:
            assert number > 3
            return


def test_a_missing_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run 'one'"):
        open_run(tmp_path, "one")


def test_a_link_to_outside_the_runs_folder_is_rejected(tmp_path: Path) -> None:
    outside = make_run(tmp_path / "elsewhere", "secret")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one").symlink_to(outside.root)

    with pytest.raises(UsageError, match="leads out"):
        open_run(tmp_path / "runs", "one")


def test_a_link_within_the_runs_folder_is_followed(tmp_path: Path) -> None:
    make_run(tmp_path, "one")
    (tmp_path / "favourite").symlink_to("one")

    assert read_run_config(open_run(tmp_path, "favourite"))["run_id"] == "one"


def test_the_runs_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    make_run(tmp_path / "disk", "one")
    (tmp_path / "runs").symlink_to(tmp_path / "disk")

    assert open_run(tmp_path / "runs", "one").config_path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no config.json"), (b"{", "valid JSON"), (b"[]", "object"), (b"\xff", "valid JSON")],
)
def test_an_unusable_config_is_an_error(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    run = make_run(tmp_path)
    run.config_path.unlink()
    if content is not None:
        run.config_path.write_bytes(content)

    with pytest.raises(RunError, match=message):
        read_run_config(run)


def test_a_moved_run_still_works(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "one")
    shutil.move(run.root, tmp_path / "b" / "two")

    moved = open_run(tmp_path / "b", "two")
    assert json.loads(moved.config_path.read_text())["run_id"] == "one"
    assert moved.checkpoints.is_dir()
