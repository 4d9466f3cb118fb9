"""What a resumed run keeps: its dataset, its model and its settings; and what it refuses."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from builders.commands import CONFIG, Ended, Project, Tp
from builders.metrics import read_rows
from transformer_playground.cli.app import run_app
from transformer_playground.cli.train import resume_command
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
    longer = ("train.runtime.max_iters=22",)
    launch = Launch("tiny", longer, run_id="twig", branch=("first", "last"))
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
    saved = read_run_config(trained.run_named("first"))["config"]
    assert saved["prepare"]["val_fraction"] == 0.1
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
def test_resuming_again_and_again_reports_only_what_the_command_changes(
    trained: Project, tp: Tp, verb: str
) -> None:
    before = read_run_config(trained.run_named("first"))
    for steps in (22, 24, 26):
        ended = tp(verb, "tiny", "--resume", "--set", f"train.runtime.max_iters={steps}")
        assert ended.code == 0, ended.err
        assert notices(ended) == [
            f"train.runtime.max_iters: {steps} instead of the run's {steps - 2}"
        ]
    after = read_run_config(trained.run_named("first"))
    before["config"]["train"]["runtime"]["max_iters"] = 26
    before["provenance"]["train.runtime.max_iters"] = "--set"
    assert after == before


@pytest.mark.parametrize("extra", [[], ["--json"]], ids=str)
def test_resuming_a_finished_run_changes_nothing_in_it(
    trained: Project, tp: Tp, extra: list[str]
) -> None:
    before = trained.files()
    ended = tp("train", "tiny", "--resume", *extra)
    assert ended.code == 0, ended.err
    assert ended.err == (
        "run 'first' has finished at step 20 of 20 and is unchanged; "
        "to train on, add --set train.runtime.max_iters=40\n"
    )
    assert tp("loop", "--resume", "first").code == 0
    # Another setting is no reason to write to it either.
    assert tp("train", "tiny", "--resume", "--set", "train.runtime.seed=5").code == 0
    assert trained.files() == before


def test_resuming_a_run_that_stopped_early_names_the_setting_that_stopped_it(
    trained: Project, tp: Tp
) -> None:
    early = ["train.runtime.early_stop_patience=1", "train.runtime.early_stop_min_delta=9"]
    words = [word for setting in early for word in ("--set", setting)]
    assert tp("train", "tiny", "--run-id", "early", *words).code == 0
    step = last_step(trained, "early")
    assert step < 20
    before = trained.files()
    ended = tp("train", "tiny", "--resume", "early", "--set", "train.runtime.max_iters=30")
    assert f"has stopped early at step {step} of 30 and is unchanged" in ended.err
    assert trained.files() == before
    how = ended.err.strip().rpartition(" add ")[2].split()
    assert tp("train", "tiny", "--resume", "early", *how).code == 0
    assert last_step(trained, "early") == 20


def test_a_killed_run_is_finished_even_if_no_step_is_left(trained: Project, tp: Tp) -> None:
    path = trained.run_named("first").metrics_path
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:-1]))
    assert tp("train", "tiny", "--resume").code == 0
    assert read_rows(path)[-1]["status"] == "finished"


def resume_words(project: Project, run_id: str) -> list[str]:
    folders = {"experiments_dir": project.root / "experiments", "runs_dir": project.root / "runs"}
    return shlex.split(resume_command(run_id, **folders))[1:]


def test_the_printed_command_resumes_a_run_without_the_file_it_was_started_with(
    trained: Project, tp: Tp
) -> None:
    loose = trained.root / "loose.toml"
    folder = f'\n[prepare]\ndataset_dir = "{trained.experiment / "datasets"}"\n'
    loose.write_text(CONFIG + folder)
    settings = ("train.optim.learning_rate=0.004", "train.runtime.seed=11")
    started = [word for setting in settings for word in ("--set", setting)]
    assert tp("train", "--config", "loose.toml", "--run-id", "own", *started).code == 0
    before = read_run_config(trained.run_named("own"))
    assert before["experiment"] == "loose"
    loose.unlink()
    longer = ["--set", "train.runtime.max_iters=22"]
    ended = tp(*resume_words(trained, "own"), *longer)
    assert ended.code == 0, ended.err
    assert last_step(trained, "own") == 22
    after = read_run_config(trained.run_named("own"))
    before["config"]["train"]["runtime"]["max_iters"] = 22
    before["provenance"]["train.runtime.max_iters"] = "--set"
    assert after == before


def keep_only_the_dataset(project: Project) -> None:
    """Delete the experiment; its dataset moves to where the run's record says it is."""
    moved = project.root / "kept"
    (project.experiment / "datasets").rename(moved)
    shutil.rmtree(project.experiment)
    run = project.run_named("first")
    record = json.loads(run.config_path.read_text())
    record["config"]["prepare"]["dataset_dir"] = str(moved)
    run.config_path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    "words",
    [["--resume", "first"], ["tiny", "--resume"], ["tiny", "--run-id", "first"]],
    ids=" ".join,
)
@pytest.mark.parametrize("verb", ["train", "loop"])
def test_a_run_is_resumed_without_its_experiment(
    trained: Project, tp: Tp, verb: str, words: list[str]
) -> None:
    keep_only_the_dataset(trained)
    before = read_run_config(trained.run_named("first"))
    ended = tp(verb, *words, "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert last_step(trained) == 22
    assert not trained.experiment.exists()
    after = read_run_config(trained.run_named("first"))
    assert after["config"]["prepare"] == before["config"]["prepare"]


def test_a_run_is_branched_without_its_experiment(trained: Project) -> None:
    keep_only_the_dataset(trained)
    folders = trained.root / "experiments", trained.root / "runs"
    launch = Launch("tiny", ("train.runtime.max_iters=22",), branch=("first", "last"))
    shown = preview(*folders, launch)
    assert not shown.problem
    assert resolve_launch(*folders, launch).prepare(print) is None


def test_without_experiment_and_dataset_the_sentence_names_both(trained: Project, tp: Tp) -> None:
    keep_only_the_dataset(trained)
    shutil.rmtree(trained.root / "kept")
    before = trained.files()
    ended = tp("loop", "--resume", "first")
    assert ended.code == 2
    assert "There is no experiment 'tiny'. The dataset of run 'first' is not in" in ended.err
    assert trained.files() == before


def test_a_run_is_resumed_although_its_experiment_is_broken(trained: Project, tp: Tp) -> None:
    run = trained.run_named("first")
    before = read_run_config(run)["config"]
    (trained.experiment / "config.toml").write_text("[model]\nn_layer = -1\n")
    ended = tp("train", "tiny", "--resume", "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert "n_layer" in ended.err
    assert "Using the settings in" in ended.err
    before["train"]["runtime"]["max_iters"] = 22
    assert read_run_config(run)["config"] == before


def test_a_run_is_resumed_in_a_project_that_was_moved(
    trained: Project, tp: Tp, tmp_path: Path
) -> None:
    before = read_run_config(trained.run_named("first"))
    there = trained.root.rename(tmp_path / "moved")
    trained.root.mkdir()
    folders = ["--experiments-dir", there / "experiments", "--runs-dir", there / "runs"]
    ended = tp("loop", "--resume", "first", "--set", "train.runtime.max_iters=22", *folders)
    assert ended.code == 0, ended.err
    assert len(notices(ended)) == 1
    after = read_run_config(Project(there).run_named("first"))
    assert after["config"]["prepare"] == {
        **before["config"]["prepare"],
        "raw_dir": str(there / "experiments/tiny/raw"),
        "dataset_dir": str(there / "experiments/tiny/datasets"),
    }
    assert after["provenance"] == {**before["provenance"], "train.runtime.max_iters": "--set"}


def test_a_run_finds_its_dataset_although_the_experiment_now_names_another(
    trained: Project, tp: Tp
) -> None:
    config = trained.experiment / "config.toml"
    config.write_text(CONFIG + '\n[prepare]\ndataset_dir = "other"\nval_fraction = 0.3\n')
    assert tp("prepare", "tiny").code == 0
    run = trained.run_named("first")
    before = read_run_config(run)["config"]["prepare"]
    ended = tp("train", "tiny", "--resume", "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert read_run_config(run)["config"]["prepare"] == before


def test_a_vocabulary_size_that_training_once_filled_in_is_unset_again(
    trained: Project, tp: Tp
) -> None:
    run = trained.run_named("first")
    record = json.loads(run.config_path.read_text())
    # Earlier versions wrote it down when a run was resumed.
    size = record["config"]["model"]["vocab_size"] = record["dataset"]["vocab_size"]
    run.config_path.write_text(json.dumps(record))
    same = ["--set", f"model.vocab_size={size}", "--set", "train.runtime.max_iters=22"]
    ended = tp("train", "tiny", "--resume", *same)
    assert len(notices(ended)) == 1
    assert read_run_config(run)["config"]["model"]["vocab_size"] is None


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
    changes = ("train.optim.optimizer=muon", "train.runtime.max_iters=22")
    launch = Launch("tiny", changes, branch=("first", "last"))
    assert said_in_console(trained, launch) == ""


def test_an_override_that_says_what_the_run_has_is_taken(trained: Project, tp: Tp) -> None:
    vocab_size = read_run_config(trained.run_named("first"))["dataset"]["vocab_size"]
    same = ("model.n_layer=2", f"model.vocab_size={vocab_size}", "prepare.val_fraction=0.1")
    words = [word for override in same for word in ("--set", override)]
    ended = tp("train", "tiny", "--resume", *words, "--set", "train.runtime.max_iters=22")
    assert ended.code == 0, ended.err
    assert len(notices(ended)) == 1
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


@pytest.mark.parametrize("value", ["5", "true", "data", "[1]"])
def test_a_table_that_is_set_to_a_value_is_one_sentence(
    trained: Project, tp: Tp, value: str
) -> None:
    ended = tp("train", "tiny", "--resume", "first", "--set", f"train={value}")
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "train" in ended.err
