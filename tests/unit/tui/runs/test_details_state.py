"""Details of a run as the console reads them."""

from pathlib import Path

from builders.checkpoints import flip_byte, save
from builders.runs import make_run
from transformer_playground.runs.details import read_checkpoints
from transformer_playground.tui.runs.details_state import read_section


def test_the_console_lists_the_checkpoints_of_runs_show_without_their_second_names(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "one")
    for step in (1, 2, 3):
        save(run.checkpoints, step, keep_last=3)
    (run.checkpoints / "ckpt_last_00000001.pt").write_bytes(b"short")
    (run.checkpoints / "ckpt_last_00000009.pt").write_bytes(b"no sidecar")

    shown = read_section(tmp_path, "one", "overview").checkpoints

    listed = [file for file in read_checkpoints(run) if file.name.startswith("ckpt_")]
    assert list(shown) == listed
    assert [file.step for file in shown] == [3, 2, None, None]
    assert [file.size for file in shown[2:]] == [5, 10]
    assert all(file.problem for file in shown[2:])


def test_the_console_compares_sizes_and_does_not_hash_checkpoints(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    path = save(run.checkpoints, 1)[0].path
    flip_byte(path)
    assert all(file.problem for file in read_checkpoints(run))
    (shown,) = read_section(tmp_path, "one", "overview").checkpoints
    assert (shown.step, shown.problem) == (1, None)
