"""The views of neurons, embeddings and modules as JSON documents."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import UsageError
from transformer_playground.inspection.module_notes import module_notes
from transformer_playground.inspection.neurons import (
    dead_units,
    hidden_units,
    most_active,
    nearest_tokens,
)
from transformer_playground.inspection.tokens import named_token
from transformer_playground.inspection.weights import ModuleNode, module_tree, weight_statistics
from transformer_playground.model.base import LanguageModel
from transformer_playground.runs.generation import token_text

# Tokens before and after a place.
_BEFORE, _AFTER = 24, 8


def neurons_view(
    model: LanguageModel, windows: Tensor, tokenizer: Tokenizer, asked: str
) -> dict[str, Any]:
    """Neurons that fire most, or one of them, with the texts around.

    Args:
        model: The model.
        windows: Texts (N, T).
        tokenizer: Its tokenizer.
        asked: LAYER or LAYER.NEURON.

    Raises:
        UsageError: There is no such layer or neuron.
    """
    layer, _, index = asked.partition(".")
    if not (layer.isdecimal() and (index.isdecimal() or index == "")) or asked.endswith("."):
        raise UsageError(
            f"'{asked}' is neither a layer nor a neuron.",
            "Write LAYER or LAYER.NEURON, counted from 0.",
        )
    chosen = [int(index)] if index else None
    rows = windows.tolist()

    def text(row: int, start: int, stop: int) -> str:
        kept = rows[row][max(0, start) : max(0, stop)]
        return "".join(token_text(tokenizer, token) for token in kept)

    return {
        "layer": int(layer),
        "windows": len(rows),
        "neurons": [
            {
                "neuron": neuron.index,
                "firings": [
                    {
                        "activation": place.activation,
                        "window": place.window,
                        "position": place.position,
                        "before": text(place.window, place.position - _BEFORE, place.position),
                        "token": text(place.window, place.position, place.position + 1),
                        "after": text(place.window, place.position + 1, place.position + _AFTER),
                    }
                    for place in neuron.firings
                ],
            }
            for neuron in most_active(model, windows, int(layer), neurons=chosen)
        ],
    }


def neighbours_view(model: LanguageModel, tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    """Tokens with the most similar embeddings."""
    return {
        "token": named_token(tokenizer, token),
        "neighbours": [
            named_token(tokenizer, each.token) | {"similarity": each.similarity}
            for each in nearest_tokens(model, token)
        ],
    }


def structure_view(model: LanguageModel) -> dict[str, Any]:
    """Modules with their sizes and costs; weights are not read, and may be on the meta device."""
    tree = module_tree(model)
    about, units = module_notes(model), hidden_units(model)
    neurons = {name: units[module] for name, module in model.named_modules() if module in units}
    return {
        "parameters": tree.parameters,
        "trainable": tree.trainable,
        "bytes": tree.bytes,
        "flop_per_token": tree.flop_per_token,
        "cache_bytes_per_token": model.cache_bytes(1),
        "modules": [
            _module(node) | {"about": about.get(node.name, ""), "neurons": neurons.get(node.name)}
            for node in tree.walk()
        ],
    }


def model_view(
    model: LanguageModel, windows: Tensor | None, earlier: Mapping[str, Tensor] | None
) -> dict[str, Any]:
    """Modules with their sizes and costs, and the statistics of their weights.

    Args:
        model: The model.
        windows: Texts (N, T) for gradients and silent neurons; None = without.
        earlier: Parameters of another checkpoint, for updates.
    """
    usable = windows if windows is not None and windows.shape[1] > 1 else None
    statistics = weight_statistics(model, usable, earlier)
    return structure_view(model) | {
        "windows": 0 if windows is None else len(windows),
        "loss": statistics.loss,
        "dead_units": None if windows is None else dead_units(model, windows),
        "weights": [
            {
                "name": name,
                "shape": list(each.shape),
                "weight_rms": each.weight,
                "gradient_rms": each.gradient,
                "update_rms": each.update,
                "relative_update": each.relative_update,
            }
            for name, each in statistics.parameters.items()
        ],
    }


def _module(node: ModuleNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "kind": node.kind,
        "parameters": node.parameters,
        "trainable": node.trainable,
        "share": node.share,
        "bytes": node.bytes,
        "flop_per_token": node.flop_per_token,
        "shapes": {name: list(shape) for name, shape in node.shapes.items()},
    }
