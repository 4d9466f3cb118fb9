import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder, give_eyes
from builders.lora_models import CPU, adapted_model, some_tokens, stir
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import CheckpointError, ModelError
from transformer_playground.finetuning.adapter_io import save_adapter
from transformer_playground.finetuning.base_model import load_base
from transformer_playground.finetuning.build import rebuild
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.hub import silence_libraries


def _weights(model: AdapterModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.trained().items()}


def _frozen_hash(model: AdapterModel) -> str:
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode() + parameter.detach().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _train(model: AdapterModel, steps: int = 5) -> list[float]:
    """Learn one row by heart; the losses."""
    model.train()
    tokens = some_tokens(model, length=24)
    optimizer = torch.optim.AdamW(model.trained().values(), lr=0.02)
    losses = []
    for _ in range(steps):
        logits = model(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_untrained_adapters_change_nothing(architecture: Architecture, tmp_path: Path) -> None:
    folder = build_model_folder(architecture, tmp_path)
    model = adapted_model(folder)
    hf = HfModelConfig(model_name=str(folder))
    base = load_base(hf, device=CPU, dtype=torch.float32)
    tokens = some_tokens(model)
    torch.testing.assert_close(model(tokens), base(input_ids=tokens).logits)


def test_the_number_of_trained_values_is_that_of_the_paper(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("qwen2", tmp_path, tie=True), r=4, added=3)
    # Two layers; q and o: 32 to 32, v: 32 to 16; new rows of 32 in one table.
    expected = 2 * 4 * ((32 + 32) + (32 + 16) + (32 + 32)) + 3 * 32
    assert sum(parameter.numel() for parameter in model.trained().values()) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tie", [True, False])
def test_training_learns_and_leaves_the_base_alone(
    tie: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    folder = build_model_folder("llama", tmp_path, tie=tie)
    model = adapted_model(folder, added=2, dtype=dtype, extend_mlp_targets=True)
    before, trained = _frozen_hash(model), _weights(model)
    losses = _train(model, steps=12)
    assert losses[-1] < 0.7 * losses[0]
    assert _frozen_hash(model) == before
    assert {parameter.dtype for parameter in model.trained().values()} == {torch.float32}
    assert all(not torch.equal(trained[name], new) for name, new in _weights(model).items())


def test_frozen_weights_are_not_copied(tmp_path: Path) -> None:
    hf = HfModelConfig(model_name=str(build_model_folder("qwen2", tmp_path)))
    base = load_base(hf, device=CPU, dtype=torch.bfloat16)
    here = {parameter.data_ptr() for parameter in base.parameters()}
    model = adapted_model(Path(hf.model_name), dtype=torch.bfloat16)
    frozen = [each for each in model.parameters() if not each.requires_grad]
    assert len(frozen) == len(here)
    assert {parameter.dtype for parameter in frozen} == {torch.bfloat16}


def test_a_seed_means_the_same_adapters_and_disturbs_no_other_random_numbers(
    tmp_path: Path,
) -> None:
    folder = build_model_folder("llama", tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first = _weights(adapted_model(folder, added=1, seed=5))
    assert torch.equal(torch.rand(4), expected)
    second = _weights(adapted_model(folder, added=1, seed=5))
    other = _weights(adapted_model(folder, added=1, seed=6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_gradients_are_the_same_with_gradient_checkpointing(tmp_path: Path) -> None:
    folder = build_model_folder("gemma3", tmp_path)
    plain = stir(adapted_model(folder, added=2))
    saving = stir(adapted_model(folder, added=2, hf={"gradient_checkpointing": True}))
    assert saving.base.is_activation_checkpointing
    _train(plain, steps=1)
    _train(saving, steps=1)
    for (name, one), other in zip(plain.trained().items(), saving.trained().values(), strict=True):
        assert one.grad is not None, name
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_a_model_rebuilt_from_plain_values_gives_the_same_logits(
    architecture: Architecture, tmp_path: Path
) -> None:
    model = stir(adapted_model(build_model_folder(architecture, tmp_path), added=2))
    again = rebuild(model.args(), _weights(model), device=CPU, dtype=torch.float32)
    tokens = some_tokens(model)
    assert torch.equal(again(tokens), model(tokens))
    assert again.args() == model.args()
    assert not again.training


def test_another_base_model_is_refused(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path / "a"))
    args = model.args()
    args["hf_model"]["model_name"] = str(build_model_folder("llama", tmp_path / "b", seed=1))
    with pytest.raises(ModelError, match="belongs to another base model"):
        rebuild(args, _weights(model), device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("change", ["missing", "foreign", "shape"])
def test_weights_that_do_not_fit_are_named(change: str, tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path))
    weights = _weights(model)
    name = sorted(weights)[0]
    match change:
        case "missing":
            del weights[name]
        case "foreign":
            name = "a.stranger"
            weights[name] = torch.zeros(1)
        case _:
            weights[name] = torch.zeros(3, 3)
    with pytest.raises(CheckpointError, match=name):
        rebuild(model.args(), weights, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize(
    "args", [{}, {"hf_model": {}}, {"hf_model": {"model_name": 3}, "peft": {}}]
)
def test_values_of_something_else_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="do not describe an adapter model"):
        rebuild(args, {}, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"vocab_size": 10**13}, "vocab_size"),
        ({"vocab_size": 2 * 10**8}, "vocab_size"),
        ({"vocab_size": 10**6}, "1,000,000, but the base model has 320 rows and 2 tokens"),
        ({"vocab_size": -4}, "vocab_size"),
        ({"vocab_size": True}, "vocab_size"),
        ({"new_tokens": [10**9]}, "new_tokens"),
        ({"new_tokens": [-1]}, "new_tokens"),
        ({"new_tokens": ["a"]}, "new_tokens"),
        ({"new_tokens": 5}, "do not describe"),
        ({"targets": []}, "targets"),
        ({"targets": ["nope"]}, "'nope'"),
        ({"targets": [3]}, "targets"),
        ({"block_size": 0}, "block_size"),
        ({"end_token": 2**70}, "end_token"),
        ({"end_token": -1}, "end_token"),
        ({"end_token": "x"}, "end_token"),
        ({"base_fingerprint": 3}, "base model"),
        ({"peft": PeftConfig(r=65536).model_dump(mode="json")}, "rank 65536"),
    ],
)
def test_impossible_values_are_named_and_ask_for_no_memory(
    change: dict[str, Any], named: str, tmp_path: Path
) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path), added=2)
    args = model.args() | change
    with pytest.raises(CheckpointError, match=named) as caught:
        rebuild(args, _weights(model), device=CPU, dtype=torch.float32)
    assert caught.value.message.startswith("The checkpoint cannot be used: ")
    assert "Choose another checkpoint" in caught.value.hint


@pytest.mark.parametrize("settings", [{}, {"target_modules": ["v_proj"]}])
def test_layers_that_see_pictures_get_no_adapter(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = build_model_folder("gemma3", tmp_path)
    give_eyes(folder)
    model = adapted_model(folder, **settings)
    names = [name for name, _ in model.named_modules()]
    assert any("vision" in name and name.endswith("v_proj") for name in names)
    adapted = [name for name in model.trained() if "v_proj" in name]
    assert len(adapted) == 2 * 2
    assert all(".language_model." in name for name in model.trained())

    save_adapter(model, tmp_path / "adapter")
    with silence_libraries():
        plain = AutoModelForCausalLM.from_pretrained(folder)
        again = PeftModel.from_pretrained(plain, str(tmp_path / "adapter"))
    assert sorted(name for name, _ in again.named_parameters() if "lora" in name) == sorted(
        name.removeprefix("adapted.") for name in model.trained()
    )
