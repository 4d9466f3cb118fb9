"""Copies of models that decode one token at a time faster.

A product of a matrix with one row takes as long as reading the matrix, so what counts is how fast a
library reads it (`blas.py`). Around the products, looking up and calling modules takes as long as
computing.
"""

import copy
import functools
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.model.blas import prefers_numpy, use_one_thread
from transformer_playground.model.positions import Positions
from transformer_playground.model.quantization import Int8Linear

_M = TypeVar("_M", bound=nn.Module)


def decoding_copy(model: _M) -> _M:
    """A copy of a model in evaluation mode that shares its weights, for inference only.

    It is used as the model, but is no tree of modules: inside, parameters are plain attributes, and
    submodules are functions without hooks.
    """
    return _copied(model)


@torch.no_grad()
def store_for_decoding(model: nn.Module) -> None:
    """Store the weights of linear layers in the layout in which one row is fastest, in place.

    Numpy's BLAS reads columns faster from memory.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight.device.type == "cpu":
            weight = module.weight
            if weight.dtype == torch.float32 and not prefers_numpy():
                continue
            by_columns = weight.dtype == torch.float32
            stored = weight.t().contiguous().t() if by_columns else weight.contiguous()
            module.weight = nn.Parameter(stored, requires_grad=weight.requires_grad)


def _copied(module: _M) -> _M:
    chosen = copy.copy(module)
    attributes = vars(chosen)
    attributes["training"] = False
    attributes.update(module.named_parameters(recurse=False))
    attributes.update(module.named_buffers(recurse=False))
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            attributes[name] = [_function(each) for each in child]
        else:
            attributes[name] = _function(child)
    return chosen


def _function(module: nn.Module) -> Callable[..., object]:
    if isinstance(module, nn.Linear | Int8Linear):
        return linear_function(module)
    if isinstance(module, nn.LayerNorm):
        return _layer_norm_function(module)
    # These are used for more than calls.
    return module if isinstance(module, nn.Embedding | Positions) else _copied(module).forward


def linear_function(layer: nn.Linear | nn.Embedding | Int8Linear) -> Callable[[Tensor], Tensor]:
    """A linear layer as a function, faster for one row; of an embedding, its table's product."""
    if isinstance(layer, Int8Linear):
        return layer.function()
    weight = layer.weight.detach()
    bias = None if isinstance(layer, nn.Embedding) else layer.bias
    product = _vector_product(weight, bias)
    if product is None:
        return lambda x: functional.linear(x, weight, bias)
    inputs = weight.shape[1]

    def apply(x: Tensor) -> Tensor:
        if x.numel() != inputs:
            return functional.linear(x, weight, bias)
        return product(x.view(-1)).view(*x.shape[:-1], -1)

    return apply


def _layer_norm_function(norm: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda x: torch.layer_norm(x, shape, weight, bias, eps)


def _vector_product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    if weight.device.type != "cpu":
        return None
    if weight.dtype == torch.bfloat16:
        return _bfloat16_product(weight, bias)
    if weight.dtype == torch.float32 and prefers_numpy():
        return _float32_product(weight, bias)
    return None


def _float32_product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    use_one_thread()
    matrix = weight.numpy()
    if bias is None:
        return lambda x: torch.from_numpy(np.dot(matrix, x.numpy()))
    return lambda x: torch.from_numpy(np.dot(matrix, x.numpy())).add_(bias)


def _bfloat16_product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    if bias is None:
        return functools.partial(torch.mv, weight)
    return functools.partial(torch.addmv, bias, weight)
