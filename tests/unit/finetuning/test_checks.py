from pathlib import Path
from typing import Any

import pytest
import torch

from builders.base_models import ARCHITECTURES, CONTEXT, Architecture, build_model_folder
from builders.lora_models import CPU, adapted_model
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.finetuning.base_model import load_base
from transformer_playground.finetuning.checks import check_attention, check_bias


def test_a_context_beyond_the_models_positions_is_refused(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    assert adapted_model(folder, block_size=CONTEXT).block_size == CONTEXT
    with pytest.raises(ConfigError, match="129 tokens is longer than the 128") as caught:
        adapted_model(folder, block_size=CONTEXT + 1)
    assert "hf_model.block_size" in caught.value.hint


def test_biases_are_trained_in_float32_only(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    model = adapted_model(folder, bias="all")
    assert any(name.endswith("k_proj.bias") for name in model.trained())
    check_bias(model.base, PeftConfig(bias="all"))
    # One that was trained so can still be sampled in a coarse format.
    coarse = adapted_model(folder, bias="all", dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match="bfloat16 here: too imprecise"):
        check_bias(coarse.base, PeftConfig(bias="all"))


def test_an_architecture_without_gradient_checkpointing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Qwen2ForCausalLM

    monkeypatch.setattr(Qwen2ForCausalLM, "supports_gradient_checkpointing", False)
    folder = build_model_folder("qwen2", tmp_path)
    with pytest.raises(ConfigError, match="does not support gradient checkpointing"):
        adapted_model(folder, hf={"gradient_checkpointing": True})
    adapted_model(folder)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"modules_to_save": ["nothing"]}, "no such module"),
        ({"modules_to_save": ["q_proj"]}, "'q_proj' adds an adapter"),
        ({"modules_to_save": ["self_attn"]}, "adds an adapter"),
        ({"modules_to_save": ["embed_tokens"]}, "would untie them"),
        ({"modules_to_save": ["lm_head"]}, "would untie them"),
    ],
)
def test_modules_that_cannot_be_trained_as_a_whole_are_refused(
    settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, ModelError), match=told):
        adapted_model(build_model_folder("llama", tmp_path, tie=True), **settings)


def test_names_of_modules_are_matched_part_by_part(tmp_path: Path) -> None:
    folder = build_model_folder("llama", tmp_path)
    model = adapted_model(folder, modules_to_save=["norm"])
    whole = [name for name in model.trained() if "modules_to_save" in name]
    assert whole == ["adapted.base_model.model.model.norm.modules_to_save.default.weight"]


def _base(folder: Path, architecture: Architecture = "llama") -> tuple[Any, HfModelConfig]:
    hf = HfModelConfig(model_name=str(build_model_folder(architecture, folder)))
    return load_base(hf, device=CPU, dtype=torch.float32), hf


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_causal_models_that_heed_positions_pass(architecture: Architecture, tmp_path: Path) -> None:
    check_attention(*_base(tmp_path, architecture))


def test_a_model_that_sees_later_tokens_is_no_causal_one(tmp_path: Path) -> None:
    base, hf = _base(tmp_path)
    base.config.is_causal = False
    with pytest.raises(ModelError, match="attend to later ones"):
        check_attention(base, hf)


def test_a_model_that_ignores_positions_is_refused_for_packing_alone(tmp_path: Path) -> None:
    base, hf = _base(tmp_path)
    heed = base.forward
    base.forward = lambda **inputs: heed(**(inputs | {"position_ids": None}))
    with pytest.raises(ConfigError, match="cannot separate packed documents") as caught:
        check_attention(base, hf)
    assert "hf_model.packing = false" in caught.value.hint
    check_attention(base, hf.model_copy(update={"packing": False}))


def test_a_model_that_takes_no_positions_is_refused_for_packing_alone(tmp_path: Path) -> None:
    base, hf = _base(tmp_path)
    heed = base.forward
    base.forward = lambda *, input_ids, use_cache: heed(input_ids=input_ids, use_cache=use_cache)
    with pytest.raises(ConfigError, match="cannot separate packed documents"):
        check_attention(base, hf)
    check_attention(base, hf.model_copy(update={"packing": False}))
