"""nanoGPT's checkpoints, against a second writing of its model with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.errors import CheckpointError

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 6, "vocab_size": 11}


class ReferenceBlock(nn.Module):
    """A GPT-2 block in the layout and with the names of nanoGPT."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        width = SHAPE["n_embd"]
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = nn.ModuleDict(
            {
                "c_attn": nn.Linear(width, 3 * width, bias=bias),
                "c_proj": nn.Linear(width, width, bias=bias),
            }
        )
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(width, 4 * width, bias=bias),
                "c_proj": nn.Linear(4 * width, width, bias=bias),
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        heads = self.attn["c_attn"](self.ln_1(x)).view(batch, length, 3, SHAPE["n_head"], -1)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.attn["c_proj"](mixed.transpose(1, 2).reshape(batch, length, width))
        inner = functional.gelu(self.mlp["c_fc"](self.ln_2(x)))
        return x + torch.as_tensor(self.mlp["c_proj"](inner))


class Reference(nn.Module):
    """GPT-2 with exact GELU and a tied head, written down once more."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        width = SHAPE["n_embd"]
        table = nn.Embedding(SHAPE["vocab_size"], width)
        self.transformer = nn.ModuleDict(
            {
                "wte": table,
                "wpe": nn.Embedding(SHAPE["block_size"], width),
                "h": nn.ModuleList(ReferenceBlock(bias) for _ in range(SHAPE["n_layer"])),
                "ln_f": nn.LayerNorm(width, bias=bias),
            }
        )
        self.lm_head = nn.Linear(width, SHAPE["vocab_size"], bias=False)
        self.lm_head.weight = table.weight
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(tokens.shape[1])
        embedded = self.transformer["wte"](tokens) + self.transformer["wpe"](positions)
        blocks = self.transformer["h"]
        assert isinstance(blocks, nn.ModuleList)
        x = nn.Sequential(*blocks)(torch.as_tensor(embedded))
        return torch.as_tensor(self.lm_head(self.transformer["ln_f"](x)))


def nanogpt_checkpoint(reference: Reference, bias: bool, **changes: Any) -> dict[str, Any]:
    return {
        "model": reference.state_dict(),
        "optimizer": {"state": {}, "param_groups": []},
        "model_args": SHAPE | {"bias": bias, "dropout": 0.0},
        "iter_num": 2000,
        "best_val_loss": torch.tensor(1.88),
        "config": {"dataset": "shakespeare_char"},
    } | changes


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
