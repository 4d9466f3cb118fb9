from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from torch.nn import functional

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder
from builders.lora_models import CPU, adapted_model, some_tokens, stir
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.finetuning.base_model import load_base
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.finetuning.trained_modules import TrainedRows


def _rows(model: AdapterModel) -> dict[str, torch.Tensor]:
    return {
        name: parameter
        for name, parameter in model.trained().items()
        if "trainable_tokens_delta" in name
    }


def _as_peft_computes(model: AdapterModel) -> AdapterModel:
    layers: list[Any] = [each for each in model.modules() if isinstance(each, TrainedRows)]
    for layer in layers:
        layer.__class__ = TrainableTokensLayer
    return model


@pytest.mark.parametrize("extra_rows", [0, 7])
@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_gradients_are_those_of_peft(
    architecture: Architecture, tie: bool, extra_rows: int, tmp_path: Path
) -> None:
    folder = build_model_folder(architecture, tmp_path, tie=tie, extra_rows=extra_rows)
    ours = stir(adapted_model(folder, added=3))
    theirs = _as_peft_computes(stir(adapted_model(folder, added=3)))
    tokens = torch.cat([some_tokens(ours), torch.tensor([[320, 5, 322], [321, 321, 7]])], dim=1)
    for model in (ours, theirs):
        model(tokens).square().mean().backward()
    torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=1e-4, atol=1e-5)
    for name, parameter in ours.trained().items():
        other = theirs.get_parameter(name)
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-5)
    assert len(_rows(ours)) == (1 if tie else 2)


def test_the_table_grows_only_if_it_is_too_small(tmp_path: Path) -> None:
    small = adapted_model(build_model_folder("qwen2", tmp_path / "a"), added=2)
    large = adapted_model(build_model_folder("qwen2", tmp_path / "b", extra_rows=7), added=2)
    assert (small.vocab_size, large.vocab_size) == (322, 327)
    assert {tuple(rows.shape) for rows in _rows(large).values()} == {(2, 32)}


@pytest.mark.parametrize("extra_rows", [0, 7])
def test_new_rows_begin_as_the_mean_of_the_old(extra_rows: int, tmp_path: Path) -> None:
    folder = build_model_folder("llama", tmp_path, tie=False, extra_rows=extra_rows)
    base = load_base(HfModelConfig(model_name=str(folder)), device=CPU, dtype=torch.float32)
    embedding, head = base.get_input_embeddings().weight, base.get_output_embeddings().weight
    old = [row for row in range(320 + extra_rows) if row not in (320, 321)]
    rows = _rows(adapted_model(folder, added=2))
    for table in (embedding, head):
        mean = table.detach()[old].mean(dim=0).expand(2, -1)
        assert sum(torch.allclose(mean, each, atol=1e-6) for each in rows.values()) == 1


def test_rows_that_the_base_lacks_are_trained_though_nobody_named_them(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path))
    assert _rows(model) == {}
    assert model.model_args.new_tokens == ()
    grown = adapted_model(build_model_folder("llama", tmp_path / "b"), added=3)
    assert grown.model_args.new_tokens == (320, 321, 322)


def test_a_pass_keeps_no_second_table_for_the_gradients(tmp_path: Path) -> None:
    model = stir(adapted_model(build_model_folder("llama", tmp_path), added=2))
    table = (model.vocab_size, 32)
    kept: list[tuple[int, ...]] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not any(tensor.data_ptr() == each.data_ptr() for each in model.parameters()):
            kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(some_tokens(model))
    assert kept
    assert table not in kept
    assert table[::-1] not in kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_modules_are_trained_in_float32_whatever_the_base_is(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False)
    model = adapted_model(
        folder,
        dtype=dtype,
        added=2,
        target_modules=["q_proj"],
        modules_to_save=["lm_head", "embed_tokens", "layers.0.mlp", "norm"],
    ).train()
    tokens = some_tokens(model)
    before = {name: parameter.detach().clone() for name, parameter in model.trained().items()}
    logits = model(tokens)
    assert logits.dtype == dtype
    functional.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten()).backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(model.trained().values(), lr=1.0).step()
    for name, parameter in model.trained().items():
        assert parameter.dtype == torch.float32
        # An adapter's first half waits for the second, which is zero.
        if "lora_A" not in name:
            assert not torch.equal(parameter, before[name]), name


def test_new_rows_of_a_table_trained_as_a_whole_begin_as_the_mean(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False, extra_rows=4)
    model = adapted_model(folder, added=2, modules_to_save=["embed_tokens"])
    table = next(
        parameter
        for name, parameter in model.trained().items()
        if name.endswith("embed_tokens.modules_to_save.default.weight")
    ).detach()
    old = [row for row in range(324) if row not in (320, 321)]
    expected = table[old].mean(dim=0).expand(2, -1)
    torch.testing.assert_close(table[320:322], expected)
    assert sum("trainable_tokens_delta" in name for name in model.trained()) == 1
