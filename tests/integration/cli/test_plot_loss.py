"""`tp plot-loss`: what it writes where, what it says, and what it refuses."""

import json
import os
import shutil
from pathlib import Path

import pytest

from builders.commands import TP, Project, Tp
from builders.runs import append_rows, eval_row, make_run, status_row, train_row
from builders.schemas import check
from builders.svg_plots import read_svg

ROWS = [*(train_row(step) for step in range(10, 60, 10)), eval_row(20, 3.0), eval_row(40, 2.5)]


@pytest.fixture
def runs_dir(project: Project) -> Path:
    return project.root / "runs"


def test_the_plot_of_one_run_is_written_to_its_reports_folder(runs_dir: Path, tp: Tp) -> None:
    run = make_run(runs_dir, "tiny-1", ROWS)

    ended = tp("plot-loss", "--run-id", "tiny")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "tiny-1: best val loss 2.5000 at step 40",
        "plot: runs/tiny-1/reports/loss-curve.svg",
    ]
    assert "tiny-1" in read_svg(run.reports / "loss-curve.svg").texts
    assert [path.name for path in run.reports.iterdir()] == ["loss-curve.svg"]


def test_the_plot_of_several_runs_is_written_to_the_current_folder(
    project: Project, runs_dir: Path, tp: Tp
) -> None:
    make_run(runs_dir, "a", ROWS)
    make_run(runs_dir, "b", [train_row(1)])
    make_run(runs_dir, "c", [status_row(0, "running")])

    ended = tp("plot-loss", "--run-id", "b,a,c")

    assert ended.code == 0
    assert ended.out.splitlines() == [
        "b: not evaluated yet",
        "a: best val loss 2.5000 at step 40",
        "plot: loss-curve.svg",
    ]
    assert ended.err == "left out c: it has no finite loss\n"
    names = read_svg(project.root / "loss-curve.svg").names
    assert names == {"train-1", "train-2", "val-2", "best-2", "train-1-points"}


def test_every_option_changes_the_picture(project: Project, runs_dir: Path, tp: Tp) -> None:
    make_run(runs_dir, "a", ROWS)
    options = ["", "--log-y", "--smooth 0.5", "--x tokens", "--x time", "--title [/red]<b>"]
    pictures = set()
    for option in options:
        assert tp("plot-loss", "--run-id", "a", "--out", "new/one.svg", *option.split()).code == 0
        pictures.add((project.root / "new" / "one.svg").read_bytes())

    assert len(pictures) == 6
    assert "[/red]<b>" in read_svg(project.root / "new" / "one.svg").texts


def test_json_describes_the_plot(runs_dir: Path, tp: Tp) -> None:
    make_run(runs_dir, "a", [*ROWS, train_row(60, train_loss=None)])
    make_run(runs_dir, "b", [train_row(1)])
    make_run(runs_dir, "c")

    words = ("--log-y", "--smooth", 0.5, "--x", "tokens", "--out", "p.png", "--json")
    ended = tp("plot-loss", "--run-id", "a,b,c", *words)

    (document,) = ended.lines
    check("plot-loss", document)
    first, second = document.pop("runs")
    assert document == {
        "schema_version": 1,
        "path": "p.png",
        "format": "png",
        "x": "tokens",
        "log_y": True,
        "smooth": 0.5,
        "ngram": None,
        "skipped": ["c"],
    }
    assert first == {
        "run_id": "a",
        "train_points": 5,
        "val_points": 2,
        "breaks": 1,
        "best_val_loss": 2.5,
        "best_step": 40,
    }
    assert (second["train_points"], second["best_val_loss"]) == (1, None)


def test_a_run_that_was_moved_is_drawn(project: Project, runs_dir: Path, tp: Tp) -> None:
    make_run(runs_dir, "a", ROWS)
    shutil.move(runs_dir / "a", project.root / "elsewhere" / "renamed")

    ended = tp("plot-loss", "--runs-dir", "elsewhere", "--run-id", "renamed")

    assert ended.code == 0
    assert (project.root / "elsewhere" / "renamed" / "reports" / "loss-curve.svg").is_file()


def test_a_run_of_a_newer_version_is_refused_as_a_comparison_refuses_it(
    runs_dir: Path, tp: Tp
) -> None:
    make_run(runs_dir, "new", ROWS, schema_version=2)
    make_run(runs_dir, "old", ROWS)

    drawn = tp("plot-loss", "--run-id", "old,new", "--out", "both.svg")

    assert drawn.code == 1
    assert "'new' was written by a newer version" in drawn.err
    assert drawn.err == tp("compare", "--run-ids", "old,new").err
    assert not (runs_dir.parent / "both.svg").exists()


@pytest.mark.parametrize("record", [None, b"{", b"[1]"])
def test_a_run_without_a_whole_record_is_drawn_from_its_rows(
    runs_dir: Path, tp: Tp, record: bytes | None
) -> None:
    run = make_run(runs_dir, "tiny-1", ROWS)
    run.config_path.unlink()
    if record is not None:
        run.config_path.write_bytes(record)

    assert tp("plot-loss", "--run-id", "tiny-1").code == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--run-id", "tinz-1"), 2, "There is no run 'tinz-1'"),
        (("--run-id", "tiny"), 2, "'tiny' matches 2 runs: tiny-1, tiny-2"),
        (("--run-id", "tiny-2"), 1, "'tiny-2' has no finite loss"),
        (("--run-id", "tiny-1,tiny@best"), 2, "given twice: 'tiny-1' and 'tiny@best'"),
        (("--run-id", ","), 2, "No run is given"),
        (("--run-id", "tiny-1", "--out", "a.pdf"), 2, "cannot be written as 'a.pdf'"),
        (("--run-id", "tiny-1", "--out", "runs/a.svg"), 2, "is a folder"),
        (("--run-id", "tiny-1", "--smooth", "1"), 2, "--smooth must be in [0, 1), not 1."),
        (("--run-id", "tiny-1", "--smooth", "nan"), 2, "'--smooth': nan is not a finite number"),
        (("--run-id", "tiny-1", "--x", "epoch"), 2, "'--x': 'epoch' is not one of"),
        (("--run-id", "tiny-1", "--log"), 2, "See: tp plot-loss --help"),
        (("--run-id", "tiny-1", "--out", "\x1b[31m.doc"), 2, "␛[31m.doc"),
        ((), 2, "--run-id"),
    ],
)
def test_a_run_that_cannot_be_plotted_is_an_error(
    words: tuple[str, ...], code: int, sentence: str, runs_dir: Path, tp: Tp
) -> None:
    make_run(runs_dir, "tiny-1", ROWS)
    make_run(runs_dir, "tiny-2")
    (runs_dir / "a.svg").mkdir()

    ended = tp("plot-loss", *words)

    assert ended.code == code
    assert sentence in ended.err
    assert ended.out == ""


def test_an_unwritable_home_folder_causes_no_output(project: Project, runs_dir: Path) -> None:
    append_rows(make_run(runs_dir, "a"), ROWS)
    nowhere = str(project.root / "runs" / "a" / "config.json")
    without = {"HOME": nowhere, "XDG_CONFIG_HOME": nowhere, "XDG_CACHE_HOME": nowhere}
    environ = {**without, "MPLCONFIGDIR": nowhere, "PATH": os.environ["PATH"]}

    ended = project.child(TP, "plot-loss", "--run-id", "a", environ=environ)

    assert (ended.code, ended.err) == (0, "")


def test_a_broken_setting_of_the_plotting_library_is_said(project: Project, runs_dir: Path) -> None:
    make_run(runs_dir, "a", ROWS)

    ended = project.child(TP, "plot-loss", "--run-id", "a", environ={"MPLBACKEND": "nonsense"})

    assert ended.code == 1
    assert "MPLBACKEND" in ended.err
    assert "Traceback" not in ended.err


def test_the_loss_of_n_grams_of_the_training_text_is_a_line(trained: Project, tp: Tp) -> None:
    words = ("plot-loss", "--run-id", "first", "--out", "n.svg")
    plain = tp(*words, "--json").lines[0]
    assert plain["ngram"] is None
    made = tp(*words, "--ngram", 2, "--json").lines[0]
    check("plot-loss", made)
    assert made["ngram"]["order"] == 2
    assert f"2-gram {made['ngram']['loss']:.4f}" in (trained.root / "n.svg").read_text()
    refused = tp(*words, "--experiments-dir", "experiments")
    assert refused.code == 2
    assert "no effect without --ngram" in refused.err


def test_n_grams_of_different_or_missing_datasets_are_refused(trained: Project, tp: Tp) -> None:
    shutil.copytree(trained.run_named("first").root, trained.root / "runs" / "second")
    path = trained.run_named("second").config_path
    record = json.loads(path.read_text())
    record["dataset"]["fingerprint"] = "0" * 64
    path.write_text(json.dumps(record))
    both = tp("plot-loss", "--run-id", "first,second", "--out", "n.svg", "--ngram", 2)
    assert both.code != 0
    assert "different datasets" in both.err
    other = tp("plot-loss", "--run-id", "second", "--out", "n.svg", "--ngram", 2)
    assert other.code != 0
    assert "not the one this run was trained on" in other.err
