"""How large a model will be, counted without building it."""

from transformer_playground.config.model import ModelConfig

_GATED = ("swiglu", "geglu")


def parameters(model: ModelConfig, vocab_size: int) -> int:
    """Number of trained values of a model, shared ones counted once.

    Args:
        model: The `[model]` table.
        vocab_size: Rows of the embedding table, padding included.
    """
    width = model.n_embd
    norm = width * (2 if model.norm == "layernorm" and model.bias else 1)
    heads = (model.n_head + 2 * model.kv_heads) * model.head_dim
    attention = _linear(model, width, heads) + _linear(model, width, width)
    block = norm + attention
    if model.mlp_enabled:
        widening = 2 if model.activation in _GATED else 1
        block += widening * _linear(model, width, model.mlp_hidden)
        block += _linear(model, model.mlp_hidden, width)
        block += 0 if model.parallel_residual else norm
    embeddings = vocab_size * width * (1 if model.tie_embeddings else 2)
    if model.positional_encoding == "learned":
        embeddings += model.block_size * width
    final_norm = norm if model.norm_position == "pre" else 0
    return embeddings + model.n_layer * block + final_norm


def _linear(model: ModelConfig, inputs: int, outputs: int) -> int:
    return inputs * outputs + (outputs if model.bias else 0)
