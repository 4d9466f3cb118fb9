"""What a model's attention really does, tried out on a few tokens."""

from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.errors import ConfigError, ModelError

_LENGTH = 4
# Far below what a token that is seen changes, far above what another order of additions does.
_TOLERANCE = 1e-3


def check_attention(base: Any, hf: HfModelConfig) -> None:
    """Make sure that no token sees a later one or, with packing, another document.

    Whether an architecture heeds positions that begin anew is nowhere declared, and one that does
    not would train on documents that run into each other without a word.

    Args:
        base: The model in evaluation mode, not yet adapted.
        hf: The `[hf_model]` table.

    Raises:
        ModelError: The model is not causal.
        ConfigError: It cannot keep packed documents apart.
    """
    table = base.get_input_embeddings().weight
    tokens = (7 * torch.arange(2 * _LENGTH, device=table.device) + 11) % len(table)
    other_first, other_last = tokens.clone(), tokens.clone()
    other_first[:_LENGTH] = (tokens[:_LENGTH] + 3) % len(table)
    other_last[-1] = (tokens[-1] + 3) % len(table)

    plain, changed = _logits(base, torch.stack([tokens, other_last]), None)
    if not _alike(plain[:-1], changed[:-1]):
        raise ModelError(
            f"{hf.model_name} is no causal language model: its tokens see later ones.",
            "Finetuning needs a model that predicts the next token, such as Qwen, Llama or Gemma.",
        )
    if hf.packing:
        positions = torch.arange(_LENGTH, device=table.device).repeat(2, 2)
        try:
            plain, changed = _logits(base, torch.stack([tokens, other_first]), positions)
        except TypeError:
            apart = False
        else:
            apart = _alike(plain[_LENGTH:], changed[_LENGTH:])
        if not apart:
            raise ConfigError(
                f"{hf.model_name} cannot keep packed documents apart: "
                "its layers do not heed where one begins.",
                "Set hf_model.packing = false: one document a row, padded.",
            )


@torch.no_grad()
def _logits(base: Any, tokens: Tensor, positions: Tensor | None) -> Tensor:
    options = {} if positions is None else {"position_ids": positions}
    logits: Tensor = base(input_ids=tokens, use_cache=False, **options).logits
    return logits.float()


def _alike(one: Tensor, other: Tensor) -> bool:
    scale = one.abs().max()
    return bool((one - other).abs().max() <= _TOLERANCE * scale)
