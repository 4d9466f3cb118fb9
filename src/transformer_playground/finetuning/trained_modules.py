"""Base weights trained together with LoRA: `modules_to_save` and embedding rows of new tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.utils.other import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn
from torch.nn import functional


def train_in_float32(adapted: nn.Module) -> None:
    """Cast trained parameters to float32, since small updates would be lost in bfloat16.

    Modules trained in full convert their inputs and outputs.
    """
    for module in _modules_to_save(adapted):
        dtype = next(iter(module.parameters())).dtype
        if dtype != torch.float32:
            module.register_forward_pre_hook(_inputs_to_float32)
            module.register_forward_hook(_CastOutput(dtype))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def cast_trained_modules(adapted: nn.Module, dtype: torch.dtype) -> None:
    """Undo `train_in_float32` for modules trained in full: cast them to `dtype`."""
    for module in _modules_to_save(adapted):
        module.to(dtype)
        # These modules have no other hooks.
        module._forward_pre_hooks.clear()
        module._forward_hooks.clear()


def fill_new_rows(adapted: nn.Module, means: Tensor, ids: Sequence[int]) -> None:
    """Initialise the rows of new tokens with the mean row, in tables trained in full.

    Args:
        adapted: PEFT's model.
        means: Mean rows of embedding and head, (2, width).
        ids: The new token ids.
    """
    base: Any = adapted
    tables = base.get_input_embeddings(), base.get_output_embeddings()
    for mean, table in zip(means, tables, strict=True):
        if isinstance(table, ModulesToSaveWrapper):
            with torch.no_grad():
                for copy in table.modules_to_save.values():
                    weight: Any = copy.weight
                    weight[list(ids)] = mean.to(weight)


def _modules_to_save(adapted: nn.Module) -> Iterator[nn.Module]:
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper):
            yield from module.modules_to_save.values()


def _inputs_to_float32(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
        for value in inputs
    )


class _CastOutput:
    """Forward hook that casts the output; a class, so that it can be deep-copied."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def __call__(self, _module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> Any:
        return output.to(self._dtype) if isinstance(output, Tensor) else output


class TrainedRows(TrainableTokensLayer):
    """PEFT's layer of trainable tokens with a cheaper forward pass.

    PEFT copies the whole frozen table in every pass to insert the new rows, and its gradient is as
    large. Here only the new rows are computed, with the same result. Parameter names, saved files
    and merging are those of PEFT.
    """

    new_ids: Tensor

    def forward_adapters(self, x: Tensor, active_adapters: Sequence[str]) -> Tensor:
        """Output of the wrapped layer with the new rows.

        Args:
            x: Tokens (B, T) for an embedding, or hidden states (B, T, width) for a head.
            active_adapters: PEFT's name of the only adapter.

        Returns:
            (B, T, width) for an embedding, logits (B, T, rows) for a head.
        """
        (adapter,) = active_adapters
        rows: Tensor = self.trainable_tokens_delta[adapter]
        ids = self.new_ids
        result: Tensor = self.base_layer(x)
        rows = rows.to(result.dtype)
        if isinstance(self.base_layer, nn.Embedding):
            index = torch.searchsorted(ids, x.contiguous()).clamp(max=len(ids) - 1)
            scale = getattr(self.base_layer, "embed_scale", None)
            if scale is not None:
                rows = rows * scale.to(rows.dtype)
            is_new = (ids[index] == x).unsqueeze(-1)
            return torch.where(is_new, functional.embedding(index, rows), result)
        bias: Any = self.base_layer.bias
        new = functional.linear(x, rows, None if bias is None else bias[ids])
        # No gradient needs the head's output, so it can be modified in place.
        return result.index_copy_(-1, ids, new)


def train_new_rows(model: nn.Module, means: Tensor, ids: Sequence[int]) -> None:
    """Set up the training of new embedding rows; they are initialised with the mean row.

    Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models".

    Args:
        model: PEFT's model with trainable tokens.
        means: Mean rows of embedding and head, (2, width).
        ids: The new token ids, ascending.
    """
    for module in model.modules():
        if not isinstance(module, TrainableTokensWrapper):
            continue
        layer: Any = module.token_adapter
        # PEFT creates its own class; TrainedRows only replaces the forward pass.
        layer.__class__ = TrainedRows
        weight = layer.base_layer.weight
        layer.register_buffer("new_ids", torch.tensor(ids, device=weight.device), persistent=False)
        if layer.tied_adapter is None:
            is_head = not isinstance(layer.base_layer, nn.Embedding)
            with torch.no_grad():
                for rows in layer.trainable_tokens_delta.values():
                    rows.copy_(means[int(is_head)].expand_as(rows))


def mean_rows(base: Any, ids: Sequence[int]) -> Tensor:
    """Mean rows of embedding and head without `ids`, float32 (2, width)."""
    tables = [base.get_input_embeddings().weight, base.get_output_embeddings().weight]
    return torch.stack([_mean_without(table.detach(), ids) for table in tables])


def _mean_without(table: Tensor, ids: Sequence[int]) -> Tensor:
    if table.is_meta:
        return table.new_empty(table.shape[1], dtype=torch.float32)
    # In chunks: a float32 copy of a large vocabulary's table would be a gigabyte.
    total = torch.zeros(table.shape[1], dtype=torch.float64, device="cpu")
    for chunk in torch.split(table, 4096):
        total += chunk.float().sum(dim=0).cpu().double()
    existing = [token for token in ids if token < len(table)]
    total -= table[existing].float().sum(dim=0).cpu().double()
    return (total / (len(table) - len(existing))).float()
