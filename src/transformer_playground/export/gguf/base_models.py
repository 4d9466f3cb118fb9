"""The tensors and metadata of merged base models of transformers."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import torch
from gguf import MODEL_ARCH
from torch import Tensor, nn

from transformer_playground.errors import ExportError
from transformer_playground.export.gguf.model_file import Value
from transformer_playground.export.gguf.tensors import NamedTensor, pair_channels

_FULL = "full_attention"
_SLIDING = "sliding_attention"


@dataclass(frozen=True)
class Family:
    """How the models of one `model_type` are written.

    Attributes:
        architecture: Its architecture in llama.cpp.
        activations: Values of the configuration for the activation that llama.cpp has.
        pairs: Rotary positions turn neighbouring channels there.
        shifted_gains: Norms multiply by 1 + weight here, by the weight there.
        transposed: Linear layers store their weights as (inputs, outputs).
    """

    architecture: MODEL_ARCH
    activations: tuple[str, ...] = ("silu",)
    pairs: bool = False
    shifted_gains: bool = False
    transposed: bool = False


_GELU = ("gelu_pytorch_tanh", "gelu_new")
FAMILIES: Mapping[str, Family] = {
    "llama": Family(MODEL_ARCH.LLAMA, pairs=True),
    "mistral": Family(MODEL_ARCH.LLAMA, pairs=True),
    "qwen2": Family(MODEL_ARCH.QWEN2),
    "qwen3": Family(MODEL_ARCH.QWEN3),
    "gemma": Family(MODEL_ARCH.GEMMA, _GELU, shifted_gains=True),
    "gemma3_text": Family(MODEL_ARCH.GEMMA3, _GELU, shifted_gains=True),
    "gpt2": Family(MODEL_ARCH.GPT2, _GELU, transposed=True),
}
"""By `model_type`."""


def find_family(config: Any) -> Family:
    """The family of a transformers configuration.

    Raises:
        ExportError: It cannot be written, or uses a setting that llama.cpp does not have.
    """
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise ExportError(
            f"base models of the type '{config.model_type}' cannot be exported to GGUF.",
            f"These can: {', '.join(FAMILIES)}. Use --to hf for the others.",
        )
    name, activation = next(
        (name, value)
        for name in ("hidden_activation", "hidden_act", "activation_function")
        if (value := getattr(config, name, None)) is not None
    )
    if activation not in family.activations:
        raise ExportError(
            f"llama.cpp computes {config.model_type} models with {family.activations[0]}, "
            f"not with {name} = '{activation}'.",
            "Use --to hf.",
        )
    if getattr(config, "final_logit_softcapping", None) or getattr(
        config, "attn_logit_softcapping", None
    ):
        raise ExportError("this base model caps its logits, which GGUF cannot say.", "Use --to hf.")
    _rope_keys(config)
    return family


def base_keys(config: Any, vocab_size: int) -> dict[str, Value]:
    """Hyperparameters by their full names."""
    family = find_family(config)
    name = gguf.MODEL_ARCH_NAMES[family.architecture]
    heads = config.num_attention_heads
    keys: dict[str, Value] = {
        "vocab_size": vocab_size,
        "context_length": _context(config),
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": _first(config, "intermediate_size", "n_inner")
        or 4 * config.hidden_size,
        "attention.head_count": heads,
        "attention.head_count_kv": _first(config, "num_key_value_heads") or heads,
    }
    if epsilon := _first(config, "rms_norm_eps"):
        keys["attention.layer_norm_rms_epsilon"] = float(epsilon)
    else:
        keys["attention.layer_norm_epsilon"] = float(config.layer_norm_epsilon)
    if config.model_type != "gpt2":
        head_dim = _head_dim(config)
        keys["attention.key_length"] = keys["attention.value_length"] = head_dim
        keys["rope.dimension_count"] = head_dim
        keys |= _rope_keys(config)
    if window := _window(config):
        keys["attention.sliding_window"] = window
        keys["attention.sliding_window_pattern"] = _pattern(config)
    return {f"{name}.{key}": value for key, value in keys.items()}


def base_tensors(model: nn.Module) -> Iterator[NamedTensor]:
    """All tensors of a transformers model, float32, one at a time."""
    config: Any = model.config
    family = find_family(config)
    names = gguf.get_tensor_name_map(family.architecture, config.num_hidden_layers)
    frequencies = _llama3_frequencies(config)
    if frequencies is not None:
        yield "rope_freqs.weight", frequencies
    for name, tensor in model.state_dict().items():
        stem, _, kind = name.rpartition(".")
        if stem == "lm_head" and config.tie_word_embeddings:
            continue
        written = names.get_name(stem)
        if written is None:
            raise ExportError(f"the base model has a tensor {name} that GGUF has no name for.")
        yield f"{written}.{kind}", _converted(stem, tensor.detach().float(), family, config)


def _converted(stem: str, tensor: Tensor, family: Family, config: Any) -> Tensor:
    if family.pairs and stem.endswith(("q_proj", "k_proj")):
        return pair_channels(tensor, _head_dim(config))
    if family.shifted_gains and "norm" in stem:
        tensor = tensor + 1
        if stem.endswith("q_norm"):
            # Queries are divided by the square root of head_dim there.
            scalar = _first(config, "query_pre_attn_scalar") or _head_dim(config)
            return tensor * math.sqrt(_head_dim(config) / scalar)
        return tensor
    is_linear = stem.rpartition(".")[2] in {"c_attn", "c_proj", "c_fc"}
    return tensor.t() if family.transposed and is_linear and tensor.dim() > 1 else tensor


def _first(config: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(config, name, None))), None)


def _head_dim(config: Any) -> int:
    return int(_first(config, "head_dim") or config.hidden_size // config.num_attention_heads)


def _context(config: Any) -> int:
    """The context; a window that llama.cpp ignores limits it."""
    longest = int(config.max_position_embeddings)
    if config.model_type == "gemma3_text":
        return longest
    is_used = getattr(config, "use_sliding_window", True)
    window = _first(config, "sliding_window") if is_used else None
    return min(longest, window) if window else longest


def _window(config: Any) -> int | None:
    return config.sliding_window if config.model_type == "gemma3_text" else None


def _pattern(config: Any) -> int:
    """Every how many layers one attends to everything: the last of each group.

    Raises:
        ExportError: The layers do not repeat like that.
    """
    types = list(config.layer_types)
    period = types.index(_FULL) + 1 if _FULL in types else len(types) + 1
    expected = [_FULL if (at + 1) % period == 0 else _SLIDING for at in range(len(types))]
    if types != expected:
        raise ExportError("GGUF cannot say which layers of this base model have a window.")
    return period


def _rope_keys(config: Any) -> dict[str, Value]:
    """Metadata of rotary positions.

    Raises:
        ExportError: They are scaled in a way that llama.cpp does not have.
    """
    keys: dict[str, Value] = {}
    for kind, rope in _ropes(config).items():
        suffix = "_swa" if kind == _SLIDING else ""
        keys[f"rope.freq_base{suffix}"] = float(rope.get("rope_theta", 10_000.0))
        match rope.get("rope_type", "default"):
            case "default" | "llama3":
                pass
            case "linear" if not suffix:
                keys["rope.scaling.type"] = "linear"
                keys["rope.scaling.factor"] = float(rope["factor"])
            case other:
                raise ExportError(
                    f"rotary positions of the type '{other}' cannot be exported to GGUF.",
                    "Use --to hf.",
                )
    return keys


def _ropes(config: Any) -> Mapping[str, Mapping[str, Any]]:
    """The rotary settings of each type of layers."""
    rope = getattr(config, "rope_parameters", None) or {}
    if any(isinstance(value, Mapping) for value in rope.values()):
        return {kind: value for kind, value in rope.items() if value}
    return {_FULL: rope} if rope else {}


def _llama3_frequencies(config: Any) -> Tensor | None:
    """Divisors (head_dim / 2,) of the rotary frequencies of Llama 3; None for other models.

    Long wavelengths are stretched by `factor`, short ones not, those between by a mean.
    """
    rope = _ropes(config).get(_FULL, {})
    if rope.get("rope_type") != "llama3":
        return None
    exponents = torch.arange(0, _head_dim(config), 2, dtype=torch.float32) / _head_dim(config)
    wavelengths = 2 * math.pi * rope["rope_theta"] ** exponents
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    share = (rope["original_max_position_embeddings"] / wavelengths - low) / (high - low)
    share = share.clamp(0, 1)
    divisors: Tensor = 1 / (share + (1 - share) / float(rope["factor"]))
    return divisors
