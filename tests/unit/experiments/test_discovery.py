"""Experiments are found by folder, whatever else lies around, and nothing in them is run."""

import errno
import os
from pathlib import Path

import pytest

from builders.configs import TINY_TOML, write_experiment
from transformer_playground.errors import ConfigError, UsageError
from transformer_playground.experiments.discovery import (
    discover,
    find_experiment,
    list_folders,
    load_experiment,
)

BOMB = "raise SystemExit('prepare.py was run')\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "experiments"
    folder.mkdir(parents=True)
    return folder


def _names(root: Path) -> list[str]:
    return [experiment.name for experiment in discover(root)]


def test_folders_with_a_config_are_listed_by_name(root: Path) -> None:
    for name in ("b", "a", "C.1_x-y"):
        write_experiment(root, name, files={"prepare.py": BOMB})
    (root / "no-config").mkdir()
    (root / "default_config.toml").write_text("")
    assert _names(root) == ["C.1_x-y", "a", "b"]


def test_a_missing_folder_or_a_file_in_its_place_holds_no_experiments(root: Path) -> None:
    (root / "file").write_text("")
    assert discover(root / "nowhere") == []
    assert discover(root / "file") == []


def test_hostile_folders_neither_break_the_list_nor_hide_the_others(root: Path) -> None:
    write_experiment(root, "good")
    for name in (".hidden", "with space", "new\nline", "\x1b[31mred", "-dash", "x" * 101):
        write_experiment(root, name)
    (root / "loop").symlink_to(root / "loop")
    (root / "self").symlink_to(root)
    (root / "config.toml").write_text("")
    write_experiment(root, "binary").joinpath("config.toml").write_bytes(b"\xff\x00" * 50)
    (root / "folder" / "config.toml").mkdir(parents=True)
    (root / "dangling").mkdir()
    (root / "dangling" / "config.toml").symlink_to("nowhere")
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "config.toml")
    assert _names(root) == ["binary", "dangling", "folder", "good", "pipe"]
    for name in ("binary", "dangling", "folder", "pipe"):
        with pytest.raises(ConfigError):
            load_experiment(root, name, None, (), {})


def test_a_link_out_of_the_experiments_is_not_followed(root: Path, tmp_path: Path) -> None:
    write_experiment(tmp_path, "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    assert _names(root) == []
    with pytest.raises(UsageError, match="leads out of"):
        find_experiment(root, "link")


def test_a_link_to_another_experiment_is_one_too(root: Path) -> None:
    write_experiment(root, "real")
    (root / "alias").symlink_to("real")
    assert _names(root) == ["alias", "real"]
    assert find_experiment(root, "alias").name == "alias"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", ".", "..", "a b", "a\n", "/etc", "ä", "x" * 101]
)
def test_what_cannot_be_a_name_is_refused(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not an experiment name"):
        find_experiment(root, name)


def test_an_unknown_name_is_answered_with_the_nearest(root: Path) -> None:
    write_experiment(root, "shakespeare")
    write_experiment(root, "phrases")
    with pytest.raises(UsageError, match=r"no experiment 'shakespear'.*mean shakespeare\b"):
        find_experiment(root, "shakespear")
    with pytest.raises(UsageError, match=r"has phrases, shakespeare\."):
        find_experiment(root, "zzz")


def test_an_empty_folder_names_the_command_that_creates_an_experiment(root: Path) -> None:
    with pytest.raises(UsageError, match="has none; `tp new NAME`"):
        find_experiment(root, "x")


def test_a_folder_without_a_config_is_told_apart_from_no_folder(root: Path) -> None:
    (root / "bare").mkdir()
    with pytest.raises(UsageError, match=r"bare has no config\.toml"):
        find_experiment(root, "bare")


def test_loading_reads_the_defaults_beside_the_folders(root: Path) -> None:
    (root / "default_config.toml").write_text("[train.runtime]\nseed = 5\n")
    write_experiment(root, "x", "[train.runtime]\nlog_interval = 3\n")
    experiment, loaded = load_experiment(
        root,
        "x",
        None,
        ["train.runtime.eval_iters=7"],
        {"ML_PLAYGROUND_TRAIN_OVERRIDES": '{"runtime": {"threads": 2}}'},
    )
    runtime = loaded.config.train.runtime
    assert (runtime.seed, runtime.log_interval, runtime.eval_iters, runtime.threads) == (5, 3, 7, 2)
    assert experiment.folder == root / "x"
    assert loaded.config.prepare.raw_dir == root / "x" / "raw"


def test_a_config_given_beside_a_name_replaces_the_own_one(root: Path, tmp_path: Path) -> None:
    write_experiment(root, "x", "broken = = 3")
    other = tmp_path / "other.toml"
    other.write_text(TINY_TOML)
    experiment, loaded = load_experiment(root, "x", other, (), {})
    assert (experiment.name, experiment.config_path) == ("x", other)
    assert loaded.config.prepare.dataset_dir == root / "x" / "datasets"


def test_a_config_given_alone_is_named_after_its_experiment_or_itself(
    root: Path, tmp_path: Path
) -> None:
    folder = write_experiment(root, "x", files={"fast.toml": TINY_TOML})
    loose = tmp_path / "my try.toml"
    loose.write_text(TINY_TOML)
    named = {
        path: load_experiment(root, None, path, (), {})[0].name
        for path in (folder / "config.toml", folder / "fast.toml", loose)
    }
    assert list(named.values()) == ["x", "x", "my-try"]


def test_a_loose_config_keeps_its_data_beside_itself(root: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose.toml"
    loose.write_text("")
    _, loaded = load_experiment(root, None, loose, (), {})
    assert loaded.config.prepare.raw_dir == tmp_path / "raw"


def test_neither_name_nor_config_lists_what_there_is(root: Path) -> None:
    write_experiment(root, "x")
    with pytest.raises(UsageError, match=r"No experiment given\..*has x\."):
        load_experiment(root, None, None, (), {})


def test_a_project_behind_a_link_works_like_any_other(root: Path, tmp_path: Path) -> None:
    write_experiment(root, "x", '[prepare]\nraw_dir = "raw"\n')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "experiments").symlink_to(root)
    _, loaded = load_experiment(tmp_path / "elsewhere" / "experiments", "x", None, (), {})
    assert loaded.config.prepare.raw_dir == root / "x" / "raw"
    assert loaded.provenance == {}


def test_folders_that_cannot_be_experiments_are_listed_and_have_a_reason(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(root, "good")
    reasons = {
        "-dash": "is not an experiment name",
        "bär": "is not an experiment name",
        "dangling": "link without a target",
        "empty": "has no config.toml",
        "loop": "link without a target",
        "mein Text": "is not an experiment name",
        "outside": "link that leads out",
        "secret": "cannot be read: Permission denied",
    }
    for name in ("-dash", "bär", "mein Text", ".hidden", "secret", "__pycache__"):
        write_experiment(root, name)
    (root / "empty").mkdir()
    (root / "dangling").symlink_to(root / "nowhere")
    (root / "loop").symlink_to(root / "loop")
    write_experiment(tmp_path, "elsewhere")
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (root / "README.md").write_text("About these experiments.")

    real = os.lstat

    def lstat(path: os.PathLike[str] | str) -> os.stat_result:
        if Path(path).parent.name == "secret":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path)

    assert [each.name for each in list_folders(root)] == sorted([*reasons, "good"])
    monkeypatch.setattr("transformer_playground.experiments.discovery.os.lstat", lstat)
    for name, reason in reasons.items():
        with pytest.raises(UsageError, match=reason) as raised:
            find_experiment(root, name)
        assert raised.value.hint
    assert list_folders(root / "nowhere") == []


@pytest.mark.parametrize("kind", ["file", "unreadable", "unsearchable"])
def test_a_folder_of_experiments_that_cannot_be_read_does_not_count_as_empty(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, reason = root / "place", "Permission denied"

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    if kind == "file":
        place.write_text("")
        reason = "Not a directory"
    else:
        write_experiment(place, "good")
        monkeypatch.setattr(Path, "iterdir" if kind == "unreadable" else "is_dir", refuse)
    with pytest.raises(UsageError, match=f"place cannot be read: {reason}") as raised:
        list_folders(place)
    assert raised.value.hint
    with pytest.raises(UsageError, match=f"cannot be read: {reason}"):
        find_experiment(place, "other")


@pytest.mark.parametrize("own", [(), ("mine", "shakespeare_char")])
def test_a_misspelt_name_of_a_bundled_experiment_is_suggested(
    root: Path, own: tuple[str, ...]
) -> None:
    for name in own:
        write_experiment(root, name)
    with pytest.raises(UsageError) as caught:
        find_experiment(root, "shakespear")
    assert caught.value.hint.startswith("Did you mean shakespeare or shakespeare_char")
