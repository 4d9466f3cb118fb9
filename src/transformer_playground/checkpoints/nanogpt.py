"""nanoGPT checkpoints (github.com/karpathy/nanoGPT), converted for sampling.

Its `ckpt.pt` is a dict with "model", "model_args" and "iter_num". The architecture corresponds to
our GPT with learned positions, pre-norm LayerNorm with eps 1e-5, exact GELU and tied embeddings.
"""

import re
from collections.abc import Mapping
from typing import Any

from transformer_playground.checkpoints.format import check_weights, weights_payload
from transformer_playground.errors import CheckpointError

# torch.compile prefixes every key.
_COMPILED_PREFIX = "_orig_mod."
# Causal masks, saved as buffers by versions without fused attention.
_MASKS = (".attn.bias", ".attn.masked_bias")
_RENAMED = (
    (r"^transformer\.wte\.", "token_embedding."),
    (r"^transformer\.wpe\.", "positions."),
    (r"^transformer\.ln_f\.", "final_norm."),
    (r"^transformer\.h\.(\d+)\.ln_1\.", r"blocks.\1.attention_norm."),
    (r"^transformer\.h\.(\d+)\.ln_2\.", r"blocks.\1.mlp_norm."),
    (r"^transformer\.h\.(\d+)\.attn\.c_attn\.", r"blocks.\1.attention.qkv."),
    (r"^transformer\.h\.(\d+)\.attn\.c_proj\.", r"blocks.\1.attention.output."),
    (r"^transformer\.h\.(\d+)\.mlp\.c_fc\.", r"blocks.\1.mlp.up."),
    (r"^transformer\.h\.(\d+)\.mlp\.c_proj\.", r"blocks.\1.mlp.down."),
    (r"^lm_head\.", "head."),
)
_SHAPE_KEYS = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")


def is_nanogpt(payload: Mapping[str, Any]) -> bool:
    """Whether `payload` is a nanoGPT checkpoint."""
    weights = payload.get("model")
    if "format" in payload or "model_args" not in payload or not isinstance(weights, dict):
        return False
    return any(str(name).endswith("transformer.wte.weight") for name in weights)


def convert(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a nanoGPT checkpoint to our format for sampling; `importing` makes it a run.

    Raises:
        CheckpointError: It is not a nanoGPT checkpoint; the message is the bare reason.
    """
    saved, shape = payload["model"], payload["model_args"]
    if not isinstance(shape, dict):
        raise CheckpointError("its 'model_args' is not a dict")
    check_weights(saved, "model")
    weights = _plain(saved)
    step = payload.get("iter_num", 0)
    step = step if isinstance(step, int) else 0
    return weights_payload(_rename(weights), _model_args(shape, weights), step=step)


def parameter_names(payload: Mapping[str, Any]) -> list[str]:
    """Our names of the parameters of a checkpoint, in the order of nanoGPT's modules."""
    return list(_rename(_plain(payload["model"])))


def _plain(saved: Mapping[str, Any]) -> dict[str, Any]:
    unprefixed = {name.removeprefix(_COMPILED_PREFIX): value for name, value in saved.items()}
    return {name: value for name, value in unprefixed.items() if not name.endswith(_MASKS)}


def _model_args(shape: Mapping[Any, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in _SHAPE_KEYS if key not in shape]
    if missing:
        raise CheckpointError(f"its 'model_args' has no '{missing[0]}'")
    return {
        **{key: shape[key] for key in _SHAPE_KEYS},
        "dropout": shape.get("dropout", 0.0),
        # Versions without this option always had biases.
        "bias": shape.get("bias", True),
        "activation": "gelu",
        "positional_encoding": "learned",
        "norm": "layernorm",
        "norm_position": "pre",
        "tie_embeddings": _is_tied(weights),
    }


def _is_tied(weights: Mapping[str, Any]) -> bool:
    table, head = weights.get("transformer.wte.weight"), weights.get("lm_head.weight")
    return head is None or (table is not None and bool(table.equal(head)))


def _rename(weights: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {}
    tied = _is_tied(weights)
    for name, value in weights.items():
        if name == "lm_head.weight" and tied:
            continue
        new_name = name
        for pattern, replacement in _RENAMED:
            new_name = re.sub(pattern, replacement, new_name)
        renamed[new_name] = value
    return renamed
