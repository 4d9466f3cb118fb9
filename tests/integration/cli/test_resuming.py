"""What a resumed run keeps: its dataset, its model and its settings; and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from builders.commands import CONFIG, Ended, Project, Tp
from builders.metrics import read_rows
from transformer_playground.cli.main import run_app
from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.folder import read_run_config
from transformer_playground.tp_tui import application
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.tui.launch.service import check_launch, preview


def dataset(project: Project) -> dict[str, bytes]:
    return {
        name: content
        for name, content in project.files().items()
        if name.startswith("experiments/tiny/datasets/")
    }


def last_step(project: Project, run_id: str = "first") -> int:
    return int(read_rows(project.run_named(run_id).metrics_path)[-1]["step"])


def notices(ended: Ended) -> list[str]:
    return [line for line in ended.err.splitlines() if "the run's" in line]


def change_text(project: Project) -> None:
    project.raw.write_text(project.raw.read_text() + "One more line, and a new sign: %\n" * 9)


@pytest.mark.parametrize(
    "words",
    [["tiny", "--resume"], ["tiny", "--run-id", "first"], ["--resume", "first"]],
    ids=" ".join,
)
def test_the_whole_job_resumes_on_the_dataset_that_the_run_began_with(
    trained: Project, tp: Tp, words: list[str]
) -> None:
    before = dataset(trained)
    change_text(trained)
    ended = tp("loop", *words, "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert last_step(trained) == 22
    assert dataset(trained) == before


def test_the_job_without_a_screen_resumes_on_the_dataset_that_the_run_began_with(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dataset(trained)
    change_text(trained)
    monkeypatch.chdir(trained.root)
    longer = ["--set", "train.runtime.max_iters=22"]
    assert run_app(application(), ["--run", "tiny", "--resume", "first", *longer]) == 0
    assert last_step(trained) == 22
    assert dataset(trained) == before


def test_a_branch_keeps_the_dataset_of_its_parent(trained: Project) -> None:
    before = dataset(trained)
    change_text(trained)
    folders = trained.root / "experiments", trained.root / "runs"
    launch = Launch("tiny", run_id="twig", branch=("first", "last"))
    assert preview(*folders, launch).data == "kept"
    assert resolve_launch(*folders, launch).prepare(print) is None
    assert dataset(trained) == before


@pytest.mark.parametrize("words", [["--resume"], ["--run-id", "first"]], ids=" ".join)
def test_a_resume_that_is_to_rebuild_the_dataset_is_refused(
    trained: Project, tp: Tp, words: list[str]
) -> None:
    change_text(trained)
    before = trained.files()
    ended = tp("loop", "tiny", *words, "--force")
    assert ended.code == 2
    assert "--force would rebuild the dataset that run 'first' needs unchanged" in ended.err
    assert trained.files() == before


def test_a_missing_dataset_is_prepared_as_the_run_began_with_it(trained: Project, tp: Tp) -> None:
    before = dataset(trained)
    shutil.rmtree(trained.experiment / "datasets")
    # What the file says now would make another dataset.
    config = trained.experiment / "config.toml"
    config.write_text(CONFIG + "\n[prepare]\nval_fraction = 0.3\n")
    ended = tp("loop", "tiny", "--resume", "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert notices(ended) == [
        "prepare.val_fraction: keeping the run's 0.1 (the experiment has 0.3)"
    ]
    assert last_step(trained) == 22
    assert {name for name in before if name.endswith(".bin")} <= dataset(trained).keys()


def test_a_run_of_another_experiment_is_refused_before_anything_is_prepared(
    trained: Project, tp: Tp
) -> None:
    other = trained.root / "experiments" / "other"
    shutil.copytree(trained.experiment, other)
    shutil.rmtree(other / "datasets")
    before = trained.files()
    ended = tp("loop", "other", "--resume", "first")
    assert ended.code == 2
    assert "run 'first' belongs to experiment 'tiny', not to 'other'" in ended.err
    assert trained.files() == before


@pytest.mark.parametrize("verb", ["train", "loop"])
def test_resuming_again_and_again_says_nothing_without_a_cause(
    trained: Project, tp: Tp, verb: str
) -> None:
    for steps in (22, 24, 26):
        ended = tp(verb, "tiny", "--resume", "--set", f"train.runtime.max_iters={steps}")
        assert ended.code == 0, ended.err
        # The number of steps is the run's own from now on.
        config = trained.experiment / "config.toml"
        config.write_text(CONFIG.replace("max_iters = 20", f"max_iters = {steps}"))
        assert notices(ended) == []
    assert read_run_config(trained.run_named("first"))["config"]["model"]["vocab_size"] is None


def test_what_training_once_filled_in_is_no_difference(trained: Project, tp: Tp) -> None:
    run = trained.run_named("first")
    record = json.loads(run.config_path.read_text())
    # Earlier versions wrote it down when a run was resumed.
    record["config"]["model"]["vocab_size"] = record["dataset"]["vocab_size"]
    run.config_path.write_text(json.dumps(record))
    assert notices(tp("train", "tiny", "--resume")) == []
    record["config"]["model"]["vocab_size"] += 8
    run.config_path.write_text(json.dumps(record))
    assert len(notices(tp("train", "tiny", "--resume"))) == 2


def said_in_console(project: Project, launch: Launch) -> str:
    return check_launch(project.root / "experiments", project.root / "runs", launch)


MODEL = "cannot be set: a run keeps the model it was trained with"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.n_layer=0", f"model.n_layer = 0 {MODEL} (2)"),
        ("model.n_layer=3", f"model.n_layer = 3 {MODEL} (2)"),
        ("model.dropout=0.1", f"model.dropout = 0.1 {MODEL} (0.0)"),
        ("model.vocab_size=900", f"model.vocab_size = 900 {MODEL} (none)"),
        ("experiment.kind=lora", "a run keeps the kind it was trained with"),
        ("prepare.val_fraction=0.3", "a run keeps the dataset it was trained with (0.1)"),
        ("train.optim.optimizer=muon", "a run keeps the optimizer it was trained with"),
    ],
)
def test_an_override_that_a_resume_cannot_take_is_refused_everywhere(
    trained: Project, tp: Tp, override: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trained.files()
    sentences = set()
    for words in (["--resume"], ["--run-id", "first"]):
        for verb in ("train", "loop"):
            ended = tp(verb, "tiny", *words, "--set", override)
            assert ended.code == 2
            sentences.add(ended.err.removeprefix("error: ").strip())
    monkeypatch.chdir(trained.root)
    sentences.add(said_in_console(trained, Launch("tiny", (override,), resume="first")))
    (sentence,) = sentences
    assert said in sentence
    assert sentence.startswith("--set: ")
    assert trained.files() == before


def test_a_branch_refuses_another_model_but_takes_another_optimizer(trained: Project) -> None:
    launch = Launch("tiny", ("model.n_layer=3",), branch=("first", "last"))
    assert MODEL in said_in_console(trained, launch)
    launch = Launch("tiny", ("train.optim.optimizer=muon",), branch=("first", "last"))
    assert said_in_console(trained, launch) == ""


def test_an_override_that_says_what_the_run_has_is_taken(trained: Project, tp: Tp) -> None:
    vocab_size = read_run_config(trained.run_named("first"))["dataset"]["vocab_size"]
    same = ("model.n_layer=2", f"model.vocab_size={vocab_size}", "prepare.val_fraction=0.1")
    words = [word for override in same for word in ("--set", override)]
    ended = tp("train", "tiny", "--resume", *words, "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert notices(ended) == []
    assert last_step(trained) == 22


def test_a_stated_file_with_another_model_is_refused(trained: Project, tp: Tp) -> None:
    path = Path("experiments/tiny/deeper.toml")
    (trained.root / path).write_text(CONFIG.replace("n_layer = 2", "n_layer = 3"))
    before = trained.files()
    ended = tp("train", "tiny", "--config", path, "--run-id", "first")
    assert ended.code == 2
    assert f"error: {path}: model.n_layer = 3 {MODEL} (2)" in ended.err
    assert trained.files() == before
    (trained.root / path).write_text(CONFIG.replace("= 20", "= 22"))
    assert tp("train", "tiny", "--config", path, "--run-id", "first").code == 0
    assert last_step(trained) == 22


def test_the_environment_cannot_change_the_optimizer_of_a_run(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "ML_PLAYGROUND_TRAIN_OVERRIDES"
    monkeypatch.setenv(variable, '{"optim": {"optimizer": "muon"}}')
    ended = tp("train", "tiny", "--resume")
    assert ended.code == 2
    assert ended.err.startswith(f'error: {variable}: train.optim.optimizer = "muon" cannot be set')


def test_a_setting_that_does_not_exist_is_reported_as_such(trained: Project) -> None:
    launch = Launch("tiny", ("model.n_lager=3",), resume="first")
    with pytest.raises(PlaygroundError, match="did you mean"):
        resolve_launch(trained.root / "experiments", trained.root / "runs", launch)
