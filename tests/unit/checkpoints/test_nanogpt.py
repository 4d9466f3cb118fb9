"""nanoGPT's checkpoints, against a second writing of its model with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from builders.nanogpt import SHAPE, Reference, nanogpt_checkpoint
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.errors import CheckpointError


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_nanogpt_checkpoint_computes_the_same_logits(
    tmp_path: Path, bias: bool, compiled: bool
) -> None:
    reference = Reference(bias)
    content = nanogpt_checkpoint(reference, bias)
    if compiled:
        content["model"] = {f"_orig_mod.{key}": value for key, value in content["model"].items()}
    torch.save(content, tmp_path / "ckpt.pt")
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6], [10, 9, 8, 7, 6, 5]])

    payload = load_payload(tmp_path / "ckpt.pt")
    logits = build_model(payload)(tokens)

    assert payload["step"] == 2000
    torch.testing.assert_close(logits, reference(tokens), rtol=1e-5, atol=1e-5)


def test_masks_saved_as_weights_are_dropped(tmp_path: Path) -> None:
    reference = Reference(bias=True)
    content = nanogpt_checkpoint(reference, bias=True)
    del content["model_args"]["bias"]  # before the option existed, there always was one
    for layer in range(2):
        content["model"][f"transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 6, 6)
    torch.save(content, tmp_path / "ckpt.pt")
    tokens = torch.tensor([[1, 2, 3]])

    logits = build_model(load_payload(tmp_path / "ckpt.pt"))(tokens)

    torch.testing.assert_close(logits, reference(tokens), rtol=1e-5, atol=1e-5)


def test_an_untied_head_is_kept(tmp_path: Path) -> None:
    reference = Reference(bias=False)
    reference.lm_head.weight = nn.Parameter(torch.randn(11, 8))
    torch.save(nanogpt_checkpoint(reference, bias=False), tmp_path / "ckpt.pt")
    tokens = torch.tensor([[1, 2, 3]])

    logits = build_model(load_payload(tmp_path / "ckpt.pt"))(tokens)

    torch.testing.assert_close(logits, reference(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("saved", ["first", "not at all"])
def test_a_tied_head_is_the_embedding(tmp_path: Path, saved: str) -> None:
    reference = Reference(bias=False)
    content = nanogpt_checkpoint(reference, bias=False)
    weights = dict(content["model"])
    head = weights.pop("lm_head.weight")
    content["model"] = {"lm_head.weight": head, **weights} if saved == "first" else weights
    torch.save(content, tmp_path / "ckpt.pt")
    tokens = torch.tensor([[1, 2, 3]])

    payload = load_payload(tmp_path / "ckpt.pt")

    assert payload["model_args"]["tie_embeddings"] is True
    assert "head.weight" not in payload["model"]
    torch.testing.assert_close(
        build_model(payload)(tokens), reference(tokens), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("iter_num", ["absent", "many"])
def test_what_is_not_stated_counts_as_nothing(tmp_path: Path, iter_num: str) -> None:
    content = nanogpt_checkpoint(Reference(bias=True), True, iter_num=iter_num)
    if iter_num == "absent":
        del content["iter_num"]
    del content["model_args"]["dropout"]
    torch.save(content, tmp_path / "ckpt.pt")

    payload = load_payload(tmp_path / "ckpt.pt")

    assert [payload[key] for key in ("step", "tokens_seen", "batch_cursor")] == [0, 0, 0]
    assert payload["model_args"]["dropout"] == 0.0


def test_the_first_missing_argument_is_named(tmp_path: Path) -> None:
    content = nanogpt_checkpoint(Reference(True), True, model_args={"n_layer": 2})
    torch.save(content, tmp_path / "ckpt.pt")

    with pytest.raises(CheckpointError, match="no 'n_head'"):
        load_payload(tmp_path / "ckpt.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"model": 5},
        {"model_args": 5},
        {"model_args": {"n_layer": 2}},
        {"model_args": SHAPE | {"n_head": 3}},
        {"model_args": SHAPE | {"bias": "yes"}},
        {"model_args": SHAPE | {"dropout": "none"}},
        {"model": {"transformer.wte.weight": 5}},
        {"model": {}},
    ],
)
def test_a_half_baked_one_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    torch.save(nanogpt_checkpoint(Reference(True), True, **change), tmp_path / "ckpt.pt")

    with pytest.raises(CheckpointError):
        build_model(load_payload(tmp_path / "ckpt.pt"))
