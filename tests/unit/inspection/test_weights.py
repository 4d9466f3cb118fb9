from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from builders.base_models import build_model_folder
from builders.lora_models import adapted_model
from builders.models import VOCAB_SIZE, architectures, lively_model, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.inspection.weights import module_tree, weight_statistics
from transformer_playground.model.base import count_parameters
from transformer_playground.model.loss import summed_cross_entropy


@settings(max_examples=20, deadline=None)
@given(config=architectures())
def test_the_tree_counts_what_the_model_counts(config: ModelConfig) -> None:
    model = lively_model(config=config)
    tree = module_tree(model, 7)
    assert tree.parameters == config.parameter_count(VOCAB_SIZE)
    assert tree.bytes == 4 * tree.parameters
    # The model's formula is of forward and backward, three times the forward pass.
    assert 3 * tree.flop_per_token == config.flop_per_token(VOCAB_SIZE, 7)
    assert tree.share == 1
    for node in tree.walk():
        assert node.parameters >= sum(child.parameters for child in node.children)


def test_the_tree_of_a_finetuned_model_tells_what_is_trained(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("qwen2", tmp_path))
    tree = module_tree(model)
    assert tree.parameters == sum(each.numel() for each in model.parameters())
    assert tree.trainable == count_parameters(model) < tree.parameters
    assert tree.flop_per_token > 2 * 2 * 32 * 64 * 3


def test_gradients_are_those_of_the_mean_loss() -> None:
    model, tokens = lively_model(dropout=0.5).train(), tokens_of(0, 3, 9)
    found = weight_statistics(model, tokens)
    assert model.training
    model.eval()
    loss = summed_cross_entropy(model(tokens[:, :-1]), tokens[:, 1:]) / 24
    loss.backward()  # type: ignore[no-untyped-call]
    assert found.loss == pytest.approx(loss.item())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        size = parameter.grad.square().mean().sqrt().item()
        assert found.parameters[name].gradient == pytest.approx(size, rel=1e-4, abs=1e-9)
        assert found.parameters[name].weight == pytest.approx(
            parameter.square().mean().sqrt().item()
        )


def test_updates_are_measured_against_another_checkpoint() -> None:
    model: Any = lively_model()
    earlier = {name: each.detach().clone() for name, each in model.named_parameters()}
    with torch.no_grad():
        model.blocks[0].mlp.up.weight.add_(0.25)
    found = weight_statistics(model, earlier=earlier).parameters
    changed = found["blocks.0.mlp.up.weight"]
    assert changed.update == pytest.approx(0.25)
    assert changed.relative_update == pytest.approx(0.25 / changed.weight)
    assert found["blocks.0.mlp.down.weight"].update == 0
    assert found["blocks.0.mlp.down.weight"].gradient is None
