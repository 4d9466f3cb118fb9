"""Embedding rows of tokens that the base model never saw: trained, while all others stay frozen.

PEFT keeps such rows beside the frozen table ("trainable tokens") and puts them in place by copying
the whole table in every pass; its gradient is as large again. Here only the new rows are computed,
with the same result. Names, saved files and merging are PEFT's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.utils.other import TrainableTokensWrapper
from torch import Tensor, nn
from torch.nn import functional


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
