"""Layers that allocate their weights and leave the values to `model.initialisation`."""

from torch import nn


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """A linear layer with unset weights: torch's own start would disturb the global generator."""
    return nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table with unset weights."""
    return nn.Embedding(rows, width, device="meta").to_empty(device="cpu")
