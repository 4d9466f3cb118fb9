from typing import Any

import pytest
import torch

from builders.models import lively_model, tokens_of
from transformer_playground.errors import UsageError
from transformer_playground.inspection.neurons import dead_units, most_active, nearest_tokens


def _detector(token: int) -> Any:
    """Neuron 7 of layer 0 fires on one token; neuron 3 never does."""
    model: Any = lively_model(n_layer=1, positional_encoding="none", activation="relu", bias=True)
    block = model.blocks[0]
    with torch.no_grad():
        block.attention.output.weight.zero_()
        block.attention.output.bias.zero_()
        block.mlp.up.bias.zero_()
        block.mlp.up.weight[3] = 0
        block.mlp.up.bias[3] = -1
        block.mlp.up.weight[7] = 50 * block.mlp_norm(model.token_embedding.weight[token])
        block.mlp.up.bias[7] = -700
    return model


def test_the_neuron_that_detects_a_token_is_shown_where_it_stands() -> None:
    windows = tokens_of(0, 4, 10)
    windows[windows == 5] = 6
    windows[2, 4] = 5
    (neuron,) = most_active(_detector(5), windows, 0, neurons=[7], places=2)
    first, second = neuron.firings
    assert (first.window, first.position) == (2, 4)
    assert first.activation > second.activation


def test_sharp_neurons_come_first() -> None:
    windows = tokens_of(0, 4, 10)
    windows[windows == 5] = 6
    windows[2, 4] = 5
    assert most_active(_detector(5), windows, 0, count=1)[0].index == 7


def test_silent_neurons_are_counted() -> None:
    model, windows = _detector(5), tokens_of(0, 4, 10)
    before = dead_units(model, windows)[0]
    with torch.no_grad():
        model.blocks[0].mlp.up.bias[7] = -1e9
    assert before >= 1
    assert dead_units(model, windows) == [before + 1]


def test_models_without_neurons_and_numbers_outside_are_refused() -> None:
    windows = tokens_of(0, 1, 4)
    assert dead_units(lively_model(mlp_enabled=False), windows) == [0, 0]
    with pytest.raises(UsageError, match="no MLPs"):
        most_active(lively_model(mlp_enabled=False), windows, 0)
    with pytest.raises(UsageError, match="no layer 2"):
        most_active(lively_model(), windows, 2)
    with pytest.raises(UsageError, match="no neuron 64"):
        most_active(lively_model(), windows, 0, neurons=[64])


def test_neighbours_are_ordered_by_direction_not_by_length() -> None:
    model = lively_model()
    with torch.no_grad():
        table = model.token_embedding.weight
        table.zero_()
        table[:, 0] = -1
        table[0, :2] = torch.tensor([1.0, 0.0])
        table[4, :2] = torch.tensor([300.0, 10.0])
        table[9, :2] = torch.tensor([0.1, 0.05])
    found = nearest_tokens(model, 0, 2)
    assert [each.token for each in found] == [4, 9]
    assert found[0].similarity == pytest.approx(300 / (300**2 + 10**2) ** 0.5)
    with pytest.raises(UsageError, match="no token 13"):
        nearest_tokens(model, 13)
