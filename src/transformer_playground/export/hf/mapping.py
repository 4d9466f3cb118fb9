"""Settings of our transformer to classes of transformers, as data.

Each row says which settings a class expresses, how its configuration states them and which tensors
it has. The first row that fits is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from transformer_playground.config.model import GATED, Activation, ModelConfig
from transformer_playground.export.hf import tensors
from transformer_playground.export.matching import AtMost, Row, choose_row, features
from transformer_playground.model.gpt import GPT

# Names in transformers' table of activations.
_ACTIVATIONS: dict[Activation, str] = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_pytorch_tanh",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "swiglu": "silu",
    "geglu": "gelu",
}
_GPT2_NAMES: dict[Activation, str] = {"gelu_tanh": "gelu_new"}
_GATED = ("swiglu", "geglu")
_PLAIN = tuple(name for name in _ACTIVATIONS if name not in GATED)
_PRE: dict[str, tuple[Any, ...]] = {"norm_position": ("pre",), "logit_softcap": (None,)}
_NO_WINDOW = {"attention_window": (None,)}
_NO_QK_NORM = {"qk_norm": (False,)}
_SERIAL = {"parallel_residual": (False,)}


@dataclass(frozen=True)
class HfClass(Row):
    """A causal language model of transformers.

    Attributes:
        settings: Arguments of its configuration class.
        tensors: Its tensors by name; biases and gains that we lack may be missing.
        config_class: Name of its configuration class.
    """

    config_class: str = ""
    settings: Callable[[ModelConfig], dict[str, Any]] = lambda _: {}
    tensors: Callable[[GPT], dict[str, Tensor]] = lambda _: {}


def _hidden(config: ModelConfig) -> int:
    # Without an MLP: zeros of one hidden channel.
    return config.mlp_hidden if config.mlp_enabled else 1


def _activation(config: ModelConfig) -> str:
    return _ACTIVATIONS[config.activation]


def _window(config: ModelConfig) -> int | None:
    window: int | None = features(config)["attention_window"]
    return window


def _decoder(config: ModelConfig) -> dict[str, Any]:
    """Settings that all classes with Llama's names have."""
    return {
        "hidden_size": config.n_embd,
        "intermediate_size": _hidden(config),
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.kv_heads,
        "hidden_act": _activation(config),
        "max_position_embeddings": config.block_size,
        "initializer_range": config.init_std,
        "attention_dropout": config.dropout,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
    }


def _rms_decoder(config: ModelConfig) -> dict[str, Any]:
    return _decoder(config) | {"rms_norm_eps": config.norm_eps, "head_dim": config.head_dim}


def _gpt2(config: ModelConfig) -> dict[str, Any]:
    return {
        "n_embd": config.n_embd,
        "n_inner": _hidden(config),
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_positions": config.block_size,
        # The same function; programs that know GPT-2 know it by this name.
        "activation_function": _GPT2_NAMES.get(config.activation, _activation(config)),
        "layer_norm_epsilon": config.norm_eps,
        "initializer_range": config.init_std,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
    }


def _starcoder2(config: ModelConfig) -> dict[str, Any]:
    return _decoder(config) | {
        "norm_epsilon": config.norm_eps,
        "use_bias": config.bias,
        "sliding_window": _window(config),
        "embedding_dropout": config.dropout,
        "residual_dropout": config.dropout,
    }


def _stablelm(config: ModelConfig) -> dict[str, Any]:
    return _decoder(config) | {
        "layer_norm_eps": config.norm_eps,
        "use_parallel_residual": bool(features(config)["parallel_residual"]),
        "hidden_dropout": config.dropout,
        "rope_parameters": _whole_head(config),
        "partial_rotary_factor": 1.0,
    }


def _gpt_neox(config: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.n_embd,
        "intermediate_size": _hidden(config),
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "hidden_act": _activation(config),
        "max_position_embeddings": config.block_size,
        "layer_norm_eps": config.norm_eps,
        "initializer_range": config.init_std,
        "attention_dropout": config.dropout,
        "hidden_dropout": config.dropout,
        "attention_bias": config.bias,
        "rope_parameters": _whole_head(config),
        "rotary_pct": 1.0,
    }


def _whole_head(config: ModelConfig) -> dict[str, Any]:
    return {
        "rope_type": "default",
        "rope_theta": config.rope_theta,
        "partial_rotary_factor": 1.0,
    }


def _mpt(config: ModelConfig) -> dict[str, Any]:
    return {
        "d_model": config.n_embd,
        "n_heads": config.n_head,
        "n_layers": config.n_layer,
        "max_seq_len": config.block_size,
        "layer_norm_epsilon": config.norm_eps,
        "emb_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": config.init_std,
        "use_cache": True,
    }


def _llama(config: ModelConfig) -> dict[str, Any]:
    return _rms_decoder(config) | {"attention_bias": config.bias, "mlp_bias": config.bias}


def _mistral(config: ModelConfig) -> dict[str, Any]:
    return _rms_decoder(config) | {"sliding_window": _window(config)}


def _qwen3(config: ModelConfig) -> dict[str, Any]:
    window = _window(config)
    return _rms_decoder(config) | {
        "attention_bias": False,
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": 0,
    }


_LAYER_NORM = {"norm": ("layernorm",)}
_RMS_NORM = {"norm": ("rmsnorm",)}
_ROPE = {"positional_encoding": ("rope",)}

CLASSES: tuple[HfClass, ...] = (
    HfClass(
        "GPT2LMHeadModel",
        _PRE
        | _LAYER_NORM
        | {"positional_encoding": ("learned", "sinusoidal", "none")}
        | _NO_QK_NORM
        | _NO_WINDOW
        | _SERIAL
        | {"activation": _PLAIN},
        "GPT2Config",
        _gpt2,
        tensors.gpt2,
    ),
    HfClass(
        "Starcoder2ForCausalLM",
        _PRE | _LAYER_NORM | _ROPE | _NO_QK_NORM | _SERIAL | {"activation": _PLAIN},
        "Starcoder2Config",
        _starcoder2,
        tensors.starcoder2,
    ),
    HfClass(
        "StableLmForCausalLM",
        _PRE
        | _LAYER_NORM
        | _ROPE
        | _NO_QK_NORM
        | _NO_WINDOW
        | {"bias": (False,), "activation": _GATED},
        "StableLmConfig",
        _stablelm,
        tensors.gated_decoder,
    ),
    HfClass(
        "GPTNeoXForCausalLM",
        _PRE
        | _LAYER_NORM
        | _ROPE
        | _NO_QK_NORM
        | _NO_WINDOW
        | {"parallel_residual": (True,), "activation": _PLAIN},
        "GPTNeoXConfig",
        _gpt_neox,
        tensors.gpt_neox,
    ),
    HfClass(
        "MptForCausalLM",
        _PRE
        | _LAYER_NORM
        | {"positional_encoding": ("alibi",)}
        | _NO_QK_NORM
        | _NO_WINDOW
        | _SERIAL
        | {"bias": (False,), "activation": ("gelu",), "mlp_ratio": AtMost(4.0)},
        "MptConfig",
        _mpt,
        tensors.mpt,
    ),
    HfClass(
        "LlamaForCausalLM",
        _PRE | _RMS_NORM | _ROPE | _NO_QK_NORM | _NO_WINDOW | _SERIAL | {"activation": _GATED},
        "LlamaConfig",
        _llama,
        tensors.gated_decoder,
    ),
    HfClass(
        "MistralForCausalLM",
        _PRE | _RMS_NORM | _ROPE | _NO_QK_NORM | _SERIAL | {"bias": (False,), "activation": _GATED},
        "MistralConfig",
        _mistral,
        tensors.gated_decoder,
    ),
    HfClass(
        "Qwen3ForCausalLM",
        _PRE
        | _RMS_NORM
        | _ROPE
        | {"qk_norm": (True,)}
        | _SERIAL
        | {"bias": (False,), "activation": _GATED},
        "Qwen3Config",
        _qwen3,
        tensors.gated_decoder,
    ),
    HfClass(
        "ArceeForCausalLM",
        _PRE | _RMS_NORM | _ROPE | _NO_QK_NORM | _NO_WINDOW | _SERIAL | {"activation": _PLAIN},
        "ArceeConfig",
        _llama,
        tensors.plain_decoder,
    ),
)
"""The classes, in order of preference."""


def choose_class(config: ModelConfig) -> HfClass:
    """The class that computes what a model of ours computes.

    Raises:
        ExportError: There is none.
    """
    return choose_row(
        config,
        CLASSES,
        program="transformers",
        instead="--custom-code ships this one with its own modeling file, for those who allow "
        "trust_remote_code.",
    )
