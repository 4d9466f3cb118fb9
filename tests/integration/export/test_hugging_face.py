"""Folders for transformers: the whole grid of settings, and faults that the proof must find."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from builders.exports import VALUES, all_pairs, export_and_prove, exportable, random_configs
from builders.models import lively_model, tokens_of
from transformer_playground.errors import ExportError
from transformer_playground.export.hf import mapping
from transformer_playground.export.hf.custom import custom_configuration, custom_tensors
from transformer_playground.export.hf.modeling_playground import (
    PlaygroundConfig,
    PlaygroundForCausalLM,
)
from transformer_playground.export.hf.reader import TransformersReader
from transformer_playground.export.hf.target import HuggingFaceTarget, complete, configuration
from transformer_playground.export.request import ExportRequest
from transformer_playground.model.gpt import GPT

HF = ExportRequest("hf")

# One of each class, in an order of rising distance from GPT-2.
CLASSES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {"bias": True, "n_kv_head": 2},
    "Starcoder2ForCausalLM": {"positional_encoding": "rope", "attention_window": 3, "n_kv_head": 2},
    "StableLmForCausalLM": {"positional_encoding": "rope", "activation": "swiglu"},
    "GPTNeoXForCausalLM": {"positional_encoding": "rope", "parallel_residual": True, "bias": True},
    "MptForCausalLM": {"positional_encoding": "alibi", "mlp_ratio": 2.0},
    "LlamaForCausalLM": {"positional_encoding": "rope", "norm": "rmsnorm", "activation": "swiglu"},
    "MistralForCausalLM": {
        "positional_encoding": "rope",
        "norm": "rmsnorm",
        "activation": "geglu",
        "attention_window": 3,
    },
    "Qwen3ForCausalLM": {
        "positional_encoding": "rope",
        "norm": "rmsnorm",
        "activation": "swiglu",
        "qk_norm": True,
    },
    "ArceeForCausalLM": {"positional_encoding": "rope", "norm": "rmsnorm", "activation": "relu2"},
}


def logits_of(
    kind: Any, config: Any, tensors: dict[str, torch.Tensor], tokens: torch.Tensor
) -> torch.Tensor:
    """Logits of a transformers model with these tensors."""
    model = kind(config).eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert (set(missing) <= set(model._tied_weights_keys), unexpected) == (True, [])
    model.tie_weights()
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=tokens, use_cache=False).logits
    return found


@pytest.mark.parametrize("row", mapping.CLASSES, ids=lambda row: row.name)
def test_every_pair_of_settings_that_a_class_expresses_gives_equal_logits(
    row: mapping.HfClass, tmp_path: Path
) -> None:
    values = {
        name: tuple(value for value in known if _is_allowed(row, name, value))
        for name, known in VALUES.items()
    }
    for architecture in all_pairs(values):
        model = lively_model(config=architecture)
        subject = exportable(model, tmp_path).subject
        assert subject.config is not None
        config = configuration(row, subject.config, subject)
        tensors = complete(row, config, row.tensors(model))
        tokens = tokens_of(0, 2, 12)
        found = logits_of(getattr(transformers, row.name), config, tensors, tokens)
        with torch.inference_mode():
            torch.testing.assert_close(found, model(tokens), atol=1e-5, rtol=1e-5)


def _is_allowed(row: mapping.HfClass, name: str, value: Any) -> bool:
    effect = None if name in ("attention_window", "logit_softcap") and not value else value
    return effect in row.allowed.get(name, (effect,))


def test_every_other_architecture_is_refused_by_the_name_of_a_setting() -> None:
    classes, refusals = set(), []
    for config in random_configs(3000):
        try:
            classes.add(mapping.choose_class(config).name)
        except ExportError as refusal:
            refusals.append(str(refusal))
    assert classes == set(CLASSES)
    for text in refusals:
        assert re.match(r"transformers has no architecture with model\.\w+ = .* With model\.", text)
        assert "--custom-code" in text


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_gives_the_logits_and_the_greedy_text_of_the_run(
    name: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    model = lively_model(**CLASSES[name])
    source = exportable(model, tmp_path)
    proof = export_and_prove(HuggingFaceTarget(), source, tmp_path / "out", HF)
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out")

    assert type(loaded).__name__ == name
    assert proof.largest_difference < 1e-5
    assert (proof.greedy_equal, proof.texts) == (proof.greedy_tokens, 2)


def test_every_pair_of_settings_gives_equal_logits_by_the_modeling_file(tmp_path: Path) -> None:
    for architecture in all_pairs():
        model = lively_model(config=architecture)
        subject = exportable(model, tmp_path).subject
        assert subject.config is not None
        config = PlaygroundConfig(**custom_configuration(subject.config, subject))
        tokens = tokens_of(0, 2, 12)
        found = logits_of(PlaygroundForCausalLM, config, custom_tensors(model), tokens)
        with torch.inference_mode():
            torch.testing.assert_close(found, model(tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"norm_position": "post", "positional_encoding": "sinusoidal"},
        {"logit_softcap": 15.0, "norm": "rmsnorm", "positional_encoding": "learned"},
        {"qk_norm": True, "positional_encoding": "rope", "norm": "rmsnorm", "activation": "relu2"},
    ],
)
def test_what_no_class_has_leaves_with_a_modeling_file_of_its_own(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    source = exportable(lively_model(**settings), tmp_path)
    proof = export_and_prove(
        HuggingFaceTarget(), source, tmp_path / "out", replace(HF, custom_code=True)
    )
    assert proof.largest_difference < 1e-5
    assert proof.greedy_equal == proof.greedy_tokens


def test_the_modeling_file_counts_positions_from_the_padding(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"norm_position": "post", "attention_window": 5}
    settings["positional_encoding"] = "alibi"
    source = exportable(lively_model(**settings), tmp_path)
    export_and_prove(HuggingFaceTarget(), source, tmp_path / "o", replace(HF, custom_code=True))
    model = TransformersReader(tmp_path / "o", remote_code=True).model
    tokens = torch.tensor([[0, 0, 3, 4, 5], [1, 2, 3, 4, 5]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    both = model.generate(tokens, attention_mask=mask, **options)
    alone = model.generate(tokens[:1, 2:], attention_mask=mask[:1, 2:], **options)

    assert both[0, 5:].tolist() == alone[0, 3:].tolist()
    loss = model(input_ids=tokens[1:], labels=tokens[1:]).loss
    scores = source.logits(tokens[1:])[0, :-1]
    assert loss.item() == pytest.approx(cross_entropy(scores, tokens[1, 1:]).item(), abs=1e-5)


def interleave(model: GPT, named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Query and key rows for an architecture that rotates neighbouring channels."""
    for name in [name for name in named if "q_proj" in name or "k_proj" in name]:
        rows = named[name].reshape(-1, 2, model.config.head_dim // 2, *named[name].shape[1:])
        named[name] = rows.transpose(1, 2).reshape(named[name].shape)
    return named


def swap(one: str, two: str) -> Callable[[GPT, dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Exchange two tensors of each layer."""

    def exchanged(_model: GPT, named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name.replace(one, "#").replace(two, one).replace("#", two): tensor
            for name, tensor in named.items()
        }

    return exchanged


MUTANTS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "rope in pairs": ("LlamaForCausalLM", interleave, {}),
    "swapped norms": (
        "LlamaForCausalLM",
        swap("input_layernorm", "post_attention_layernorm"),
        {},
    ),
    "swapped gate": ("LlamaForCausalLM", swap("gate_proj", "up_proj"), {}),
    "other eps": ("LlamaForCausalLM", None, {"rms_norm_eps": 1e-6}),
    "other base of rope": ("Starcoder2ForCausalLM", None, {"rope_parameters": None}),
    "no window": ("MistralForCausalLM", None, {"sliding_window": None}),
    "a wider window": ("Starcoder2ForCausalLM", None, {"sliding_window": 4}),
    "other activation": ("ArceeForCausalLM", None, {"hidden_act": "relu"}),
    "not parallel": ("GPTNeoXForCausalLM", None, {"use_parallel_residual": False}),
    "part of the head rotated": (
        "StableLmForCausalLM",
        None,
        {
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "partial_rotary_factor": 0.5,
            }
        },
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_proof_finds_a_wrong_mapping(
    mutant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change, settings = MUTANTS[mutant]
    row = next(row for row in mapping.CLASSES if row.name == name)

    def mutated(model: GPT) -> dict[str, torch.Tensor]:
        return row.tensors(model) if change is None else change(model, row.tensors(model))

    faulty = replace(row, settings=lambda c: row.settings(c) | settings, tensors=mutated)
    monkeypatch.setattr(mapping, "CLASSES", (faulty,))
    shape = CLASSES[name] | {"rope_theta": 100.0 if "base" in mutant else 10_000.0}
    model = lively_model(**shape)
    if "eps" in mutant:
        # As in a model whose embeddings are small, which they are before long training.
        with torch.no_grad():
            model.token_embedding.weight.mul_(0.05)
    with pytest.raises(ExportError, match="does not compute what the run computes"):
        export_and_prove(HuggingFaceTarget(), exportable(model, tmp_path), tmp_path / "o", HF)
