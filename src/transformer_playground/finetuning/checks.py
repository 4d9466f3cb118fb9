"""Finetuning checks: `[hf_model]` and `[peft]` against the base model and its attention."""

from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.finetuning.targets import is_named

# Tokens of each of the two test documents.
_LENGTH = 4
# Far below the effect of a visible token, far above rounding.
_TOLERANCE = 1e-3


def check_context(base: Any, hf: HfModelConfig, block_size: int) -> None:
    """ConfigError if the context is longer than the model's positions."""
    longest = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and block_size > longest:
        raise ConfigError(
            f"The context of {block_size} tokens is longer than the {longest} positions of "
            f"{hf.model_name}.",
            f"Set hf_model.block_size to at most {longest}.",
        )


def check_bias(base: Any, peft: PeftConfig) -> None:
    """ConfigError if biases of the base model would be trained in less than float32."""
    dtype = base.get_input_embeddings().weight.dtype
    if peft.bias != "none" and dtype != torch.float32:
        raise ConfigError(
            f"peft.bias = '{peft.bias}' trains biases of the base model, which are "
            f"{str(dtype).removeprefix('torch.')} here: too imprecise for small updates.",
            "Set hf_model.dtype = 'float32', or peft.bias = 'none'.",
        )


def check_checkpointing(base: Any, hf: HfModelConfig) -> None:
    """ConfigError if gradient checkpointing is set and the architecture does not support it."""
    if hf.gradient_checkpointing and not base.supports_gradient_checkpointing:
        raise ConfigError(
            f"The architecture of {hf.model_name} does not support gradient checkpointing.",
            "Set hf_model.gradient_checkpointing = false; a smaller train.data.batch_size saves "
            "memory, too.",
        )


def resolve_modules_to_save(base: Any, peft: PeftConfig) -> tuple[str, ...]:
    """Full names of the modules of `peft.modules_to_save`, which are trained in full.

    Args:
        base: The base model without adapters.
        peft: The `[peft]` table with resolved targets.

    Raises:
        ModelError: The model has no module of that name.
        ConfigError: The module also gets an adapter, or has tied weights.
    """
    modules = [name for name, _ in base.named_modules() if name]
    found: dict[str, None] = {}
    for wanted in peft.modules_to_save:
        named = [name for name in modules if is_named(name, wanted)]
        if not named:
            ends = {name.rpartition(".")[2] for name in modules}
            raise ModelError(
                f"peft.modules_to_save names '{wanted}', but the model has no such module.",
                f"Its modules are {', '.join(sorted(end for end in ends if not end.isdigit()))}.",
            )
        found |= dict.fromkeys(named)
    for name in found:
        inside = [
            target
            for module in modules
            if module == name or module.startswith(name + ".")
            for target in peft.target_modules
            if is_named(module, target)
        ]
        if inside:
            raise ConfigError(
                f"peft.modules_to_save trains '{name}' in full, but the target "
                f"'{inside[0]}' adds an adapter to it.",
                "Remove it from peft.modules_to_save or from peft.target_modules.",
            )
        if heads_are_tied(base) and name in table_names(base):
            raise ConfigError(
                f"peft.modules_to_save trains '{name}' in full, but head and embeddings of this "
                "model are tied, and it would untie them.",
                "Remove it; the rows of new tokens are trained anyway.",
            )
    return tuple(found)


def heads_are_tied(base: Any) -> bool:
    """Whether output head and embedding are tied."""
    return base.get_input_embeddings().weight is base.get_output_embeddings().weight


def table_names(base: Any) -> tuple[str, str]:
    """Full names of the embedding and of the output head."""
    tables = base.get_input_embeddings(), base.get_output_embeddings()
    names = {id(module): name for name, module in base.named_modules()}
    return names[id(tables[0])], names[id(tables[1])]


def check_attention(base: Any, hf: HfModelConfig) -> None:
    """Test that no token attends to a later one or, with packing, to another document.

    Architectures do not declare whether they separate packed documents by their `position_ids`, and
    one that does not would silently train across documents.

    Args:
        base: The base model without adapters, in evaluation mode.
        hf: The `[hf_model]` table.

    Raises:
        ModelError: The model is not causal.
        ConfigError: The model cannot separate packed documents.
    """
    table = base.get_input_embeddings().weight
    tokens = (7 * torch.arange(2 * _LENGTH, device=table.device) + 11) % len(table)
    other_first, other_last = tokens.clone(), tokens.clone()
    other_first[:_LENGTH] = (tokens[:_LENGTH] + 3) % len(table)
    other_last[-1] = (tokens[-1] + 3) % len(table)

    plain, changed = _logits(base, torch.stack([tokens, other_last]), None)
    if not _alike(plain[:-1], changed[:-1]):
        raise ModelError(
            f"{hf.model_name} is not a causal language model: tokens attend to later ones.",
            "Finetuning needs a model that predicts the next token, such as Qwen, Llama or Gemma.",
        )
    if hf.packing:
        positions = torch.arange(_LENGTH, device=table.device).repeat(2, 2)
        try:
            plain, changed = _logits(base, torch.stack([tokens, other_first]), positions)
        except TypeError:
            is_separated = False
        else:
            is_separated = _alike(plain[_LENGTH:], changed[_LENGTH:])
        if not is_separated:
            raise ConfigError(
                f"{hf.model_name} cannot separate packed documents: it ignores position_ids.",
                "Set hf_model.packing = false: one padded document per row.",
            )


@torch.no_grad()
def _logits(base: Any, tokens: Tensor, positions: Tensor | None) -> Tensor:
    options = {} if positions is None else {"position_ids": positions}
    logits: Tensor = base(input_ids=tokens, use_cache=False, **options).logits
    return logits.float()


def _alike(one: Tensor, other: Tensor) -> bool:
    scale = one.abs().max()
    return bool((one - other).abs().max() <= _TOLERANCE * scale)
