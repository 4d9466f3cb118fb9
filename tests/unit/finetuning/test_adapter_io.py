import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder
from builders.lora_models import END, adapted_model, some_tokens, stir
from transformer_playground.errors import CheckpointError
from transformer_playground.finetuning.adapter_io import merge, save_adapter
from transformer_playground.hub import silence_libraries


def _in_plain_peft(folder: Path, rows: int, adapter: Path, tokens: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # Between the two libraries.
        warnings.simplefilter("ignore", FutureWarning)
        base = AutoModelForCausalLM.from_pretrained(folder)
        if rows > base.config.vocab_size:
            base.resize_token_embeddings(rows, mean_resizing=False)
        adapted = PeftModel.from_pretrained(base, adapter).eval()
        logits: Tensor = adapted(input_ids=tokens).logits
    return logits


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_plain_peft_loads_it_with_the_same_logits(
    architecture: Architecture, tie: bool, tmp_path: Path
) -> None:
    folder = build_model_folder(architecture, tmp_path, tie=tie)
    model = stir(adapted_model(folder, added=2, extend_mlp_targets=True))
    save_adapter(model, tmp_path / "adapter")
    tokens = some_tokens(model)
    theirs = _in_plain_peft(folder, model.vocab_size, tmp_path / "adapter", tokens)
    torch.testing.assert_close(theirs, model(tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "all"},
        {"bias": "lora_only"},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]},
        {"modules_to_save": ["embed_tokens"], "added": 2},
    ],
)
@torch.inference_mode()
def test_whatever_is_trained_travels_along(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False)
    model = stir(adapted_model(folder, **settings))
    save_adapter(model, tmp_path / "adapter")
    tokens = some_tokens(model)
    theirs = _in_plain_peft(folder, model.vocab_size, tmp_path / "adapter", tokens)
    torch.testing.assert_close(theirs, model(tokens), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_other_weights_are_written_in_place_of_the_models_own(tmp_path: Path) -> None:
    folder = build_model_folder("llama", tmp_path)
    model = stir(adapted_model(folder, added=1))
    tokens = some_tokens(model)
    best = {name: parameter.clone() for name, parameter in model.trained().items()}
    expected = model(tokens)
    stir(model, seed=1)
    save_adapter(model, tmp_path / "adapter", best)
    theirs = _in_plain_peft(folder, model.vocab_size, tmp_path / "adapter", tokens)
    torch.testing.assert_close(theirs, expected, rtol=1e-4, atol=1e-5)


def test_only_what_was_trained_is_written(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    model = adapted_model(folder, added=2)
    save_adapter(model, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(
        parameter.numel() for parameter in model.trained().values()
    )
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}


def test_the_configuration_names_the_base_and_is_the_same_each_time(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    texts = []
    for name in ("a", "b"):
        save_adapter(adapted_model(folder, lora_alpha=32), tmp_path / name)
        texts.append((tmp_path / name / "adapter_config.json").read_text())
    config = json.loads(texts[0])
    assert texts[0] == texts[1]
    assert config["base_model_name_or_path"] == str(folder)
    assert config["target_modules"] == ["o_proj", "q_proj", "v_proj"]
    assert (config["r"], config["lora_alpha"], config["inference_mode"]) == (8, 32, True)


def test_an_adapter_is_replaced_by_a_newer_one(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path))
    save_adapter(model, tmp_path / "adapter")
    before = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    save_adapter(stir(model), tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() != before


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
    with silence_libraries():
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
    model.model_args = dataclasses.replace(model.model_args, end_token=end)

    with silence_libraries():
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
