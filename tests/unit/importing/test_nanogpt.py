"""Reading nanoGPT's output folder: state of the optimizer, settings and tokenizer."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from builders.nanogpt import (
    Reference,
    configured_optimizer,
    nanogpt_checkpoint,
    train_reference,
    write_meta,
)
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.config.train import OptimConfig
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.errors import CheckpointError, DataError, UsageError
from transformer_playground.importing.nanogpt import find_checkpoint, read_nanogpt
from transformer_playground.importing.run import Imported, import_model
from transformer_playground.model.base import trainable_parameters
from transformer_playground.training.optimizers import build_optimizers

ALPHABET = "\n abcdefghi"
CONFIG = {
    "dataset": "letters",
    "batch_size": 3,
    "gradient_accumulation_steps": 2,
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "grad_clip": 0.0,
    "decay_lr": True,
    "warmup_iters": 2,
    "lr_decay_iters": 40,
    "min_lr": 0.001,
    "max_iters": 40,
    "always_save_checkpoint": False,
}


def write_output(folder: Path, *, bias: bool = True, **changes: Any) -> Reference:
    """An output folder of nanoGPT after three steps, with its tokenizer in it."""
    reference = Reference(bias)
    optimizer = configured_optimizer(reference, 0.01)
    train_reference(reference, optimizer, 3)
    stated = {"optimizer": optimizer.state_dict(), "iter_num": 3, "config": CONFIG} | changes
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(nanogpt_checkpoint(reference, bias, **stated), folder / "ckpt.pt")
    write_meta(folder, ALPHABET)
    return reference


def imported(folder: Path, runs: Path, **options: Any) -> Imported:
    return import_model(read_nanogpt(folder / "ckpt.pt"), runs, origin=None, **options)


@pytest.mark.parametrize("bias", [True, False])
def test_the_next_step_after_an_import_is_that_of_nanogpt(tmp_path: Path, bias: bool) -> None:
    reference = Reference(bias)
    optimizer = configured_optimizer(reference, 0.01)
    train_reference(reference, optimizer, 3)
    content = nanogpt_checkpoint(
        reference, bias, optimizer=optimizer.state_dict(), iter_num=3, config=CONFIG
    )
    torch.save(content, tmp_path / "ckpt.pt")
    write_meta(tmp_path, ALPHABET)
    run = imported(tmp_path, tmp_path / "runs").run

    payload = load_payload(run.checkpoints / "last.pt")
    model = build_model(payload).train()
    ours = build_optimizers(
        OptimConfig(learning_rate=0.01, weight_decay=0.1, beta2=0.99),
        trainable_parameters(model),
        model.hidden_matrices(),
    )
    ours.load_state_dict(payload["optimizer"])
    tokens = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(3))
    logits = model(tokens[:, :-1])
    functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()  # type: ignore[no-untyped-call]
    ours.step(torch.amp.GradScaler("cpu", enabled=False), skip=torch.tensor(False))
    train_reference(reference, optimizer, 1)

    after = torch.randint(11, (2, 6), generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(model.eval()(after), reference(after), rtol=1e-4, atol=1e-4)


def test_weights_counters_and_settings_are_taken_over(tmp_path: Path) -> None:
    reference = write_output(tmp_path / "out-letters")
    made = imported(tmp_path / "out-letters", tmp_path / "runs", run_id="letters")

    payload = load_payload(made.run.checkpoints / "last.pt")
    saved = dict(reference.named_parameters())
    assert torch.equal(payload["model"]["token_embedding.weight"], saved["transformer.wte.weight"])
    assert (payload["step"], payload["tokens_seen"], payload["batch_cursor"]) == (3, 3 * 36, 18)
    train = payload["config"]["train"]
    assert train["data"]["grad_accum_steps"] == 2
    assert train["schedule"] == train["schedule"] | {"schedule": "cosine", "min_lr": 0.001}
    assert train["runtime"]["max_iters"] == 40
    assert made.has_optimizer_state
    assert not made.has_dataset
    assert len(made.notices) == 1


def test_a_constant_learning_rate_stays_constant(tmp_path: Path) -> None:
    write_output(tmp_path, config=CONFIG | {"decay_lr": False})
    foreign = read_nanogpt(tmp_path / "ckpt.pt")
    assert foreign.settings["train"]["schedule"]["schedule"] == "constant"


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({}, pytest.approx(1.88)),
        ({"best_val_loss": 1.5}, 1.5),
        ({"best_val_loss": torch.tensor(1e9)}, None),
        ({"best_val_loss": float("nan")}, None),
        ({"config": CONFIG | {"always_save_checkpoint": True}}, None),
        ({"config": {}}, None),
    ],
)
def test_the_best_loss_counts_only_if_it_is_of_these_weights(
    tmp_path: Path, changes: dict[str, Any], loss: float | None
) -> None:
    write_output(tmp_path, **changes)
    assert read_nanogpt(tmp_path / "ckpt.pt").val_loss == loss


def test_the_tokenizer_is_found_where_nanogpt_keeps_it(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    (tmp_path / "out" / "meta.pkl").unlink()
    write_meta(tmp_path / "data" / "letters", ALPHABET[::-1])

    tokenizer = read_nanogpt(tmp_path / "out" / "ckpt.pt").tokenizer

    assert isinstance(tokenizer, CharTokenizer)
    assert tokenizer.characters == tuple(ALPHABET[::-1])


@pytest.mark.parametrize("dataset", ["..", "../secret", "/", "", "a\0b", 5, None])
def test_the_name_of_a_dataset_leads_nowhere_else(tmp_path: Path, dataset: object) -> None:
    write_output(tmp_path / "a" / "out", config={"dataset": dataset})
    (tmp_path / "a" / "out" / "meta.pkl").unlink()
    for place in (tmp_path / "a", tmp_path / "a" / "secret", tmp_path):
        write_meta(place, ALPHABET)
    assert read_nanogpt(tmp_path / "a" / "out" / "ckpt.pt").tokenizer is None


def test_without_a_table_the_vocabulary_of_gpt2_is_assumed(tmp_path: Path) -> None:
    reference = Reference(False, vocab_size=50304)
    torch.save(nanogpt_checkpoint(reference, False), tmp_path / "ckpt.pt")
    foreign = read_nanogpt(tmp_path / "ckpt.pt")
    assert isinstance(foreign.tokenizer, Gpt2Tokenizer)


def test_an_unknown_tokenizer_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    (tmp_path / "out" / "meta.pkl").unlink()
    sentence = r"is unknown: there is no meta\.pkl in .* and 11 tokens are not GPT-2"
    with pytest.raises(UsageError, match=sentence):
        imported(tmp_path / "out", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    write_meta(tmp_path / "out", ALPHABET + "xyz")
    with pytest.raises(UsageError, match="has 14 tokens, but the model only 11"):
        imported(tmp_path / "out", tmp_path / "runs")


def test_a_tokenizer_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    write_output(tmp_path / "out")
    (tmp_path / "out" / "meta.pkl").write_bytes(pickle.dumps({"stoi": Evil()}))
    with pytest.raises(DataError, match="Nothing in it was run"):
        read_nanogpt(tmp_path / "out" / "ckpt.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", ["shape", "missing", "groups", "kind", "absent", "negative"])
def test_an_optimizer_state_that_does_not_fit_is_left_out_and_named(
    tmp_path: Path, damage: str
) -> None:
    write_output(tmp_path)
    content = torch.load(tmp_path / "ckpt.pt", weights_only=True)
    state = content["optimizer"]["state"]
    match damage:
        case "shape":
            state[0]["exp_avg"] = torch.zeros(3)
        case "missing":
            del state[2]
        case "groups":
            content["optimizer"]["param_groups"][0]["params"].pop()
        case "kind":
            content["optimizer"]["state"] = [1, 2]
        case "absent":
            del content["optimizer"]
        case "negative":
            state[0]["step"] = -1
    torch.save(content, tmp_path / "ckpt.pt")

    made = imported(tmp_path, tmp_path / "runs")

    assert not made.has_optimizer_state
    assert any("the optimizer starts without state" in notice for notice in made.notices)
    payload = load_payload(made.run.checkpoints / "last.pt")
    assert payload["optimizer"]["AdamW"]["state"] == {}


@pytest.mark.parametrize(
    "setting",
    [
        {"batch_size": 0},
        {"learning_rate": "fast"},
        {"max_iters": 1 << 80},
        {"min_lr": 5.0},
        {"beta1": float("nan")},
    ],
)
def test_settings_that_are_not_valid_here_are_left_out_and_named(
    tmp_path: Path, setting: dict[str, Any]
) -> None:
    write_output(tmp_path, config=CONFIG | setting)
    made = imported(tmp_path, tmp_path / "runs")
    assert any("settings of the checkpoint are not used" in notice for notice in made.notices)
    assert load_payload(made.run.checkpoints / "last.pt")["step"] == 3


def test_a_checkpoint_of_our_own_and_other_files_are_refused(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    run = imported(tmp_path / "out", tmp_path / "runs").run
    with pytest.raises(CheckpointError, match="is a checkpoint of this program"):
        read_nanogpt(run.checkpoints / "last.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        read_nanogpt(tmp_path / "text.pt")
    torch.save({"model": {}, "model_args": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a nanoGPT checkpoint"):
        read_nanogpt(tmp_path / "other.pt")


def test_a_folder_stands_for_the_checkpoint_in_it(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / "absent.pt") is None
    (tmp_path / "ckpt.pt").touch()
    assert find_checkpoint(tmp_path) == find_checkpoint(tmp_path / "ckpt.pt")


def test_a_run_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    imported(tmp_path / "out", tmp_path / "runs", run_id="one")
    with pytest.raises(UsageError, match="already a run 'one'"):
        imported(tmp_path / "out", tmp_path / "runs", run_id="one")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["one"]


def test_a_failed_write_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_output(tmp_path / "out")

    def full(*_: object, **__: object) -> None:
        raise CheckpointError("The disk is full.")

    monkeypatch.setattr(
        "transformer_playground.importing.run.CheckpointStore.save", full, raising=True
    )
    with pytest.raises(CheckpointError, match="full"):
        imported(tmp_path / "out", tmp_path / "runs", run_id="one")
    assert list((tmp_path / "runs").iterdir()) == []
