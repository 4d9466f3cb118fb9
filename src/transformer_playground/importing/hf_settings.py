"""The `[model]` table of a configuration of transformers: the export's table read backwards.

The result is checked forwards: the export must make the same configuration of it. So each setting
of a class that has no counterpart is found and named, whatever it is called.
"""

import math
from collections.abc import Mapping
from typing import Any

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import ModelError
from transformer_playground.export.hf.mapping import CLASSES, HfClass

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "swish": "silu",
}
_GATED = {"silu": "swiglu", "gelu": "geglu"}
# Our setting -> its names in the configurations of the classes.
_NAMES = {
    "n_embd": ("hidden_size", "n_embd", "d_model"),
    "n_layer": ("num_hidden_layers", "n_layer", "n_layers"),
    "n_head": ("num_attention_heads", "n_head", "n_heads"),
    "block_size": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "norm_eps": ("rms_norm_eps", "layer_norm_eps", "norm_epsilon", "layer_norm_epsilon"),
    "init_std": ("initializer_range",),
    "dropout": ("attention_dropout", "attn_pdrop", "resid_pdrop"),
}
# Settings that change no logits, or that other settings decide.
_IGNORED = {
    "architectures",
    "dtype",
    "torch_dtype",
    "model_type",
    "transformers_version",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_cache",
    "initializer_range",
    "initializer_factor",
    "max_window_layers",
    "reorder_and_upcast_attn",
    "id2label",
    "label2id",
}
_IGNORED_PARTS = ("dropout", "pdrop", "summary", "name_or_path")


def choose_class(architectures: Any, source: str) -> HfClass:
    """The class of the first known name in `architectures` of a `config.json`.

    Raises:
        ModelError: None is known.
    """
    names = architectures if isinstance(architectures, list) else []
    for row in CLASSES:
        if row.name in names:
            return row
    stated = ", ".join(map(str, names))[:200] or "none"
    raise ModelError(
        f"{source} has the architecture {stated}, which cannot be imported.",
        f"These can: {', '.join(row.name for row in CLASSES)}. To train on another one, finetune "
        "it (experiment.kind = 'lora').",
    )


def model_settings(row: HfClass, config: Any, source: str) -> ModelConfig:
    """The most general settings of a class: with biases and a learned table where it has them.

    Args:
        row: The class.
        config: Its configuration, as loaded by transformers.
        source: The folder, for errors.

    Raises:
        ModelError: A setting has no counterpart.
    """
    _normalise_window(config)
    stated: dict[str, Any] = config.to_dict()
    table = {
        ours: stated[name] for ours, names in _NAMES.items() for name in names if name in stated
    }
    width = table["n_embd"]
    hidden = stated.get("intermediate_size", stated.get("n_inner")) or 4 * width
    kv_heads = stated.get("num_key_value_heads")
    table |= {
        "n_kv_head": None if kv_heads in (None, table["n_head"]) else kv_heads,
        "mlp_ratio": shortest_ratio(hidden, width),
        "activation": _activation(row, stated, source),
        "bias": _has_bias(row, stated),
        "tie_embeddings": bool(stated.get("tie_word_embeddings", True)),
        "vocab_size": stated["vocab_size"],
        "attention_window": stated.get("sliding_window"),
        "parallel_residual": row.name == "GPTNeoXForCausalLM"
        or bool(stated.get("use_parallel_residual")),
    }
    for name in ("norm", "positional_encoding", "qk_norm"):
        if name in row.allowed:
            table[name] = row.allowed[name][0]
    if "rope_parameters" in stated:
        table["rope_theta"] = float(stated["rope_parameters"]["rope_theta"])
    try:
        ours = ModelConfig.model_validate(table)
    except ValueError as error:
        raise ModelError(f"{source} cannot be imported: {error}.") from error
    _check_forwards(row, ours, stated, source)
    return ours


def shortest_ratio(hidden: int, width: int) -> float:
    """The shortest decimal number whose product with `width` is rounded to `hidden`."""
    for digits in range(1, 17):
        ratio = round(hidden / width, digits)
        if ratio > 0 and max(1, round(ratio * width)) == hidden:
            return ratio
    return hidden / width


def rebuilt(row: HfClass, config: ModelConfig) -> Any:
    """The configuration that the export makes of our settings."""
    import transformers

    kind: Any = getattr(transformers, row.config_class)
    return kind(
        **row.settings(config),
        vocab_size=config.vocab_size,
        tie_word_embeddings=config.tie_embeddings,
    )


def _normalise_window(config: Any) -> None:
    """Leave out a window that is at least as long as the context."""
    window = getattr(config, "sliding_window", None)
    if window is None or window < config.max_position_embeddings:
        return
    config.sliding_window = None
    if hasattr(config, "use_sliding_window"):
        config.use_sliding_window = False
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention"] * len(config.layer_types)


def _activation(row: HfClass, stated: Mapping[str, Any], source: str) -> str:
    name = stated.get("hidden_act", stated.get("activation_function", "gelu"))
    known = _ACTIVATIONS.get(str(name))
    is_gated = "swiglu" in row.allowed["activation"]
    found = _GATED.get(str(known)) if is_gated else known
    if found is None:
        raise ModelError(
            f"{source} cannot be imported: {row.name} with the activation {str(name)[:100]!r} has "
            "no counterpart in [model]."
        )
    return found


def _has_bias(row: HfClass, stated: Mapping[str, Any]) -> bool:
    if row.allowed.get("bias") == (False,):
        return False
    return bool(stated.get("use_bias", stated.get("attention_bias", True)))


def _check_forwards(
    row: HfClass, config: ModelConfig, stated: Mapping[str, Any], source: str
) -> None:
    for name, expected in rebuilt(row, config).to_dict().items():
        if name in _IGNORED or any(part in name for part in _IGNORED_PARTS):
            continue
        found = stated.get(name)
        if not _is_equal(expected, found):
            raise ModelError(
                f"{source} cannot be imported: {row.name} with {name} = {str(found)[:200]} has no "
                f"counterpart in [model]; {str(expected)[:200]} would have one."
            )


def _is_equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(
            _is_equal(value, found[key]) for key, value in expected.items()
        )
    numbers = (int, float)
    if isinstance(expected, numbers) and isinstance(found, numbers):
        return math.isclose(expected, found, rel_tol=1e-9)
    return bool(expected == found)
