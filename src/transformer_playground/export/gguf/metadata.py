"""Metadata of a model of ours, without the architecture's prefix."""

from collections.abc import Mapping

from transformer_playground.config.model import ModelConfig
from transformer_playground.export.gguf.architectures import Architecture
from transformer_playground.export.gguf.model_file import Value
from transformer_playground.export.gguf.tensors import residual_scale

# Angles divided by it are zero: rotary positions without an effect.
_NO_ROTATION = 1e30


def gpt_keys(
    config: ModelConfig, architecture: Architecture, vocab_size: int
) -> Mapping[str, Value]:
    """Hyperparameters by their full names; `vocab_size` includes padding."""
    epsilon = "layer_norm_epsilon" if config.norm == "layernorm" else "layer_norm_rms_epsilon"
    keys: dict[str, Value] = {
        "vocab_size": vocab_size,
        "context_length": config.block_size,
        "embedding_length": config.n_embd,
        "block_count": config.n_layer,
        # An MLP of zeros has one hidden channel.
        "feed_forward_length": config.mlp_hidden if config.mlp_enabled else 1,
        "attention.head_count": config.n_head,
        "attention.head_count_kv": config.kv_heads,
        f"attention.{epsilon}": config.norm_eps * residual_scale(config, architecture) ** 2,
        **architecture.keys,
    }
    if architecture.rotary:
        keys["rope.dimension_count"] = config.head_dim
        keys["rope.freq_base"] = config.rope_theta
        if config.positional_encoding == "none":
            keys["rope.scaling.type"] = "linear"
            keys["rope.scaling.factor"] = _NO_ROTATION
    if architecture.windows:
        assert config.attention_window is not None
        keys["attention.sliding_window"] = config.attention_window
        keys["attention.sliding_window_pattern"] = [True] * config.n_layer
    return {f"{architecture.name}.{key}": value for key, value in keys.items()}
