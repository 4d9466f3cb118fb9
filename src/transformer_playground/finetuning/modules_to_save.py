"""Modules that are trained as a whole beside a base model in a coarser format."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn


def train_in_float32(adapted: nn.Module) -> None:
    """Keep every trained parameter in float32; modules among frozen ones convert what they read.

    In bfloat16 most steps of finetuning would be rounded away.
    """
    for module in _trained_copies(adapted):
        coarse = next(iter(module.parameters())).dtype
        if coarse != torch.float32:
            module.register_forward_pre_hook(_read_float32)
            module.register_forward_hook(_Give(coarse))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def take_format(adapted: nn.Module, dtype: torch.dtype) -> None:
    """Undo `train_in_float32` for modules trained as a whole: they become `dtype` like the rest."""
    for module in _trained_copies(adapted):
        module.to(dtype)
        # Nothing else hooks into these modules, so no handles were kept.
        module._forward_pre_hooks.clear()
        module._forward_hooks.clear()


def fill_rows(adapted: nn.Module, means: Tensor, ids: Sequence[int]) -> None:
    """Begin the rows of new tokens with the mean of the old, in tables trained as a whole.

    Args:
        adapted: PEFT's model.
        means: Means of the embedding's rows and the head's: (2, width).
        ids: The new tokens.
    """
    base: Any = adapted
    tables = base.get_input_embeddings(), base.get_output_embeddings()
    for mean, table in zip(means, tables, strict=True):
        if isinstance(table, ModulesToSaveWrapper):
            with torch.no_grad():
                for copy in table.modules_to_save.values():
                    weight: Any = copy.weight
                    weight[list(ids)] = mean.to(weight)


def _trained_copies(adapted: nn.Module) -> Iterator[nn.Module]:
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper):
            yield from module.modules_to_save.values()


def _read_float32(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
        for value in inputs
    )


class _Give:
    """Converts what a module gives. A class, so that a copied model keeps it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __call__(self, _module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
        return output.to(self._dtype) if isinstance(output, Tensor) else output
