"""The verbs that prepare, train and list: what they leave and what they say."""

import json
import shutil
from typing import Any

import pytest

from builders.commands import Project, Tp
from builders.schemas import check
from transformer_playground.runs.metrics import read_raw_rows

ARTIFACTS = {"train.bin", "val.bin", "meta.pkl"}


def record(project: Project, run_id: str) -> dict[str, Any]:
    loaded = json.loads(project.run_named(run_id).config_path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_prepare_tells_created_from_refreshed_and_up_to_date(project: Project, tp: Tp) -> None:
    first, again, forced = (
        tp("prepare", "tiny", "--json", *more) for more in ([], [], ["--force"])
    )
    assert set(first.lines[0]["created"]) == ARTIFACTS
    assert set(again.lines[0]["skipped"]) == ARTIFACTS
    assert set(forced.lines[0]["refreshed"]) == ARTIFACTS
    project.raw.write_text(project.raw.read_text() * 2)
    assert set(tp("prepare", "tiny", "--json").lines[0]["refreshed"]) == ARTIFACTS
    plain = tp("prepare", "tiny")
    assert plain.code == 0
    assert "train.bin" in plain.out


def test_experiments_say_whether_their_data_is_prepared(project: Project, tp: Tp) -> None:
    def listed() -> dict[str, Any]:
        (row,) = tp("experiments", "--json").lines[0]
        assert isinstance(row, dict)
        return row

    assert listed()["data"] == "missing"
    tp("prepare", "tiny")
    assert listed()["data"] == "prepared"
    project.raw.write_text(project.raw.read_text() + "more\n")
    assert listed()["data"] == "stale"
    assert listed()["description"] == "bottles on a wall"
    (project.experiment / "config.toml").write_text("[model]\nn_lager = 2\n")
    assert listed()["data"] == "broken"
    assert "n_lager" in tp("experiments").out


def test_a_folder_that_cannot_be_an_experiment_is_listed_with_the_reason(
    project: Project, tp: Tp
) -> None:
    shutil.copytree(project.experiment, project.experiment.with_name("mein Text"))
    first, second = tp("experiments", "--json").lines[0]
    check("experiments", [first, second])
    assert (first["experiment"], first["kind"], first["data"]) == ("mein Text", "?", "broken")
    assert "letters, digits" in first["description"]
    assert second["experiment"] == "tiny"
    assert "'mein Text' is not an experiment name" in tp("experiments").out
    shutil.rmtree(project.experiment)
    rows = tp("experiments", "--json").lines[0]
    assert {"mein Text", "shakespeare"} <= {row["experiment"] for row in rows}


def test_an_empty_project_has_a_hint(project: Project, tp: Tp) -> None:
    assert "tp loop" in tp("runs").out
    assert tp("runs", "--json").lines == [[]]
    shutil.rmtree(project.root / "experiments")
    ended = tp("experiments")
    assert "shakespeare" in ended.out
    assert "tp new" in ended.err


def test_runs_lists_the_results_of_a_run(trained: Project, tp: Tp) -> None:
    ((row,),) = tp("runs", "--json").lines
    assert row["run_id"] == "first"
    assert (row["state"], row["step"], row["max_iters"]) == ("finished", 20, 20)
    plain = tp("runs").out
    assert all(text in plain for text in ("first", "finished", "20/20"))


def test_a_setting_says_where_it_came_from(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_PLAYGROUND_TRAIN_OVERRIDES", '{"runtime": {"max_iters": 3, "seed": 4}}')
    monkeypatch.setenv("ML_PLAYGROUND_SAMPLE_OVERRIDES", '{"sample": {"top_k": 2}}')
    assert tp("train", "tiny", "--run-id", "r", "--set", "train.runtime.seed=5").code == 0
    saved = record(trained, "r")
    runtime = saved["config"]["train"]["runtime"]
    assert (runtime["max_iters"], runtime["seed"]) == (3, 5)
    assert saved["config"]["sample"]["sample"]["top_k"] == 2
    provenance = saved["provenance"]
    assert provenance["train.runtime.max_iters"] == "ML_PLAYGROUND_TRAIN_OVERRIDES"
    assert provenance["sample.sample.top_k"] == "ML_PLAYGROUND_SAMPLE_OVERRIDES"
    assert provenance["train.runtime.seed"] == "--set"
    assert provenance["model.n_embd"].endswith("config.toml")
    assert "train.optim.beta2" not in provenance
    assert saved["environment"]["seed"] == 5


def test_another_config_file_can_be_trained(trained: Project, tp: Tp) -> None:
    text = (trained.experiment / "config.toml").read_text().replace("= 20", "= 2")
    (trained.experiment / "short.toml").write_text(text)
    config = "experiments/tiny/short.toml"
    assert tp("train", "tiny", "--config", config, "--run-id", "named").code == 0
    assert tp("train", "--config", config, "--run-id", "alone").code == 0
    for run_id in ("named", "alone"):
        saved = record(trained, run_id)
        assert saved["experiment"] == "tiny"
        assert saved["config"]["train"]["runtime"]["max_iters"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["tiny", "--run-id", "first"],
        ["tiny", "--resume", "first"],
        ["tiny", "--resume", "fir"],
        ["--resume", "first"],
        ["--run-id", "first"],
        ["tiny", "--resume"],
    ],
    ids=" ".join,
)
def test_a_run_can_be_resumed_by_any_of_its_names(
    trained: Project, tp: Tp, words: list[str]
) -> None:
    ended = tp("train", *words, "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert [run.run_id for run in trained.runs] == ["first"]
    rows = read_raw_rows(trained.run_named("first").metrics_path)
    assert [row["step"] for row in rows if row["event"] == "resume"] == [20]
    assert [row["step"] for row in rows if row["event"] == "train"] == [*range(1, 23)]


def test_a_resumed_run_keeps_its_model(trained: Project, tp: Tp) -> None:
    config = trained.experiment / "config.toml"
    config.write_text(config.read_text().replace("n_embd = 16", "n_embd = 32"))
    ended = tp("train", "tiny", "--run-id", "first", "--set", "train.runtime.max_iters=21")
    assert ended.code == 0, ended.err
    assert "n_embd" not in ended.err
    assert record(trained, "first")["config"]["model"]["n_embd"] == 16


def test_the_same_seed_trains_the_same_run(trained: Project, tp: Tp) -> None:
    def losses(run_id: str) -> list[float]:
        rows = read_raw_rows(trained.run_named(run_id).metrics_path)
        return [row["train_loss"] for row in rows if row["event"] == "train"]

    assert tp("train", "tiny", "--run-id", "again").code == 0
    assert tp("train", "tiny", "--run-id", "other", "--set", "train.runtime.seed=2").code == 0
    assert losses("first") == losses("again") != losses("other")


def test_a_run_without_a_name_is_named_after_its_experiment(trained: Project, tp: Tp) -> None:
    ended = tp("train", "tiny", "--json", "--set", "train.runtime.max_iters=2")
    summary = ended.lines[-1]
    assert summary["event"] == "summary"
    assert summary["run_id"].startswith("tiny-")
    assert summary["run_id"] in {run.run_id for run in trained.runs}


@pytest.mark.parametrize("template", ["char", "gpt2", "sentencepiece"])
def test_a_new_experiment_trains_without_changes(project: Project, tp: Tp, template: str) -> None:
    made = tp("new", "mine", "--template", template)
    assert made.code == 0
    assert "tp loop mine" in made.out
    ended = tp(
        *("loop", "mine", "--json"),
        *("--set", "train.runtime.max_iters=1", "--set", "train.runtime.eval_iters=1"),
        *("--set", "train.data.batch_size=1", "--set", "train.schedule.warmup_iters=0"),
        *("--set", "train.runtime.device=cpu", "--set", "train.runtime.dtype=float32"),
        *("--set", "model.n_layer=1", "--set", "sample.sample.max_new_tokens=4"),
    )
    assert ended.code == 0, ended.err
    assert [line["event"] for line in ended.lines[-2:]] == ["summary", "sample"]


def test_a_resumed_run_keeps_the_settings_it_was_started_with(trained: Project, tp: Tp) -> None:
    settings = ("train.optim.learning_rate=0.004", "train.runtime.seed=11")
    started = [word for setting in settings for word in ("--set", setting)]
    assert tp("train", "tiny", "--run-id", "own", *started).code == 0
    resumed = tp("train", "tiny", "--run-id", "own", "--set", "train.runtime.max_iters=24")
    assert resumed.code == 0, resumed.err
    assert "train.runtime.max_iters: 24 instead of the run's 20" in resumed.err
    assert "learning_rate" not in resumed.err
    saved = record(trained, "own")["config"]["train"]
    assert saved["optim"]["learning_rate"] == 0.004
    assert saved["runtime"]["seed"] == 11
    assert saved["runtime"]["max_iters"] == 24
