"""Settings of `[hf_model]` and `[peft]` checked against the model, and its attention probed."""

from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.finetuning.targets import is_named

# Tokens of each of the two documents that attention is probed with.
_LENGTH = 4
# Far below what a token that is seen changes, far above what another order of additions does.
_TOLERANCE = 1e-3


def check_context(base: Any, hf: HfModelConfig, block_size: int) -> None:
    """Refuse a context longer than the model's positions reach.

    Raises:
        ConfigError: It is longer.
    """
    longest = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and block_size > longest:
        raise ConfigError(
            f"The context of {block_size} tokens is longer than the {longest} that "
            f"{hf.model_name} was made for.",
            f"Set hf_model.block_size to at most {longest}.",
        )


def check_bias(base: Any, peft: PeftConfig) -> None:
    """Refuse to train biases of the base model in a coarse format.

    Raises:
        ConfigError: They are not float32.
    """
    dtype = base.get_input_embeddings().weight.dtype
    if peft.bias != "none" and dtype != torch.float32:
        raise ConfigError(
            f"peft.bias = '{peft.bias}' trains biases of the base model, which are "
            f"{str(dtype).removeprefix('torch.')} here: too coarse for small steps.",
            "Set hf_model.dtype = 'float32', or peft.bias = 'none'.",
        )


def check_checkpointing(base: Any, hf: HfModelConfig) -> None:
    """Refuse gradient checkpointing where the architecture has none.

    Raises:
        ConfigError: It has none.
    """
    if hf.gradient_checkpointing and not base.supports_gradient_checkpointing:
        raise ConfigError(
            f"{hf.model_name} has an architecture without gradient checkpointing.",
            "Set hf_model.gradient_checkpointing = false; a smaller train.data.batch_size saves "
            "memory too.",
        )


def resolve_whole_modules(base: Any, peft: PeftConfig) -> tuple[str, ...]:
    """The full names of the modules that are trained as a whole.

    Args:
        base: The model, not yet adapted.
        peft: The `[peft]` table, its targets resolved.

    Raises:
        ModelError: The model has no module of that name.
        ConfigError: The module gets an adapter too, or is one half of a shared table.
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
                f"peft.modules_to_save trains '{name}' as a whole, and "
                f"'{inside[0]}' gives it an adapter.",
                "Take it out of peft.modules_to_save or of peft.target_modules.",
            )
        if heads_are_tied(base) and name in table_names(base):
            raise ConfigError(
                f"peft.modules_to_save trains '{name}' as a whole, but head and embeddings of "
                "this model are one table, which would come apart.",
                "Leave it out: the rows of new tokens are trained anyway.",
            )
    return tuple(found)


def heads_are_tied(base: Any) -> bool:
    """Whether head and embedding share one table."""
    return base.get_input_embeddings().weight is base.get_output_embeddings().weight


def table_names(base: Any) -> tuple[str, str]:
    """Full names of the embedding and of the head."""
    tables = base.get_input_embeddings(), base.get_output_embeddings()
    names = {id(module): name for name, module in base.named_modules()}
    return names[id(tables[0])], names[id(tables[1])]


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
