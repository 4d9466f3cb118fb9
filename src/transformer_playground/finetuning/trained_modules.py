"""Base weights that are trained beside LoRA: whole modules, and embedding rows of new tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.utils.other import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import Tensor, nn
from torch.nn import functional


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


class TrainedRows(TrainableTokensLayer):
    """PEFT's layer with a forward pass that costs as much as the new rows do."""

    new_ids: Tensor

    def forward_adapters(self, x: Tensor, active_adapters: Sequence[str]) -> Tensor:
        """What the wrapped layer gives, with the new rows in place.

        Args:
            x: Tokens (B, T) of an embedding, or hidden states (B, T, width) of a head.
            active_adapters: PEFT's name of the one adapter.

        Returns:
            (B, T, width) of an embedding, logits (B, T, rows) of a head.
        """
        (adapter,) = active_adapters
        rows: Tensor = self.trainable_tokens_delta[adapter]
        ids = self.new_ids
        result: Tensor = self.base_layer(x)
        rows = rows.to(result.dtype)
        if isinstance(self.base_layer, nn.Embedding):
            place = torch.searchsorted(ids, x.contiguous()).clamp(max=len(ids) - 1)
            scale = getattr(self.base_layer, "embed_scale", None)
            if scale is not None:
                rows = rows * scale.to(rows.dtype)
            is_new = (ids[place] == x).unsqueeze(-1)
            return torch.where(is_new, functional.embedding(place, rows), result)
        bias: Any = self.base_layer.bias
        new = functional.linear(x, rows, None if bias is None else bias[ids])
        # The head's output is needed by no gradient, so it can be written into.
        return result.index_copy_(-1, ids, new)


def train_rows(model: nn.Module, table: Tensor, ids: Sequence[int]) -> None:
    """Give every layer with new rows its quick forward pass, and the rows their first values.

    They begin as the mean of the rows that the base model was trained with (Hewitt 2021,
    "Initializing New Word Embeddings for Pretrained Language Models"); no random numbers.

    Args:
        model: PEFT's model with trainable tokens.
        table: Means of the embedding's rows and the head's: (2, width).
        ids: The new tokens, ascending.
    """
    for module in model.modules():
        if not isinstance(module, TrainableTokensWrapper):
            continue
        layer: Any = module.token_adapter
        # PEFT builds its own class; only the class knows how the pass is computed.
        layer.__class__ = TrainedRows
        weight = layer.base_layer.weight
        layer.register_buffer("new_ids", torch.tensor(ids, device=weight.device), persistent=False)
        if layer.tied_adapter is None:
            is_head = not isinstance(layer.base_layer, nn.Embedding)
            with torch.no_grad():
                for rows in layer.trainable_tokens_delta.values():
                    rows.copy_(table[int(is_head)].expand_as(rows))


def mean_rows(base: Any, ids: Sequence[int]) -> Tensor:
    """Means over the old rows of the embedding and of the head, float32 (2, width)."""
    tables = [base.get_input_embeddings().weight, base.get_output_embeddings().weight]
    return torch.stack([_mean_without(table.detach(), ids) for table in tables])


def _mean_without(table: Tensor, ids: Sequence[int]) -> Tensor:
    # Piece by piece: a float32 copy of a large vocabulary's table would be a gigabyte.
    total = torch.zeros(table.shape[1], dtype=torch.float64, device="cpu")
    for piece in torch.split(table, 4096):
        total += piece.float().sum(dim=0).cpu().double()
    inside = [token for token in ids if token < len(table)]
    total -= table[inside].float().sum(dim=0).cpu().double()
    return (total / (len(table) - len(inside))).float()
