"""`tp sweep` on tiny runs: training, going on after a kill, reuse, failures, stopping."""

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
import torch

from builders.commands import Project, Tp
from builders.runs import append_rows, status_row
from builders.schemas import check
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR, RunFolder, read_run_config
from transformer_playground.runs.status import RunLock
from transformer_playground.runs.summary import read_summary
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.sweeps.progress import Progress
from transformer_playground.sweeps.runner import Ended, Started, SweepRunner, stop_sweep
from transformer_playground.sweeps.spec import find_sweep, load_sweep

NEW = (
    *("sweep", "new", "tiny", "--name", "s", "--set", "model.norm=rmsnorm,layernorm"),
    *("--set", "max_iters=4", "--set", "eval_interval=2"),
)


def counts(**some: int) -> dict[str, int]:
    """Numbers of runs by state."""
    return dict.fromkeys(("finished", "running", "open", "pruned", "failed"), 0) | some


def losses(tp: Tp) -> dict[str, float | None]:
    """The loss of each run, by settings and seed."""
    document = tp("sweep", "show", "s", "--json").lines[0]
    return {
        json.dumps([each["values"], trial["seed"]]): trial["best_val_loss"]
        for each in document["combinations"]
        for trial in each["trials"]
    }


def test_a_sweep_trains_each_combination_with_each_seed(tp: Tp, project: Project) -> None:
    made = tp(*NEW, "--seeds", "2", "--json")
    check("sweep", made.lines[0])
    assert made.lines[0]["counts"]["open"] == 4

    ended = tp("sweep", "run", "s", "--json")

    assert ended.code == 0
    *trials, last = ended.lines
    for line in (*trials, last):
        check("sweep", line)
    assert [line["state"] for line in trials] == ["running", "finished"] * 4
    assert last["counts"] == counts(finished=4)
    assert len({loss for loss in losses(tp).values() if loss}) == 4
    record = read_run_config(project.runs[2])
    assert record["sweep"]["id"] == "s"
    (line,) = [line for line in trials if line["number"] == record["sweep"]["trial"]][1:]
    assert line["run_id"] == project.runs[2].run_id
    assert record["config"]["model"]["norm"] == line["values"]["model.norm"]
    assert record["config"]["train"]["runtime"]["seed"] == line["seed"]


def test_a_run_with_the_same_settings_and_data_is_not_repeated(tp: Tp, project: Project) -> None:
    settings = (
        "train.runtime.max_iters=4",
        "train.runtime.eval_interval=2",
        "model.norm=layernorm",
    )
    tp("loop", "tiny", "--run-id", "mine", *(word for each in settings for word in ("--set", each)))

    made = tp(*NEW)
    ended = tp("sweep", "run", "s")

    assert "exist already, not trained again: 1" in made.out
    assert ended.code == 0
    assert len(project.runs) == 2
    reused = [each for each in show(tp)["combinations"] if each["trials"][0]["reused"]]
    assert [each["trials"][0]["run_id"] for each in reused] == ["mine"]


def test_a_run_on_other_data_is_not_reused(tp: Tp, project: Project) -> None:
    tp("loop", "tiny", "--run-id", "mine", "--set", "train.runtime.max_iters=4")
    project.raw.write_text(project.raw.read_text() * 2)
    tp("prepare", "tiny")

    made = tp("sweep", "new", "tiny", "--set", "max_iters=4,5")

    assert "exist already" not in made.out


def test_a_sweep_grows_and_only_what_is_new_is_trained(tp: Tp, project: Project) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--set", "dropout=0,0.2"),
        *("--set", "max_iters=4", "--set", "eval_interval=2"),
    )
    tp("sweep", "run", "s")
    before = losses(tp)

    refused = tp("sweep", "add", "s", "--set", "dropout=2")
    added = tp("sweep", "add", "s", "--set", "dropout=0.1", "--seeds", "2", "--json")

    assert refused.code == 2
    assert "With model.dropout=2" in refused.err
    check("sweep", added.lines[0])
    assert added.lines[0]["counts"] == counts(finished=2, open=4)
    ended = tp("sweep", "run", "s", "--json")
    assert [line["state"] for line in ended.lines[:-1]] == ["running", "finished"] * 4
    assert before.items() <= losses(tp).items()


def test_an_impossible_combination_is_refused_before_anything_is_trained(
    tp: Tp, project: Project
) -> None:
    made = tp("sweep", "new", "tiny", "--name", "s", "--set", "model.n_head=2,3")

    assert made.code == 2
    assert "With model.n_head=3:" in made.err
    assert not (project.root / "sweeps").exists()
    assert not project.runs


def test_a_failed_run_is_counted_and_the_others_are_trained(tp: Tp) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--set", "max_iters=8"),
        *("--set", "learning_rate=1e30,1e-3", "--set", "grad_clip=0"),
    )

    ended = tp("sweep", "run", "s", "--json")

    assert ended.code == 1
    *trials, last = ended.lines
    assert last["counts"] == counts(finished=1, failed=1)
    assert any(line["problem"] for line in trials)
    again = tp("sweep", "run", "s", "--json")
    assert len(again.lines) == 1


def test_a_sweep_whose_runs_all_fail_ends_early(tp: Tp, project: Project) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--set", "learning_rate=1e30,2e30,3e30,4e30"),
        *("--set", "max_iters=8", "--set", "grad_clip=0"),
    )

    ended = tp("sweep", "run", "s")

    assert ended.code == 1
    assert "3 runs in a row have failed" in ended.err
    assert len(project.runs) == 3


def test_killed_processes_lose_nothing(tp: Tp, project: Project) -> None:
    tp(*NEW, "--seeds", "2")
    tp("sweep", "run", "s")
    expected, ids = losses(tp), [run.run_id for run in project.runs]
    remove_runs(project)

    for place in range(2):
        process = start(project)
        follow(process, "finished" if place else "running")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    tp("sweep", "run", "s")

    assert losses(tp) == expected
    assert [run.run_id for run in project.runs] == ids


def test_processes_side_by_side_train_each_run_once(tp: Tp, project: Project) -> None:
    tp(*NEW, "--seeds", "2")

    ended = project.child(*TP, "sweep", "run", "s", "--jobs", "2", "--json")

    assert ended.code == 0, ended.err
    finished = [line["number"] for line in ended.lines if line.get("state") == "finished"]
    assert sorted(finished) == [0, 1, 2, 3]
    assert len(project.runs) == 4


def test_a_stopped_sweep_starts_no_further_run_and_goes_on_when_asked(
    tp: Tp, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tp(*NEW, "--seeds", "2")
    tp("prepare", "tiny")
    monkeypatch.chdir(project.root)
    folder = find_sweep(SWEEPS_DIR, "s")

    def stop_after_two(event: Started | Ended) -> None:
        if isinstance(event, Ended) and event.trial.number == 1:
            stop_sweep(folder, sweep, RUNS_DIR)

    sweep = load_sweep(folder)
    progress = Progress(sweep, EXPERIMENTS_DIR, RUNS_DIR)
    listed = mock.Mock(wraps=progress.states)
    monkeypatch.setattr(progress, "states", listed)
    runner = SweepRunner(folder, progress, print, stop_after_two)
    states = [each.state for each in runner.run()]

    assert states == ["finished", "finished", "open", "open"]
    # Listing many runs takes time: once, and once after each.
    assert listed.call_count == 3
    assert tp("sweep", "run", "s").code == 0
    assert show(tp)["counts"]["finished"] == 4


def test_stopping_asks_the_runs_in_training(tp: Tp, project: Project) -> None:
    tp(*NEW)
    tp("sweep", "run", "s")
    run = project.runs[1]
    append_rows(run, [status_row(4, "running")])

    with RunLock(run):
        stopped = tp("sweep", "stop", "s", "--json").lines[0]

    check("sweep", stopped)
    assert stopped["asked"] == [run.run_id]
    assert len(list(run.requests.iterdir())) == 1


def test_a_run_that_was_asked_for_is_trained_first_and_only_once(tp: Tp, project: Project) -> None:
    tp(*NEW, "--seeds", "2")
    for number in (1, 2):
        asked = tp("sweep", "next", "s", str(number), "--json").lines[0]
        check("sweep", asked)
    os.utime(project.root / "sweeps" / "s" / "next" / asked["next"], (2e9, 2e9))

    ended = tp("sweep", "run", "s", "--json")

    order = [line["number"] for line in ended.lines if line.get("state") == "running"]
    assert order == [2, 1, 0, 3]
    assert not list((project.root / "sweeps" / "s" / "next").iterdir())
    again = tp("sweep", "next", "s", "1")
    assert again.code == 2
    assert "has finished" in again.err


def test_a_sweep_can_be_stopped_after_the_runs_in_training(tp: Tp, project: Project) -> None:
    tp(*NEW)
    tp("sweep", "run", "s")
    run = project.runs[1]
    append_rows(run, [status_row(4, "running")])

    with RunLock(run):
        stopped = tp("sweep", "stop", "s", "--finish-runs", "--json").lines[0]

    assert stopped["asked"] == []
    assert not run.requests.exists()
    assert (project.root / "sweeps" / "s" / "stop").exists()


def test_lists_show_what_cannot_be_read_with_the_reason(tp: Tp, project: Project) -> None:
    assert "There is no sweep" in tp("sweep", "list").err
    tp(*NEW)
    broken = project.root / "sweeps" / "broken"
    broken.mkdir()
    (broken / "sweep.toml").write_text("method = 'x'")

    listed = tp("sweep", "list", "--json").lines[0]

    check("sweeps", listed)
    by_name = {each["sweep"]: each for each in listed["sweeps"]}
    assert by_name["s"]["open"] == 2
    assert "method" in by_name["broken"]["problem"]
    assert "broken: " in tp("sweep", "list").err


TP = (sys.executable, "-P", "-c", "from transformer_playground.cli.main import run; run()")


def show(tp: Tp) -> dict[str, Any]:
    """The results of the sweep `s`."""
    document: dict[str, Any] = tp("sweep", "show", "s", "--json").lines[0]
    check("sweep", document)
    return document


def start(project: Project) -> "subprocess.Popen[str]":
    """`tp sweep run s` as a child process."""
    return subprocess.Popen(
        [*TP, "sweep", "run", "s", "--json"],
        cwd=project.root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def follow(process: "subprocess.Popen[str]", state: str) -> None:
    """Wait for a trial in this state."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("state") == state:
            return


def remove_runs(project: Project) -> None:
    """Remove all runs, with their index."""
    shutil.rmtree(project.root / "runs")


def test_a_run_of_a_sweep_is_an_ordinary_run(tp: Tp, project: Project) -> None:
    tp(*NEW)
    tp("sweep", "run", "s")
    run = project.runs[0]

    longer = tp("train", "--resume", run.run_id, "--set", "train.runtime.max_iters=6")

    assert longer.code == 0
    assert read_run_config(RunFolder(run.root))["sweep"]["id"] == "s"


def test_a_search_chooses_its_combinations_from_results_and_goes_on(
    tp: Tp, project: Project
) -> None:
    new = (
        *("sweep", "new", "tiny", "--name", "s", "--method", "tpe", "--runs", "6"),
        *("--set", "learning_rate=1e-4..1e-1:log", "--set", "max_iters=4"),
        *("--set", "eval_interval=2"),
    )
    tp(*new)
    tp("sweep", "run", "s")
    expected = losses(tp)
    assert len(expected) == 6
    remove_runs(project)
    shutil.rmtree(project.root / "sweeps")

    tp(*new)
    folder = find_sweep(project.root / SWEEPS_DIR, "s")
    spec = folder.spec_path.read_text()
    for runs in (2, 4):
        folder.spec_path.write_text(spec.replace("runs = 6", f"runs = {runs}"))
        assert tp("sweep", "run", "s").code == 0
        assert show(tp)["counts"] == counts(finished=runs)
    folder.spec_path.write_text(spec)
    tp("sweep", "run", "s")

    assert losses(tp) == expected


def test_a_search_trains_no_combination_twice_and_ends_when_none_is_left(tp: Tp) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--method", "tpe", "--runs", "9"),
        *("--set", "norm=rmsnorm,layernorm", "--set", "max_iters=2,3"),
    )

    ended = tp("sweep", "run", "s", "--json")

    assert ended.code == 0
    assert ended.lines[-1]["counts"] == counts(finished=4)
    assert len(show(tp)["combinations"]) == 4


def test_axes_that_no_longer_fit_the_search_are_one_sentence(tp: Tp, project: Project) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--method", "tpe", "--runs", "1"),
        *("--set", "norm=rmsnorm,layernorm", "--set", "max_iters=2"),
    )
    tp("sweep", "run", "s")
    spec = find_sweep(project.root / SWEEPS_DIR, "s").spec_path
    spec.write_text(spec.read_text().replace("model.norm", "model.activation"))
    spec.write_text(spec.read_text().replace('["rmsnorm", "layernorm"]', '["gelu", "relu"]'))

    ended = tp("sweep", "show", "s")

    assert ended.code == 2
    assert "does not fit this sweep" in ended.err


def test_runs_of_several_processes_are_refused(tp: Tp) -> None:
    made = tp(*NEW, "--set", "train.distributed.processes=2")

    assert made.code == 2
    assert "train in one process" in made.err


def test_impossible_combinations_are_passed_over_by_a_search(tp: Tp) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--method", "tpe", "--runs", "3"),
        *("--set", "n_head=1,2", "--set", "n_embd=8..16", "--set", "max_iters=2"),
    )

    ended = tp("sweep", "run", "s", "--json")

    assert ended.code == 0
    assert ended.lines[-1]["counts"] == counts(finished=3)


def test_a_damaged_journal_is_one_sentence(tp: Tp, project: Project) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--method", "tpe", "--runs", "2"),
        *("--set", "learning_rate=1e-4..1e-1:log", "--set", "max_iters=2"),
    )
    (project.root / SWEEPS_DIR / "s" / "optuna.jsonl").write_text('{"op_code": "x"}\n')

    ended = tp("sweep", "run", "s")

    assert ended.code == 2
    assert "optuna.jsonl does not fit" in ended.err


HALVING = (
    *("sweep", "new", "tiny", "--name", "s", "--set", "learning_rate=1e-5,1e-4,1e-3,1e-2"),
    *("--set", "max_iters=8", "--set", "eval_interval=2", "--halving", "2", "--factor", "2"),
)


def test_halving_trains_the_better_combinations_on(tp: Tp, project: Project) -> None:
    tp(*HALVING)

    ended = tp("sweep", "run", "s", "--json")

    assert ended.code == 0
    assert ended.lines[-1]["counts"] == counts(finished=1, pruned=3)
    steps = sorted(read_summary(run.metrics_path)[0].step or 0 for run in project.runs)
    assert steps == [2, 2, 4, 8]


def learning_rate(run: RunFolder) -> float:
    """That of a run."""
    rate: float = read_run_config(run)["config"]["train"]["optim"]["learning_rate"]
    return rate


def test_a_pruned_run_can_be_continued_and_equals_one_never_stopped(
    tp: Tp, project: Project
) -> None:
    tp(*HALVING)
    tp("sweep", "run", "s")
    (pruned,) = (run for run in project.runs if learning_rate(run) == 1e-5)
    assert tp("train", "--resume", pruned.run_id).code == 0
    settings = ("optim.learning_rate=1e-5", "runtime.max_iters=8", "runtime.eval_interval=2")
    words = [word for each in settings for word in ("--set", f"train.{each}")]
    assert tp("train", "tiny", "--run-id", "whole", *words).code == 0

    def weights(run: RunFolder) -> dict[str, Any]:
        payload: dict[str, Any] = load_payload(newest_valid(run.checkpoints).path)["model"]
        return payload

    whole, continued = weights(project.run_named("whole")), weights(pruned)
    assert all(torch.equal(whole[name], continued[name]) for name in whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--halving", "3"), "no multiple of train.runtime.eval_interval = 5"),
        (("--halving", "20"), "have only 20 steps"),
        (("--halving", "5", "--set", "max_iters=10,20"), "max_iters cannot vary"),
        (("--factor", "2"), "no effect without --halving"),
        (("--method", "tpe", "--runs", "3", "--halving", "5"), "tpe chooses one by one"),
        (("--sequential",), "at least --seeds 3"),
        (("--method", "random"), "needs --runs"),
        (("--runs", "3"), "no effect on a grid"),
        (("--set", "model.norm=rmsnorm"), "given twice"),
        (("--method", "tpe", "--runs", "3", "--set", "dropout=0.5..1.5"), "model.dropout = 1.5"),
        (("--method", "random", "--runs", "9", "--set", "n_layer=0..1"), "model.n_layer = 0"),
        (("--set", "learning_rate=1e-3,fast"), "learning_rate = "),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tp: Tp, project: Project, words: tuple[str, ...], message: str
) -> None:
    made = tp("sweep", "new", "tiny", "--set", "norm=rmsnorm,layernorm", *words)

    assert made.code == 2
    assert message in " ".join(made.err.split())
    assert not (project.root / "sweeps").exists()


def test_a_sequential_sweep_ends_with_the_seed_that_makes_it_clear(tp: Tp) -> None:
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--set", "learning_rate=1e-6,3e-2"),
        *("--set", "max_iters=6", "--set", "eval_interval=6", "--seeds", "9", "--sequential"),
    )

    ended = tp("sweep", "run", "s", "--json")

    found = ended.lines[-1]["counts"]
    assert 4 <= found["finished"] < 18
    assert found["finished"] + found["pruned"] == 18
    seeds = [line["seed"] for line in ended.lines if line.get("state") == "running"]
    assert seeds == sorted(seeds)


def test_a_sweep_in_which_nothing_varies_is_refused(tp: Tp) -> None:
    assert "Nothing varies" in tp("sweep", "new", "tiny", "--set", "max_iters=4").err


def test_views_are_shown_as_text_written_to_files_and_drawn(tp: Tp, project: Project) -> None:
    tp(*NEW, "--set", "model.n_head=1,2")
    show = ("sweep", "show", "s", "--view")
    assert "No run has a loss yet" in tp(*show, "curves").out
    assert "nothing to draw yet" in tp(*show, "curves", "--svg").err
    tp("sweep", "run", "s")

    assert "norm \\ n_head" in tp(*show, "heatmap", "--x", "n_head").out
    curves = tp(*show, "curves", "--by", "norm", "--json").lines[0]
    check("sweep-view", curves)
    assert [point["step"] for point in curves["points"]] == [0, 2, 4] * 2
    assert tp(*show, "parallel", "--svg").out.startswith("<?xml")
    assert tp(*show, "best", "--csv").out.startswith("model.norm,model.n_head,val_loss")
    for name, start in (("c.svg", b"<?xml"), ("c.png", b"\x89PNG"), ("c.md", b"s: Mean")):
        assert tp(*show, "curves", "--out", str(project.root / name)).out == ""
        assert (project.root / name).read_bytes().startswith(start)
    assert "| :--" in (project.root / "c.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--svg",), "shows one view"),
        (("--out", "x.svg"), "shows one view"),
        (("--out", "x.pdf"), "its extension is unknown"),
        (("--csv", "--json"), "mutually exclusive"),
        (("--view", "best", "--x", "norm"), "--x has no effect without --view heatmap"),
        (("--by", "norm"), "--by has no effect without --view curves"),
        (("--view", "heatmap"), "needs two settings"),
        (("--view", "curves", "--by", "n_layer"), "n_layer does not vary"),
    ],
)
def test_views_that_cannot_be_shown_are_refused(
    tp: Tp, words: tuple[str, ...], message: str
) -> None:
    tp(*NEW)

    shown = tp("sweep", "show", "s", *words)

    assert shown.code == 2
    assert message in " ".join(shown.err.split())
