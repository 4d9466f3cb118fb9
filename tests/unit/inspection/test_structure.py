from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

from builders.base_models import build_model_folder
from builders.lora_models import adapted_model
from builders.models import VOCAB_SIZE, architectures, lively_model, tiny_config, tokens_of
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import ModelError
from transformer_playground.finetuning.build import adapted_shapes
from transformer_playground.inspection.module_notes import module_notes
from transformer_playground.inspection.module_view import model_view, structure_view
from transformer_playground.inspection.shapes import shapes_of
from transformer_playground.inspection.weights import module_weights, weight_histogram


@settings(max_examples=6, deadline=None)
@given(config=architectures())
def test_shapes_without_weights_are_those_of_the_model(config: ModelConfig) -> None:
    shapes = shapes_of(ExperimentConfig(model=config), VOCAB_SIZE)
    assert all(parameter.is_meta for parameter in shapes.parameters())
    assert structure_view(shapes) == structure_view(lively_model(config=config))


@pytest.mark.parametrize("tie", [True, False])
def test_an_unknown_vocabulary_has_no_rows_and_warns_of_nothing(*, tie: bool) -> None:
    config = tiny_config(tie_embeddings=tie)
    view = structure_view(shapes_of(ExperimentConfig(model=config), None))
    assert view["parameters"] == config.parameter_count(0)


def test_a_base_model_has_its_shapes_without_its_weights(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    real = structure_view(adapted_model(folder))
    (folder / "model.safetensors").unlink()
    hf, peft = HfModelConfig(model_name=str(folder)), PeftConfig(lora_dropout=0.0)
    shapes = adapted_shapes(hf, peft, vocab_size=0, block_size=64)
    assert structure_view(shapes) == real
    modules = {each["name"]: each for each in real["modules"]}
    assert modules[""]["about"] == "LoRA rank 8, alpha 16"
    layer = "adapted.base_model.model.model.layers.1."
    assert modules[layer + "self_attn"]["about"] == "4 heads (2 key/value) × 8"
    assert modules[layer + "mlp"]["about"] == "silu 32 → 64 → 32"
    assert modules[layer + "mlp"]["neurons"] == 64
    # More tokens than the base model has: their rows are trained.
    enlarged = structure_view(adapted_shapes(hf, peft, vocab_size=330, block_size=64))
    assert enlarged["trainable"] >= real["trainable"] + 10 * 32
    with pytest.raises(ModelError):
        adapted_shapes(
            hf.model_copy(update={"model_name": str(tmp_path / "lost")}),
            peft,
            vocab_size=0,
            block_size=64,
        )


def test_ties_heads_and_special_initialisations_are_named() -> None:
    notes = module_notes(lively_model(zero_init_output=True, positional_encoding="rope"))
    assert notes["token_embedding"] == "tied: also the head"
    assert notes["blocks.1.attention"] == "4 heads × 4, rope"
    assert notes["blocks.0.attention.output"] == notes["blocks.0.mlp.down"] == "starts at zero"
    assert notes["final_norm"] == "layernorm"
    other = module_notes(
        lively_model(n_kv_head=2, qk_norm=True, attention_window=3, tie_embeddings=False)
    )
    assert other["blocks.0.attention"] == "4 heads (2 key/value) × 4, qk-norm, window 3"
    assert other["blocks.0.mlp.down"] == "initial std / √4"
    assert "token_embedding" not in other


def test_gradients_and_silent_neurons_are_of_all_windows() -> None:
    model, windows = lively_model(activation="relu"), tokens_of(0, 12, 6)
    view = model_view(model, windows, None)
    assert view["windows"] == 12
    halves = [model_view(model, windows[rows], None) for rows in (slice(6), slice(6, 12))]
    assert view["loss"] == pytest.approx(sum(half["loss"] for half in halves) / 2, rel=1e-5)
    for layer, count in enumerate(view["dead_units"]):
        assert count <= min(half["dead_units"][layer] for half in halves)


def test_a_histogram_counts_every_weight_once() -> None:
    weights = torch.randn(50, 40, generator=torch.Generator().manual_seed(1))
    weights[0, 0], weights[1, :3], weights[2, 0] = 1e6, 0.0, float("nan")
    found = weight_histogram(weights, 16)
    assert sum(found.counts) + found.outside + found.not_finite == found.total == 2000
    assert (found.outside, found.zeros, found.not_finite) == (1, 3, 1)
    alike = weight_histogram(torch.ones(7))
    assert (alike.mean, alike.std, sum(alike.counts)) == (1.0, 0.0, 7)
    assert weight_histogram(torch.full((3,), float("inf"))).not_finite == 3
    assert weight_histogram(torch.empty(0)).total == 0


def test_the_weights_of_a_module_are_its_matrices_else_those_inside_it() -> None:
    model = lively_model(bias=True)
    sizes = {
        name: 0 if (found := module_weights(model, name)) is None else found.numel()
        for name in ("blocks.0.mlp.up", "blocks.0.mlp", "final_norm", "dropout", "nothing")
    }
    assert list(sizes.values()) == [16 * 64, 2 * 16 * 64, 2 * 16, 0, 0]
