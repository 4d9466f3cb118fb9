"""Layers that allocate their weights and leave the values to `model.initialisation`."""

import torch
from torch import nn


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """A linear layer with unset weights: torch's own start would disturb the global generator.

    A widening layer's weight (outputs, inputs) lies transposed in memory. Drawing one token at a
    time multiplies matrices by single vectors, and a CPU does that about twice as fast along the
    longer side of the matrix; training is as fast either way.
    """
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
    if outputs > inputs:
        layer.weight = nn.Parameter(torch.empty(inputs, outputs).t())
    return layer


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table with unset weights."""
    # Built on the meta device like the above, it would import half a second of torch's internals.
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))
