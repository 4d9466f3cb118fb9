"""The file of a sweep: what is written is read again, and what cannot be one is refused."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builders.disks import Crash, WatchedDisk, crash_at, refuse_once
from transformer_playground.errors import ConfigError, UsageError
from transformer_playground.experiments.discovery import Experiment
from transformer_playground.experiments.kept import KeptSettings
from transformer_playground.sweeps.axes import Choices, parse_axis
from transformer_playground.sweeps.base import Base
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.spec import (
    Sweep,
    find_sweep,
    list_sweeps,
    load_sweep,
    save_sweep,
)
from transformer_playground.sweeps.trials import plan

SWEEP = Sweep(
    "pe",
    "tiny",
    (Choices("model.norm", ("rmsnorm", "layernorm")), parse_axis("learning_rate=1e-4..1e-2:log:5")),
    (1, 2),
    created="20260131-235959",
    settings=("model.n_layer=1",),
)


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert load_sweep(save_sweep(tmp_path, SWEEP)) == SWEEP
    drawn = replace(SWEEP, sweep_id="drawn", method="random", runs=7, draw_seed=3)
    assert load_sweep(save_sweep(tmp_path, drawn)) == drawn


def test_a_sweep_of_seeds_alone_is_read_as_it_was_written(tmp_path: Path) -> None:
    sweep = replace(SWEEP, axes=())

    assert load_sweep(save_sweep(tmp_path, sweep)) == sweep
    assert [trial.seed for trial in plan(sweep)] == [1, 2]


def test_listed_combinations_are_read_as_they_were_written(tmp_path: Path) -> None:
    listed = (
        (("model.n_embd", 16), ("model.n_kv_head", None)),
        (("model.n_embd", 32), ("model.n_kv_head", 2)),
    )
    axes = (Choices("model.n_embd", (16, 32)), Choices("model.n_kv_head", (None, 2)))
    sweep = replace(SWEEP, method="list", axes=axes, listed=listed)

    assert load_sweep(save_sweep(tmp_path, sweep)) == sweep
    assert [trial.values for trial in plan(sweep)] == [listed[0], listed[0], listed[1], listed[1]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('"model.n_layer" = 2', "entry 2 has other settings"),
        ('"model.n_embd" = 16', "listed twice"),
        ('"model.n_embdd" = 16', "other settings"),
        ('"model.n_embd" = 32\n\n[axes]\n"model.n_layer" = [1, 2]', "belong together"),
    ],
)
def test_a_list_of_combinations_that_is_none_is_refused(
    tmp_path: Path, table: str, words: str
) -> None:
    one = (("model.n_embd", 16),)
    sweep = replace(SWEEP, method="list", axes=(Choices("model.n_embd", (16,)),), listed=(one,))
    folder = save_sweep(tmp_path, sweep)
    with folder.spec_path.open("a", encoding="utf-8") as file:
        file.write(f"[[combinations]]\n{table}\n")

    with pytest.raises(ConfigError, match=words):
        load_sweep(folder)


def test_a_sweep_is_never_written_over_another(tmp_path: Path) -> None:
    folder = save_sweep(tmp_path, SWEEP)

    with pytest.raises(UsageError, match="already a sweep 'pe'"):
        save_sweep(tmp_path, replace(SWEEP, seeds=(9,)))

    assert load_sweep(folder) == SWEEP


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('method = "grid"', 'method = "gird"'),
        ("seeds = [1, 2]", "seeds = [1, 1]"),
        ("seeds = [1, 2]", "seeds = []"),
        ("seeds = [1, 2]", 'seeds = ["a"]'),
        ("seeds = [1, 2]", "seeds = 3"),
        ("[axes]", "colour = 1\n[axes]"),
        ('"rmsnorm", "layernorm"', ""),
        ('"model.norm"', '"model.form"'),
        ('"0.0001..0.01:log:5"', '"much"'),
        ("created", "made"),
    ],
)
def test_a_file_edited_by_hand_is_read_or_refused_with_its_name(
    tmp_path: Path, change: str, words: str
) -> None:
    folder = save_sweep(tmp_path, SWEEP)
    text = folder.spec_path.read_text()
    assert change in text
    folder.spec_path.write_text(text.replace(change, words))

    with pytest.raises(ConfigError, match=r"sweep\.toml"):
        load_sweep(folder)


def test_random_sweeps_need_a_number_of_combinations(tmp_path: Path) -> None:
    folder = save_sweep(tmp_path, SWEEP)
    text = folder.spec_path.read_text()
    folder.spec_path.write_text(text.replace('"grid"', '"random"'))

    with pytest.raises(ConfigError, match="needs runs"):
        load_sweep(folder)


def test_sweeps_are_found_by_a_unique_beginning(tmp_path: Path) -> None:
    for name in ("pe-1", "pe-2", "lr"):
        save_sweep(tmp_path, replace(SWEEP, sweep_id=name))
    (tmp_path / "empty").mkdir()

    assert find_sweep(tmp_path, "l").root.name == "lr"
    assert {each.root.name for each in list_sweeps(tmp_path)} == {"pe-1", "pe-2", "lr"}
    with pytest.raises(UsageError, match="several"):
        find_sweep(tmp_path, "pe")
    with pytest.raises(UsageError, match="no sweep 'x'"):
        find_sweep(tmp_path, "x")
    assert list_sweeps(tmp_path / "none") == []
    with pytest.raises(ConfigError, match="does not exist"):
        load_sweep(SweepFolder(tmp_path / "empty"))


def test_a_full_disk_leaves_no_part_of_a_sweep(tmp_path: Path) -> None:
    kept = KeptSettings(Experiment("tiny", tmp_path, tmp_path / "config.toml"), {}, {})
    sweep = replace(SWEEP, base=Base("tiny", "", SWEEP.settings, kept))
    with WatchedDisk(tmp_path) as disk:
        save_sweep(tmp_path / "0", sweep)
    assert load_sweep(SweepFolder(tmp_path / "0" / "pe")).base == sweep.base

    for number in range(1, disk.operations + 1):
        folder = tmp_path / str(number)
        with (
            WatchedDisk(tmp_path, refuse_once(number)),
            pytest.raises(ConfigError, match="cannot be written"),
        ):
            save_sweep(folder, sweep)
        assert list(folder.iterdir()) == []


def test_a_process_that_dies_while_it_saves_leaves_the_name_free_or_a_whole_sweep(
    tmp_path: Path,
) -> None:
    kept = KeptSettings(Experiment("tiny", tmp_path, tmp_path / "config.toml"), {}, {})
    sweep = replace(SWEEP, base=Base("tiny", "", SWEEP.settings, kept))
    with WatchedDisk(tmp_path) as disk:
        save_sweep(tmp_path / "0", sweep)

    for number in range(1, disk.operations + 1):
        folder = tmp_path / str(number)
        with WatchedDisk(tmp_path, crash_at(number)), pytest.raises(Crash):
            save_sweep(folder, sweep)
        found = list_sweeps(folder) or [save_sweep(folder, sweep)]
        assert load_sweep(found[0]).base == sweep.base


def test_what_a_killed_process_left_is_removed_once_nobody_can_be_writing_it(
    tmp_path: Path,
) -> None:
    def left(name: str, hours: float) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "sweep.toml").write_text("")
        then = time.time() - 3600 * hours
        for path in (folder / "sweep.toml", folder):
            os.utime(path, (then, then))
        return folder

    old, fresh = left(".pe.0123abcd", 2), left(".lr.0123abcd", 0.5)
    growing, other = left(".gr.0123abcd", 2), left(".mine", 2)
    (growing / "experiment.json").write_text("")
    then = time.time() - 7200
    os.utime(growing, (then, then))
    link = tmp_path / ".ln.0123abcd"
    link.symlink_to(other)

    save_sweep(tmp_path, SWEEP)

    assert not old.exists()
    assert all(each.exists() for each in (fresh, growing, other, link))
    assert [each.root.name for each in list_sweeps(tmp_path)] == ["pe"]


def test_an_empty_folder_is_taken_and_one_with_other_files_refused(tmp_path: Path) -> None:
    root = tmp_path / "pe"
    root.mkdir()
    (root / "note.txt").touch()
    with pytest.raises(UsageError, match=r"is no sweep: it has no sweep\.toml"):
        save_sweep(tmp_path, SWEEP)

    (root / "note.txt").unlink()
    assert load_sweep(save_sweep(tmp_path, SWEEP)) == SWEEP
    with pytest.raises(UsageError, match="already a sweep 'pe'"):
        save_sweep(tmp_path, SWEEP)
    assert [path.name for path in tmp_path.iterdir()] == ["pe"]


def test_the_folders_of_a_moved_project_move_with_it_and_those_outside_stay(tmp_path: Path) -> None:
    project, outside = tmp_path / "old", tmp_path / "texts"
    home = project / "experiments" / "tiny"
    table = {"raw_dir": str(outside), "dataset_dir": str(home / "datasets")}
    kept = KeptSettings(Experiment("tiny", home, home / "config.toml"), {"prepare": table}, {})
    saved = save_sweep(project / "sweeps", replace(SWEEP, base=Base("tiny", "", (), kept)))
    moved = tmp_path / "new"
    shutil.move(project, moved)

    base = load_sweep(SweepFolder(moved / saved.root.relative_to(project))).base

    assert base is not None
    home = moved / "experiments" / "tiny"
    assert base.kept.experiment == Experiment("tiny", home, home / "config.toml")
    assert base.kept.settings["prepare"] == table | {"dataset_dir": str(home / "datasets")}
