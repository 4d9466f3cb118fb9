"""Neurons of the MLPs: what makes them fire most, and which never do."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformer_playground.errors import UsageError
from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.recording import Site, record
from transformer_playground.inspection.weights import input_width
from transformer_playground.model.base import LanguageModel

_DEAD = 0.01
# Windows of one forward pass.
_ROWS = 8


@dataclass(frozen=True)
class Firing:
    """Where a neuron is active: its activation at a position of a window, both counted from 0."""

    activation: float
    window: int
    position: int


@dataclass(frozen=True)
class Neuron:
    """A hidden unit of an MLP with its most active places, the most active first."""

    layer: int
    index: int
    firings: tuple[Firing, ...]


def most_active(
    model: LanguageModel,
    windows: Tensor,
    layer: int,
    *,
    neurons: Iterable[int] | None = None,
    count: int = 10,
    places: int = 5,
) -> list[Neuron]:
    """Neurons of a layer with the windows in which they fire most (Karpathy et al. 2015).

    A neuron is the input of the MLP's output projection: of a gated MLP, the product with the gate.
    One place of each window is shown, so that a long burst does not hide the others.

    Args:
        model: The model.
        windows: Texts (N, T) int64.
        layer: The layer.
        neurons: Which neurons; None = the `count` with the highest activation anywhere.
        count: How many neurons to choose.
        places: Windows for each neuron.

    Raises:
        UsageError: The model has no MLP or neuron of this number.
    """
    activations = _activations(model, windows, layer)
    peaks, positions = activations.max(dim=1)
    hidden = peaks.shape[1]
    if neurons is None:
        neurons = peaks.amax(dim=0).topk(min(count, hidden)).indices.tolist()
    chosen = list(neurons)
    for index in chosen:
        if not 0 <= index < hidden:
            raise UsageError(f"There is no neuron {index}: the layer has 0 to {hidden - 1}.")
    found = []
    for index in chosen:
        values, rows = peaks[:, index].topk(min(places, len(windows)))
        firings = tuple(
            Firing(value, row, int(positions[row, index]))
            for value, row in zip(values.tolist(), rows.tolist(), strict=True)
        )
        found.append(Neuron(layer, index, firings))
    return found


def dead_units(model: LanguageModel, windows: Tensor) -> list[int]:
    """How many neurons of each layer stay silent on these texts (N, T).

    Silent: never further from 0 than a hundredth of what half of the layer's neurons reach; with
    ReLU, never active (Lu et al. 2019, "Dying ReLU").
    """
    layers = parts_of(model).layers
    sites = [Site("neurons", n) for n, layer in enumerate(layers) if layer.mlp is not None]
    reached: dict[Site, Tensor] = {}
    if sites:
        # The highest activations so far are all that is kept of a text.
        for rows in torch.split(windows, _ROWS):
            for site, values in record(model, rows, sites).activations.items():
                highest = values.float().abs().amax(dim=(0, 1))
                reached[site] = torch.maximum(reached.get(site, highest), highest)
    silent = {site: int((top <= _DEAD * top.median()).sum()) for site, top in reached.items()}
    return [silent.get(Site("neurons", number), 0) for number in range(len(layers))]


def hidden_units(model: LanguageModel) -> dict[nn.Module, int]:
    """Number of neurons of each MLP, in order of the layers."""
    return {
        layer.mlp: input_width(layer.mlp_output)
        for layer in parts_of(model).layers
        if layer.mlp is not None and layer.mlp_output is not None
    }


def _activations(model: LanguageModel, windows: Tensor, layer: int) -> Tensor:
    """Activations (N, T, hidden) of a layer's neurons, float32."""
    layers = parts_of(model).layers
    if not 0 <= layer < len(layers):
        raise UsageError(f"There is no layer {layer}: the model has layers 0 to {len(layers) - 1}.")
    if layers[layer].mlp is None:
        raise UsageError("This model has no MLPs, and so no neurons.")
    site = Site("neurons", layer)
    parts = [record(model, rows, [site])[site].float() for rows in torch.split(windows, _ROWS)]
    return torch.cat(parts)


@dataclass(frozen=True)
class Neighbour:
    """A token and the cosine of the angle between its embedding and that of another."""

    token: int
    similarity: float


def nearest_tokens(model: LanguageModel, token: int, count: int = 10) -> list[Neighbour]:
    """Tokens whose embeddings point most nearly the same way (Mikolov et al. 2013).

    Raises:
        UsageError: The token is outside the vocabulary.
    """
    table = parts_of(model).embeddings.detach().float()
    if not 0 <= token < len(table):
        raise UsageError(f"There is no token {token}: the vocabulary has {len(table):,}.")
    directions = torch.nn.functional.normalize(table, dim=1)
    similarities = directions @ directions[token]
    similarities[token] = -2
    values, tokens = similarities.topk(min(count, len(table) - 1))
    return [Neighbour(*pair) for pair in zip(tokens.tolist(), values.tolist(), strict=True)]
