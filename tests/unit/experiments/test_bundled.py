"""Bundled experiments and copies of experiments."""

from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import bundled_dir, discover, find_experiment
from transformer_playground.experiments.scaffold import copy_experiment, find_or_install


def test_a_bundled_experiment_is_copied_on_first_use_only(tmp_path: Path) -> None:
    notices: list[str] = []
    found = find_or_install(tmp_path / "new", "shakespeare", notices.append)
    assert found.config_path.read_bytes() == (
        (bundled_dir() / "shakespeare/config.toml").read_bytes()
    )
    assert len(notices) == 1
    found.config_path.write_text("")
    find_or_install(tmp_path / "new", "shakespeare", notices.append)
    assert len(notices) == 1
    assert found.config_path.read_text() == ""


@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_nothing_of_the_user_is_overwritten(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "shakespeare"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to("nowhere")
    with pytest.raises(UsageError):
        find_or_install(tmp_path, "shakespeare", lambda _: None)
    with pytest.raises(UsageError, match="already exists"):
        copy_experiment(tmp_path, "shakespeare", "shakespeare_char")
    assert (kind == "folder") == place.is_dir()
    assert (kind == "file") == place.is_file()


def test_a_copy_takes_texts_and_code_but_no_dataset(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    (source / "raw").mkdir(parents=True)
    (source / "datasets").mkdir()
    (source / "datasets" / "train.bin").write_bytes(b"x")
    (source / "config.toml").write_text("")
    (source / "raw" / "a.txt").write_text("text")
    (source / "prepare.py").write_text("")
    copy_experiment(tmp_path, "other", "mine")
    files = {
        str(path.relative_to(tmp_path / "other"))
        for path in (tmp_path / "other").rglob("*")
        if path.is_file()
    }
    assert files == {"config.toml", "raw/a.txt", "prepare.py"}


def test_an_experiment_of_the_user_hides_the_bundled_one(tmp_path: Path) -> None:
    (tmp_path / "phrases").mkdir()
    (tmp_path / "phrases" / "config.toml").write_text("# mine\n")
    copy_experiment(tmp_path, "copy", "phrases")
    assert (tmp_path / "copy" / "config.toml").read_text() == "# mine\n"


def test_an_unknown_source_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no experiment 'zzz'"):
        copy_experiment(tmp_path, "copy", "zzz")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError) as caught:
        find_experiment(tmp_path, "shakespeare")
    assert "tp new shakespeare --from shakespeare" in caught.value.hint


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", fail)
    with pytest.raises(UsageError, match="No space left"):
        copy_experiment(tmp_path, "copy", "shakespeare")
    assert list(tmp_path.iterdir()) == []


def test_every_bundled_experiment_is_discovered() -> None:
    assert {"shakespeare", "phrases"} <= {each.name for each in discover(bundled_dir())}
