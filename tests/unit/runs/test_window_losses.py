"""Losses of windows in a run's folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.checkpoints import save
from transformer_playground.errors import RunError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.window_losses import (
    WindowLosses,
    best_checkpoint,
    read_window_losses,
    write_window_losses,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "run")
    found.checkpoints.mkdir(parents=True)
    save(found.checkpoints, 10)
    return found


def losses_for(run: RunFolder, *sums: float) -> WindowLosses:
    checkpoint = best_checkpoint(run)
    assert checkpoint is not None
    targets = np.full(len(sums), 4, dtype=np.int64)
    return WindowLosses(np.array(sums), targets, "f" * 64, checkpoint[1])


def test_what_was_written_is_read_again(run: RunFolder) -> None:
    assert read_window_losses(run) is None
    written = losses_for(run, 1.0, 2.5)
    write_window_losses(run, written)
    found = read_window_losses(run)
    assert found is not None
    assert found.sums.tolist() == [1.0, 2.5]
    assert found.fits(written)


def test_losses_of_an_earlier_checkpoint_do_not_count_and_are_replaced(run: RunFolder) -> None:
    write_window_losses(run, losses_for(run, 1.0))
    save(run.checkpoints, 20)
    assert read_window_losses(run) is None
    write_window_losses(run, losses_for(run, 0.5))
    assert len([*run.evaluations.iterdir()]) == 1


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"x" * 100])
def test_a_damaged_file_counts_as_none(run: RunFolder, content: bytes) -> None:
    write_window_losses(run, losses_for(run, 1.0)).write_bytes(content)
    assert read_window_losses(run) is None


def test_arrays_that_do_not_fit_together_and_objects_are_refused(run: RunFolder) -> None:
    path = write_window_losses(run, losses_for(run, 1.0))
    faulty: tuple[dict[str, Any], ...] = (
        {"sums": np.zeros(2), "targets": np.zeros(3, dtype=np.int64), "dataset": np.array("f")},
        {"sums": np.array([{}]), "targets": np.zeros(1, dtype=np.int64), "dataset": np.array("f")},
        {"sums": np.zeros(1)},
    )
    for arrays in faulty:
        np.savez(path, **arrays)
        assert read_window_losses(run) is None


def test_no_link_is_followed_for_writing(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run.evaluations.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        write_window_losses(run, losses_for(run, 1.0))
