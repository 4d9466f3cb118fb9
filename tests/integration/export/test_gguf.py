"""GGUF files read by llama.cpp: the whole grid of settings, and faults that the proof must find."""

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from builders.exports import (
    VALUES,
    config_of,
    export_and_prove,
    exportable,
    letters,
    random_configs,
)
from builders.llama import prove_quickly
from builders.models import lively_model
from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import ExportError
from transformer_playground.export.gguf import content
from transformer_playground.export.gguf.architectures import (
    ARCHITECTURES,
    Architecture,
    choose_architecture,
)
from transformer_playground.export.gguf.model_file import ModelFile
from transformer_playground.export.gguf.target import GgufTarget
from transformer_playground.export.request import ExportRequest

GGUF = ExportRequest("gguf")
_CASES = 2

_ROPE: dict[str, Any] = {"positional_encoding": "rope"}
_RMS: dict[str, Any] = _ROPE | {"norm": "rmsnorm"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    prove_quickly(monkeypatch)


def _configs(row: Architecture) -> Iterator[ModelConfig]:
    """Random models that an architecture computes."""
    order = random.Random(row.name)
    fitting = {
        name: [value for value in known if _is_allowed(row, name, value)]
        for name, known in VALUES.items()
    }
    while True:
        config = config_of({name: order.choice(known) for name, known in fitting.items()})
        if config is not None and choose_architecture(config) is row:
            yield config


def _is_allowed(row: Architecture, name: str, value: Any) -> bool:
    effect = None if name in ("attention_window", "logit_softcap") and not value else value
    return effect in row.allowed.get(name, (effect,))


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.name)
def test_models_of_every_architecture_are_exported_and_proven(
    row: Architecture, tmp_path: Path
) -> None:
    for number, config in enumerate(itertools.islice(_configs(row), _CASES)):
        source = exportable(lively_model(config=config), tmp_path)
        proof = export_and_prove(GgufTarget(), source, tmp_path / str(number), GGUF)
        assert proof.tolerance is not None
        assert proof.largest_difference <= proof.tolerance
        assert proof.greedy_equal > 0
        assert proof.texts == 2


def test_every_other_architecture_is_refused_by_the_name_of_a_setting() -> None:
    refusals = []
    for config in random_configs(300):
        try:
            choose_architecture(config)
        except ExportError as refusal:
            refusals.append(str(refusal))
    assert len(refusals) > 30
    for text in refusals:
        assert re.match(r"llama\.cpp has no architecture with model\.\w+ = .* With model\.", text)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"activation": "relu"}, 2e-3),
        (_RMS | {"activation": "relu2", "qk_norm": True}, 1e-4),
        (_RMS | {"activation": "silu", "bias": True}, 1e-4),
        (_RMS | {"activation": "relu", "bias": True}, 3e-3),
        (_RMS | {"activation": "swiglu", "attention_window": 3}, 1e-4),
        ({"norm": "rmsnorm", "positional_encoding": "none", "activation": "swiglu"}, 1e-4),
        (_ROPE | {"mlp_enabled": False, "parallel_residual": True}, 1e-4),
    ],
)
def test_settings_without_a_counterpart_of_their_own_are_written_by_other_means(
    settings: dict[str, Any], most: float, tmp_path: Path
) -> None:
    source = exportable(lively_model(**settings), tmp_path)
    proof = export_and_prove(GgufTarget(), source, tmp_path / "out", GGUF)
    assert proof.largest_difference < most
    assert proof.greedy_equal == proof.greedy_tokens


@pytest.mark.parametrize(("weights", "most"), [("float16", 0.03), ("bfloat16", 0.2), ("q8_0", 0.6)])
def test_rounded_weights_change_the_model_a_little(
    weights: str, most: float, tmp_path: Path
) -> None:
    option: dict[str, Any] = {"quantize" if weights == "q8_0" else "dtype": weights}
    model = lively_model(n_embd=32, norm_eps=1e-4, **_RMS, activation="relu2", qk_norm=True)
    request = ExportRequest("gguf", **option)
    proof = export_and_prove(GgufTarget(), exportable(model, tmp_path), tmp_path / "out", request)
    assert 1e-4 < proof.largest_difference < most
    # The exact file of the comparison is gone.
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_rows_of_a_padded_vocabulary_are_left_out(tmp_path: Path) -> None:
    for tied in (True, False):
        model = lively_model(20, tie_embeddings=tied)
        source = exportable(model, tmp_path, letters(13))
        proof = export_and_prove(GgufTarget(), source, tmp_path / str(tied), GGUF)
        assert proof.greedy_equal == proof.greedy_tokens


_Tensors = dict[str, Tensor]


def _mutants() -> dict[str, Any]:
    def unpermuted(keys: dict[str, Any], tensors: _Tensors) -> None:
        tensors["blk.0.attn_q.weight"] = tensors["blk.0.attn_q.weight"].view(4, 2, 2, 16)
        tensors["blk.0.attn_q.weight"] = (
            tensors["blk.0.attn_q.weight"].transpose(1, 2).reshape(16, 16)
        )

    def swapped_norms(keys: dict[str, Any], tensors: _Tensors) -> None:
        first, second = "blk.1.attn_norm.weight", "blk.1.ffn_norm.weight"
        tensors[first], tensors[second] = tensors[second], tensors[first]

    def wrong_epsilon(keys: dict[str, Any], tensors: _Tensors) -> None:
        keys["llama.attention.layer_norm_rms_epsilon"] = 1e-3

    def wrong_base(keys: dict[str, Any], tensors: _Tensors) -> None:
        keys["llama.rope.freq_base"] = 20_000.0

    def swapped_gate(keys: dict[str, Any], tensors: _Tensors) -> None:
        first, second = "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"
        tensors[first], tensors[second] = tensors[second], tensors[first]

    def lost_bias(keys: dict[str, Any], tensors: _Tensors) -> None:
        del tensors["blk.0.attn_q.bias"]

    def other_tokens(keys: dict[str, Any], tensors: _Tensors) -> None:
        keys["tokenizer.ggml.tokens"] = list(reversed(keys["tokenizer.ggml.tokens"]))

    mutants = (
        unpermuted, swapped_norms, wrong_epsilon, wrong_base, swapped_gate, lost_bias, other_tokens
    )  # fmt: skip
    return {mutant.__name__: mutant for mutant in mutants}


@pytest.mark.parametrize("name", _mutants())
def test_the_proof_finds_a_fault(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = content.file_content

    def faulty(source: Any, title: str) -> ModelFile:
        good = write(source, title)
        keys, tensors = dict(good.keys), dict(good.tensors())
        _mutants()[name](keys, tensors)

        def give() -> Iterator[tuple[str, Tensor]]:
            yield from tensors.items()

        return ModelFile(good.architecture, keys, give)

    model = lively_model(**_RMS, activation="swiglu", bias=True)
    source = exportable(model, tmp_path)
    monkeypatch.setattr("transformer_playground.export.gguf.target.file_content", faulty)
    with pytest.raises(ExportError, match="does not compute what the run computes"):
        export_and_prove(GgufTarget(), source, tmp_path / "out", GGUF)


def test_a_weight_that_is_too_large_for_float16_is_an_error(tmp_path: Path) -> None:
    model = lively_model()
    with torch.no_grad():
        model.token_embedding.weight[0, 0] = 1e6
    request = ExportRequest("gguf", dtype="float16")
    with pytest.raises(ExportError, match=r"too large for float16. Export with --dtype bfloat16"):
        export_and_prove(GgufTarget(), exportable(model, tmp_path), tmp_path / "out", request)
