"""Folders for transformers: the whole grid of settings, and faults that the proof must find."""

import re
from pathlib import Path
from typing import Any

import pytest

from builders.exports import VALUES, all_pairs, export_and_prove, exportable, random_configs
from builders.models import lively_model
from transformer_playground.errors import ExportError
from transformer_playground.export.hf import mapping
from transformer_playground.export.hf.target import HuggingFaceTarget
from transformer_playground.export.request import ExportRequest

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


@pytest.mark.parametrize("row", mapping.CLASSES, ids=lambda row: row.name)
def test_every_pair_of_settings_that_a_class_expresses_is_exported_and_proven(
    row: mapping.HfClass, tmp_path: Path
) -> None:
    values = {
        name: tuple(value for value in known if _is_allowed(row, name, value))
        for name, known in VALUES.items()
    }
    for number, config in enumerate(all_pairs(values)):
        source = exportable(lively_model(config=config), tmp_path)
        proof = export_and_prove(HuggingFaceTarget(), source, tmp_path / str(number), HF)
        assert proof.largest_difference < 1e-5 * max(1.0, proof.tolerance / 5e-6), config
        assert proof.greedy_equal > 0


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
