"""Target modules: the linear layers that get an adapter."""

import re
from collections import Counter
from typing import Any

from torch import nn

from transformer_playground.config.finetuning import PeftConfig
from transformer_playground.errors import ConfigError, ModelError

# Names of the attention projections by architecture, the most common first. Keys are left out:
# Hu et al. 2021 ("LoRA", section 7.1) found that they add little to queries and values.
_ATTENTION = (
    ("q_proj", "v_proj", "o_proj"),
    ("q_proj", "v_proj", "out_proj"),
    ("q_proj", "v_proj", "dense"),
    ("qkv_proj", "o_proj"),
    ("query_key_value", "dense"),
    ("Wqkv", "out_proj"),
    ("c_attn",),
)
_MLP = (
    ("gate_proj", "up_proj", "down_proj"),
    ("gate_up_proj", "down_proj"),
    ("dense_h_to_4h", "dense_4h_to_h"),
    ("up_proj", "down_proj"),
    ("c_fc", "c_proj"),
    ("fc1", "fc2"),
)


def resolve_targets(base: Any, peft: PeftConfig) -> tuple[str, ...]:
    """Name endings of the linear layers that get an adapter.

    Args:
        base: The base model without adapters.
        peft: The `[peft]` table; "auto" selects the attention projections.

    Raises:
        ConfigError: A name matches no linear layer.
        ModelError: "auto" does not support this architecture.
    """
    layers = linear_layers(base)
    ends = Counter(name.rpartition(".")[2] for name in layers)
    if peft.auto_targets:
        names = _family(_ATTENTION, ends, "attention projections", "peft.target_modules")
    else:
        names = peft.target_modules
    if peft.extend_mlp_targets:
        names += _family(_MLP, ends, "layers of an MLP", "peft.target_modules instead")
    unknown = [name for name in names if not any(is_named(layer, name) for layer in layers)]
    if unknown:
        raise ConfigError(
            f"peft.target_modules has '{unknown[0]}', but the model has no such linear layer.",
            _available(ends),
        )
    return tuple(dict.fromkeys(names))


def linear_layers(base: Any) -> dict[str, nn.Module]:
    """Linear layers of the text decoder by name, without output head, vision and audio layers."""
    from transformers.pytorch_utils import Conv1D

    inside = text_prefix(base)
    head = base.get_output_embeddings()
    return {
        name: module
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head and name.startswith(inside)
    }


def text_prefix(base: Any) -> str:
    """Name prefix of the text decoder's modules; often empty."""
    decoder = base.get_decoder()
    name = next((name for name, module in base.named_modules() if module is decoder), "")
    return f"{name}." if name else ""


def excluded_pattern(base: Any, targets: tuple[str, ...]) -> str | None:
    """Pattern of modules outside the text decoder that match a target; None if there are none."""
    inside = text_prefix(base)
    outside = [
        name
        for name, _ in base.named_modules()
        if not name.startswith(inside) and any(is_named(name, target) for target in targets)
    ]
    return rf"(?!{re.escape(inside)}).*" if outside else None


def are_transposed(base: Any, targets: tuple[str, ...]) -> bool:
    """Whether the target layers store transposed weights, as GPT-2's Conv1D does.

    Raises:
        ConfigError: Only some of them do.
    """
    from transformers.pytorch_utils import Conv1D

    kinds = {
        isinstance(module, Conv1D)
        for name, module in linear_layers(base).items()
        if any(is_named(name, target) for target in targets)
    }
    if len(kinds) > 1:
        raise ConfigError(
            "peft.target_modules mixes nn.Linear and Conv1D layers.",
            "Use layers of one kind only.",
        )
    return kinds == {True}


def is_named(module: str, name: str) -> bool:
    """Whether a module's full name is `name` or ends with its dotted parts."""
    return module == name or module.endswith("." + name)


def _family(
    families: tuple[tuple[str, ...], ...], ends: Counter[str], what: str, setting: str
) -> tuple[str, ...]:
    for family in families:
        if all(name in ends for name in family):
            return family
    raise ModelError(
        f"This architecture has no {what} with a known name.",
        f"List the layers in {setting}. {_available(ends)}",
    )


def _available(ends: Counter[str]) -> str:
    shown = ", ".join(f"{name} ({count}x)" for name, count in sorted(ends.items()))
    return f"Its linear layers are {shown}."
