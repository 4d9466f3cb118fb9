from pathlib import Path
from typing import Any

import pytest

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder, give_eyes
from builders.lora_models import CPU
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.finetuning.base_model import load_base
from transformer_playground.finetuning.targets import are_transposed, resolve_targets


def _base(folder: Path, architecture: Architecture = "qwen2") -> Any:
    import torch

    hf = HfModelConfig(model_name=str(build_model_folder(architecture, folder)))
    return load_base(hf, device=CPU, dtype=torch.float32)


def _gpt2() -> Any:
    from transformers import AutoModelForCausalLM, GPT2Config

    return AutoModelForCausalLM.from_config(
        GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_auto_takes_the_projections_of_attention(
    architecture: Architecture, tmp_path: Path
) -> None:
    assert resolve_targets(_base(tmp_path, architecture), PeftConfig()) == (
        "q_proj",
        "v_proj",
        "o_proj",
    )


def test_auto_knows_architectures_with_one_matrix_for_all_three() -> None:
    base = _gpt2()
    targets = resolve_targets(base, PeftConfig())
    assert targets == ("c_attn",)
    assert are_transposed(base, targets)


def test_layers_of_the_mlp_are_added_to_either(tmp_path: Path) -> None:
    base = _base(tmp_path)
    named = PeftConfig(target_modules=("k_proj",), extend_mlp_targets=True)
    assert resolve_targets(base, named) == ("k_proj", "gate_proj", "up_proj", "down_proj")
    assert resolve_targets(_gpt2(), PeftConfig(extend_mlp_targets=True)) == (
        "c_attn",
        "c_fc",
        "c_proj",
    )


def test_longer_names_pick_single_layers(tmp_path: Path) -> None:
    base = _base(tmp_path)
    peft = PeftConfig(target_modules=("self_attn.q_proj", "layers.1.mlp.up_proj"))
    assert resolve_targets(base, peft) == ("self_attn.q_proj", "layers.1.mlp.up_proj")
    assert not are_transposed(base, ("self_attn.q_proj",))


@pytest.mark.parametrize("name", ["query", "proj", "embed_tokens", "lm_head", "layers"])
def test_a_wrong_name_shows_the_right_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_targets(_base(tmp_path), PeftConfig(target_modules=("q_proj", name)))
    assert f"'{name}'" in caught.value.message
    assert "q_proj (2x)" in caught.value.hint
    assert "down_proj (2x)" in caught.value.hint
    assert "lm_head" not in caught.value.hint


def test_an_architecture_without_known_names_shows_its_own(tmp_path: Path) -> None:
    base = _base(tmp_path)
    for layer in base.model.layers:
        layer.self_attn.strange = layer.self_attn.q_proj
        del layer.self_attn.q_proj
    with pytest.raises(ModelError, match=r"strange \(2x\)"):
        resolve_targets(base, PeftConfig())


def test_only_layers_that_read_text_can_be_named(tmp_path: Path) -> None:
    import torch

    folder = build_model_folder("gemma3", tmp_path)
    give_eyes(folder)
    base = load_base(HfModelConfig(model_name=str(folder)), device=CPU, dtype=torch.float32)
    assert resolve_targets(base, PeftConfig(extend_mlp_targets=True))[:3] == (
        "q_proj",
        "v_proj",
        "o_proj",
    )
    with pytest.raises(ConfigError, match="'out_proj'") as caught:
        resolve_targets(base, PeftConfig(target_modules=("out_proj",)))
    assert "q_proj (2x)" in caught.value.hint
    assert "out_proj" not in caught.value.hint
