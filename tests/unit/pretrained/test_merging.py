import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from builders.adapted import END, adapted_model, some_tokens, stir
from builders.pretrained import ARCHITECTURES, Architecture, build_model_folder
from transformer_playground.errors import CheckpointError
from transformer_playground.hub import quiet
from transformer_playground.pretrained.merging import merge


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_plain_transformers_loads_it_with_the_same_logits(
    architecture: Architecture, tie: bool, tmp_path: Path
) -> None:
    folder = build_model_folder(architecture, tmp_path, tie=tie)
    model = stir(adapted_model(folder, added=2, extend_mlp_targets=True))
    tokens = some_tokens(model)
    expected = model(tokens)
    with quiet():
        merge(model).save_pretrained(tmp_path / "merged")
        plain, report = AutoModelForCausalLM.from_pretrained(
            tmp_path / "merged", output_loading_info=True
        )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert plain.config.vocab_size == model.vocab_size == 322
    assert plain.config.tie_word_embeddings is tie
    torch.testing.assert_close(plain(input_ids=tokens).logits, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"bias": "all"}, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "mlp"]}],
)
@torch.inference_mode()
def test_whatever_is_trained_is_merged(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False)
    model = stir(adapted_model(folder, **settings))
    tokens = some_tokens(model)
    expected = model(tokens)
    plain = merge(model)
    torch.testing.assert_close(plain(input_ids=tokens).logits, expected, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_a_coarse_base_with_a_module_in_float32_becomes_one_format(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False)
    model = stir(adapted_model(folder, dtype=torch.bfloat16, modules_to_save=["lm_head"]))
    tokens = some_tokens(model)
    expected = model(tokens)
    plain = merge(model)
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(
        plain(input_ids=tokens).logits.float(), expected.float(), rtol=0.1, atol=0.2
    )


def test_the_base_is_merged_into_and_not_copied(tmp_path: Path) -> None:
    model = stir(adapted_model(build_model_folder("gemma3", tmp_path), added=2))
    base = model.base
    here = {
        name: parameter.data_ptr()
        for name, parameter in base.named_parameters()
        if "_proj" not in name and "embed" not in name
    }
    plain = merge(model)
    assert plain is base
    assert len(here) > 8
    assert {name: plain.get_parameter(name).data_ptr() for name in here} == here
    assert not any("lora" in name for name, _ in plain.named_parameters())


def test_generate_stops_at_the_token_that_ended_documents(tmp_path: Path) -> None:
    folder = build_model_folder("gemma3", tmp_path)
    configured = json.loads((folder / "generation_config.json").read_bytes())
    listed = configured | {"eos_token_id": [END, 5]}
    (folder / "generation_config.json").write_text(json.dumps(listed))
    model = adapted_model(folder, added=2)
    tokens = some_tokens(model, batch=1)
    end = int(model(tokens)[0, -1].argmax())
    model.recipe = dataclasses.replace(model.recipe, end_token=end)

    with quiet():
        merge(model).save_pretrained(tmp_path / "merged")
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        written = plain.generate(tokens, max_new_tokens=5, do_sample=False)

    assert plain.config.eos_token_id == plain.generation_config.eos_token_id == end
    assert written[0, tokens.shape[1] :].tolist() == [end]


def test_weights_that_are_not_numbers_are_not_merged(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("qwen2", tmp_path))
    with torch.no_grad():
        next(iter(model.trained().values())).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="training diverged"):
        merge(model)
