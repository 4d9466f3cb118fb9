"""`tp scale` on tiny runs: trained once, a law, and a prediction that is held against a run."""

import os

import pytest

from builders.commands import Project, Tp
from builders.runs import append_rows, status_row
from builders.schemas import check
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.status import RunLock

SCALE = (
    *("scale", "tiny", "--sizes", "8x1,16x1,24x2", "--budgets", "128", "--predict", "32x2"),
    # A limit of time must not cut a budget.
    *("--set", "train.runtime.eval_interval=2", "--set", "train.runtime.max_minutes=1e-6"),
    *("--lr-rule", "sqrt-width", "--json"),
)


def test_a_family_is_trained_once_and_its_prediction_held_against_a_run(
    tp: Tp, project: Project
) -> None:
    ended = tp(*SCALE)
    assert ended.code == 0, ended.err
    (first,) = ended.lines
    check("scale", first)
    assert [each["n_embd"] for each in first["members"]] == [8, 16, 24]
    # 128 tokens are two steps of 4 windows of 16; 16 is the experiment's own width.
    assert {each["steps"] for each in first["members"]} == {2}
    rates = [each["learning_rate"] for each in first["members"]]
    assert rates == pytest.approx([1e-3 * 2**0.5, 1e-3, 1e-3 * (16 / 24) ** 0.5], rel=1e-3)
    assert first["law"]["tokens"] is None
    assert first["prediction"]["loss"] == pytest.approx(first["held_out"]["fitted"])
    assert first["prediction"]["miss"] is None
    trained = sorted(path.name for path in (project.root / RUNS_DIR).glob("scale-*"))
    assert len(trained) == 3

    second = tp(*SCALE, "--verify", "--out", "scale.svg")
    (document,) = second.lines
    check("scale", document)
    assert document["members"] == first["members"]
    assert document["held_out"]["loss"] == pytest.approx(
        document["prediction"]["loss"] + document["prediction"]["miss"]
    )
    assert len(list((project.root / RUNS_DIR).glob("scale-*"))) == 4
    assert "held out" in (project.root / "scale.svg").read_text(encoding="utf-8")

    # What is measured is found again, without training.
    shown = tp(*SCALE[:-1], "--no-train").out
    assert "held out" in shown
    assert "measured" in shown

    # What another process still trains is not called unfinished, and no failure.
    run = project.run_named(trained[0])
    append_rows(run, [status_row(2, "running")])
    with RunLock(run):
        waiting = tp(*SCALE[:-1])
    assert waiting.code == 0
    trains = f"process {os.getpid()} still trains 1 of 3 runs: {run.run_id}. The same command"
    assert trains in waiting.err
    assert "in training: 1" in waiting.err
    assert "not finished" not in waiting.err

    # Runs with other settings do not stand in for those of the experiment as it is now.
    config = project.experiment / "config.toml"
    config.write_text(config.read_text() + "\n[train.optim]\ngrad_clip = 0.125\n")
    (edited,) = tp(*SCALE, "--no-train").lines
    assert edited["sweep"] != document["sweep"]
    assert all(each["loss"] is None for each in edited["members"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--sizes", "8x1,8x1"), "are the same shape"),
        (("--budgets", "1"), "fewer than 2 steps"),
        (("--budgets", "many"), "'many' is not a number of training tokens"),
        (("--predict", "16x1"), "is one of the sizes that are fitted"),
        (("--set", "train.optim.optimizer=muon"), "is for AdamW"),
        (("--no-train", "--verify"), "Leave out one"),
        (("--no-train", "--jobs", "1"), "--jobs has no effect with --no-train"),
        (("--sizes", "8x1,16x1", "--verify"), "--verify has no effect with fewer than 3 sizes"),
        (("--sizes", "8x1,16x1"), "--predict has no effect with fewer than 3 sizes"),
        (("--out", "scale.gif"), "cannot be written as 'scale.gif'"),
    ],
)
def test_a_family_that_cannot_be_is_refused_before_anything_is_trained(
    tp: Tp, project: Project, change: tuple[str, ...], words: str
) -> None:
    ended = tp(*SCALE, *change)

    assert ended.code != 0
    assert words in ended.err
    assert not list((project.root / RUNS_DIR).glob("scale-*"))


def test_failed_runs_are_counted_and_the_exit_code_says_so(tp: Tp) -> None:
    diverges = ("--set", "train.optim.learning_rate=1e30", "--set", "train.optim.grad_clip=0")

    ended = tp("scale", "tiny", "--sizes", "8x1,16x1", "--budgets", "512", *diverges)

    assert ended.code == 1
    assert "2 of 2 runs have failed: tp sweep show scale-tiny-" in ended.err
