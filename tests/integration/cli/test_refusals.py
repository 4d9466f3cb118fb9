"""Whatever is wrong: one sentence, the mend, an exit code, and nothing half-written."""

import os
import pickle
import resource
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.checkpoints import flip_byte
from builders.commands import Ended, Project, Tp
from builders.metrics import read_rows
from transformer_playground.runs.status import RunLock, derive_status

SMALLEST = ["--set", "train.runtime.max_iters=2", "--set", "train.runtime.eval_interval=2"]


def assert_refused(ended: Ended, code: int, *said: str) -> None:
    """One sentence that says these things, at most one more for the mend, no traceback."""
    assert ended.code == code, ended.err
    complaints = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(complaints) == 1, ended.err
    assert "Traceback" not in ended.err
    missing = [text for text in said if text.lower() not in ended.err.lower()]
    assert not missing, f"{missing} not in: {ended.err}"


@pytest.fixture
def unchanged(project: Project) -> Callable[[], None]:
    """Checks at its call that no file of the project has changed since its first use."""
    before: list[dict[str, bytes]] = []

    def check() -> None:
        if before:
            assert project.files().keys() == before[0].keys()
            assert project.files() == before[0]
        else:
            before.append(project.files())

    return check


@pytest.mark.parametrize("verb", ["prepare", "train", "loop"])
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.runtime.max_iter=3", ["max_iter", "max_iters"]),
        ("trian.runtime.max_iters=3", ["trian", "train"]),
        ("train.runtime.max_iters=many", ["train.runtime.max_iters", "many", "whole number"]),
        ("model.n_embd=15", ["n_embd", "n_head"]),
        ("train.schedule.min_lr=1", ["min_lr", "learning_rate"]),
        ("train.runtime.dtype=float16", ["float16"]),
        ("train.checkpointing.keep.last=-1", ["keep.last", "-1"]),
        ("no equals sign", ["--set"]),
    ],
)
def test_a_wrong_setting_is_named(
    tp: Tp, unchanged: Callable[[], None], verb: str, setting: str, said: list[str]
) -> None:
    unchanged()
    assert_refused(tp(verb, "tiny", "--set", setting), 2, *said)
    unchanged()


def test_a_syntax_error_names_its_file_and_line(
    project: Project, tp: Tp, unchanged: Callable[[], None]
) -> None:
    (project.experiment / "config.toml").write_text("[model]\nn_layer = = 2\n")
    unchanged()
    assert_refused(tp("loop", "tiny"), 2, "config.toml", "line 2")
    unchanged()


def test_a_wrong_environment_override_is_named(
    tp: Tp, unchanged: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_PLAYGROUND_TRAIN_OVERRIDES", "{not json")
    unchanged()
    assert_refused(tp("train", "tiny"), 2, "ML_PLAYGROUND_TRAIN_OVERRIDES")
    unchanged()


def test_training_without_a_dataset_says_how_to_make_it(
    tp: Tp, unchanged: Callable[[], None]
) -> None:
    unchanged()
    assert_refused(tp("train", "tiny"), 1, "tp prepare tiny")
    unchanged()


def test_the_command_that_makes_a_missing_dataset_works(project: Project, tp: Tp) -> None:
    project.experiment.joinpath("config.toml").rename(project.experiment / "my own.toml")
    config = ["--config", "experiments/tiny/my own.toml"]
    fraction = ["--set", "prepare.val_fraction=0.2", "--set", "train.runtime.max_iters=2"]
    ended = tp("train", *config, *fraction)
    assert ended.code == 1
    command = shlex.split(ended.err.partition("Run `")[2].partition("`")[0])
    assert command == ["tp", "prepare", *config, *fraction[:2]]
    assert tp(*command[1:]).code == 0
    assert tp("train", *config, *fraction, "--run-id", "r").code == 0
    shutil.rmtree(project.experiment / "datasets")
    ended = tp("train", *config, "--run-id", "r", "--set", "train.runtime.max_iters=4")
    command = shlex.split(ended.err.partition("Run `")[2].partition("`")[0])
    assert command == ["tp", "loop", "--resume", "r"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no text"),
        (b"  \n\n \n", "no text"),
        (b"caf\xe9 au lait, " * 50, "utf-8"),
    ],
    ids=["empty", "blank", "not UTF-8"],
)
@pytest.mark.parametrize("verb", ["prepare", "loop"])
def test_an_unusable_corpus_leaves_nothing(
    project: Project, tp: Tp, unchanged: Callable[[], None], verb: str, raw: bytes, said: str
) -> None:
    project.raw.write_bytes(raw)
    unchanged()
    assert_refused(tp(verb, "tiny"), 1, "input.txt" if said == "utf-8" else "raw")
    unchanged()


def test_a_corpus_shorter_than_a_block_starts_no_run(project: Project, tp: Tp) -> None:
    project.raw.write_text("1 bottle hangs on it")
    assert_refused(tp("loop", "tiny"), 1, "block")
    assert project.runs == []


class Payload:
    """Runs a command when it is unpickled carelessly."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("where", ["dataset", "run"])
def test_a_malicious_meta_is_refused_and_does_not_run(
    trained: Project, tp: Tp, unchanged: Callable[[], None], tmp_path: Path, where: str
) -> None:
    witness = tmp_path / "witness"
    folders = {
        "dataset": trained.experiment / "datasets",
        "run": trained.run_named("first").tokenizer,
    }
    content = pickle.dumps({"vocab_size": Payload(witness)})
    (folders[where] / "meta.pkl").write_bytes(content)
    unchanged()
    command = ["train", "tiny"] if where == "dataset" else ["sample", "first"]
    assert_refused(tp(*command), 1, "meta.pkl")
    unchanged()
    assert not witness.exists()
    pickle.loads(content)
    assert witness.exists(), "the payload is harmless, so the test shows nothing"


def test_a_prompt_with_unknown_characters_names_them(
    trained: Project, tp: Tp, unchanged: Callable[[], None]
) -> None:
    unchanged()
    assert_refused(tp("sample", "first", "--prompt", "7 Bücher"), 1, "'ü'", "'B'")
    assert_refused(tp("train", "tiny", "--set", "sample.sample.start=é"), 1, "'é'")
    unchanged()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--prompt", ""], "prompt"),
        (["--prompt", "FILE:nowhere.txt"], "nowhere.txt"),
        (["--checkpoint", "../../secret.pt"], "checkpoint"),
        (["--checkpoint", "ckpt_last_99999999.pt"], "ckpt_last_00000020.pt"),
        (["--top-p", "1.5"], "top_p"),
        (["--top-p", "0"], "top_p"),
        (["--temperature", "-1"], "temperature"),
        (["--n-samples", "0"], "n-samples"),
        (["--max-new-tokens", "few"], "max-new-tokens"),
    ],
)
def test_wrong_sampling_flags_are_named(
    trained: Project, tp: Tp, unchanged: Callable[[], None], flags: list[str], said: str
) -> None:
    unchanged()
    ended = tp("sample", "first", *flags)
    assert_refused(ended, ended.code, said)
    assert ended.code in (1, 2)
    unchanged()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def make_foreign(path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {}}, path)


def drop_sidecar(path: Path) -> None:
    path.with_suffix(".json").unlink()
    make_foreign(path)


@pytest.mark.parametrize("damage", [truncate, flip_byte, make_foreign, drop_sidecar])
def test_damaged_checkpoints_are_neither_sampled_nor_resumed(
    trained: Project, tp: Tp, damage: Callable[[Path], None]
) -> None:
    run = trained.run_named("first")
    for path in {path.resolve() for path in run.checkpoints.glob("*.pt")}:
        damage(path)
    before = trained.files()
    assert_refused(tp("sample", "first"), 1, "checkpoint")
    assert_refused(tp("sample", "first", "--checkpoint", "last"), 1, "checkpoint")
    assert_refused(tp("train", "tiny", "--run-id", "first"), 1, "checkpoint")
    assert_refused(tp("train", "--resume", "first"), 1, "checkpoint")
    assert trained.files() == before


def test_one_damaged_checkpoint_is_skipped_with_a_notice(trained: Project, tp: Tp) -> None:
    run = trained.run_named("first")
    newest = run.checkpoints / "ckpt_last_00000020.pt"
    for pattern in ("best*", "ckpt_best*", "last*"):
        for path in run.checkpoints.glob(pattern):
            path.unlink()
    flip_byte(newest)
    ended = tp("train", "tiny", "--run-id", "first")
    assert ended.code == 0, ended.err
    assert newest.name in ended.err
    assert "at step 15" in ended.out


@pytest.mark.parametrize(
    "run_id",
    ["../x", "..", ".", "", "/elsewhere/x", "a/b", "a\nb", "a\x1b[31m", ".hidden", "x" * 101],
)
@pytest.mark.parametrize("verb", ["train", "loop"])
def test_a_run_id_that_leaves_the_folder_is_refused(
    project: Project, tp: Tp, unchanged: Callable[[], None], verb: str, run_id: str
) -> None:
    unchanged()
    assert_refused(tp(verb, "tiny", "--run-id", run_id), 2, "run id")
    unchanged()
    assert not (project.root / "runs").exists()


@pytest.mark.parametrize("name", ["../first", "/elsewhere", ".", "..", "first/../first"])
def test_sampling_and_resuming_stay_inside_the_runs_folder(
    trained: Project, tp: Tp, unchanged: Callable[[], None], name: str
) -> None:
    unchanged()
    assert_refused(tp("sample", name), 2, "run")
    assert_refused(tp("train", "tiny", "--resume", name), 2, "run")
    unchanged()


def test_a_run_folder_that_is_a_link_elsewhere_is_refused(
    trained: Project, tp: Tp, tmp_path: Path
) -> None:
    elsewhere = shutil.move(trained.run_named("first").root, tmp_path / "elsewhere")
    trained.run_named("first").root.symlink_to(elsewhere)
    assert_refused(tp("sample", "first"), 2, "link")
    assert_refused(tp("train", "tiny", "--run-id", "first"), 2, "link")


def test_a_run_that_is_being_written_names_its_writer(trained: Project, tp: Tp) -> None:
    run = trained.run_named("first")
    with RunLock(run):
        before = run.metrics_path.read_bytes()
        assert_refused(tp("train", "tiny", "--run-id", "first"), 1, "first", str(os.getpid()))
        assert run.metrics_path.read_bytes() == before
        assert tp("sample", "first").code == 0


def test_two_ways_to_name_the_run_exclude_each_other(trained: Project, tp: Tp) -> None:
    ended = tp("train", "tiny", "--run-id", "first", "--resume", "first")
    assert_refused(ended, 2, "--resume", "--run-id")


def test_unknown_names_list_the_nearest_ones(
    trained: Project, tp: Tp, unchanged: Callable[[], None]
) -> None:
    unchanged()
    assert_refused(tp("train", "tinny"), 2, "tinny", "tiny")
    assert_refused(tp("prepare", "tinny"), 2, "tiny")
    assert_refused(tp("sample", "fisrt"), 2, "fisrt", "first")
    assert_refused(tp("train", "tiny", "--resume", "fisrt"), 2, "first")
    assert_refused(tp("train", "tiny", "--resume", "other@latest"), 2, "other", "tiny")
    assert_refused(tp("train"), 2, "tiny")
    assert_refused(tp("train", "--resume"), 2, "--resume")
    unchanged()


@pytest.mark.parametrize("content", [b"{}", b'{"experiment": "tiny", "config": []}', b"[", b"\xff"])
def test_a_damaged_record_of_a_run_is_named(trained: Project, tp: Tp, content: bytes) -> None:
    trained.run_named("first").config_path.write_bytes(content)
    for command in (["sample", "first"], ["train", "--run-id", "first"]):
        assert_refused(tp(*command), 1, "config.json", "first")
    assert tp("runs").code == 0


def test_a_changed_dataset_is_not_trained_on_by_an_old_run(trained: Project, tp: Tp) -> None:
    trained.raw.write_text(trained.raw.read_text() + "One more line.\n")
    assert tp("prepare", "tiny").code == 0
    before = trained.run_named("first").metrics_path.read_bytes()
    assert_refused(tp("loop", "tiny", "--run-id", "first"), 1, "dataset has changed")
    assert trained.run_named("first").metrics_path.read_bytes() == before


def test_a_non_finite_loss_fails_the_run_with_its_reason(trained: Project, tp: Tp) -> None:
    ended = tp(
        *("train", "tiny", "--run-id", "hot", "--set", "train.optim.learning_rate=1e30"),
        *("--set", "train.schedule.warmup_iters=0", "--set", "train.optim.grad_clip=0"),
    )
    assert_refused(ended, 1, "step", "learning_rate")
    run = trained.run_named("hot")
    status = derive_status(run)
    assert status.state == "failed"
    assert status.error is not None
    assert "loss" in status.error or "gradient" in status.error
    losses = [row["train_loss"] for row in read_rows(run.metrics_path) if row["event"] == "train"]
    assert None not in losses
    assert tp("sample", "hot", "--checkpoint", "last").code == 0
    resumed = tp("train", "tiny", "--run-id", "hot", "--set", "train.optim.learning_rate=1e-3")
    assert resumed.code == 0, resumed.err
    assert "at step 0 of 20" in resumed.out


@pytest.fixture
def disk_with_room_for() -> Any:
    """Lets the kernel refuse to make any file longer than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_checkpoints_that_cannot_be_saved_are_an_error_at_the_end(
    trained: Project, tp: Tp, disk_with_room_for: Callable[[int], None]
) -> None:
    disk_with_room_for(20_000)
    ended = tp("train", "tiny", "--run-id", "full", *SMALLEST)
    assert_refused(ended, 1, "not saved", "space")
    run = trained.run_named("full")
    events = [row["event"] for row in read_rows(run.metrics_path)]
    assert events.count("warning") >= 2
    assert events.count("train") == 2
    assert list(run.checkpoints.iterdir()) == []
    assert derive_status(run).state == "interrupted"


def test_a_full_disk_leaves_the_earlier_checkpoints_to_go_on_from(
    trained: Project, tp: Tp, disk_with_room_for: Callable[[int], None]
) -> None:
    run = trained.run_named("first")
    longer = ["train", "tiny", "--run-id", "first", "--set", "train.runtime.max_iters=22"]
    before = {path.name: path.read_bytes() for path in run.checkpoints.iterdir()}
    disk_with_room_for(20_000)
    assert_refused(tp(*longer), 1, "step 22")
    assert {path.name: path.read_bytes() for path in run.checkpoints.iterdir()} == before
    disk_with_room_for(resource.RLIM_INFINITY)
    ended = tp(*longer)
    assert ended.code == 0, ended.err
    assert "at step 20" in ended.out
    assert (run.checkpoints / "ckpt_last_00000022.pt").exists()


def test_a_runs_folder_that_cannot_be_is_named(trained: Project, tp: Tp) -> None:
    (trained.root / "file").write_text("in the way")
    assert_refused(tp("train", "tiny", "--runs-dir", "file"), 1, "file")
    assert_refused(tp("runs", "--runs-dir", "file"), 1, "file")
    assert_refused(tp("sample", "first", "--runs-dir", "file"), 1, "file")


def test_a_new_experiment_overwrites_nothing(
    project: Project, tp: Tp, unchanged: Callable[[], None]
) -> None:
    unchanged()
    assert_refused(tp("new", "tiny"), 2, "tiny")
    assert_refused(tp("new", "../tiny"), 2, "../tiny")
    assert_refused(tp("new", "other", "--template", "word"), 2, "word")
    unchanged()
