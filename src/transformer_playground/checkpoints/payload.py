"""What a checkpoint contains, checked key by key before anything is built from it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import CheckpointError

FORMAT = "transformer-playground"
VERSION = 1

KINDS = ("gpt", "lora")
"""A model of our own, and the adapters of a pretrained one."""

_NONE = type(None)
_KEYS: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "tokens_seen": (int,),
    "model": (dict,),
    "model_args": (dict,),
    "optimizer": (dict,),
    "scaler": (dict, _NONE),
    "ema": (dict, _NONE),
    "generators": (dict,),
    "batch_cursor": (int,),
    "best_val_loss": (float, int, _NONE),
    "best_step": (int, _NONE),
    "val_loss": (float, int, _NONE),
    "progress": (dict,),
    "config": (dict,),
}


def _check_header(payload: Mapping[str, Any]) -> None:
    if payload.get("format") != FORMAT:
        raise CheckpointError("it was not written by this program")
    if payload.get("version") != VERSION:
        raise CheckpointError(
            f"it has format version {payload.get('version')!r}, this program reads {VERSION}"
        )
    if payload.get("kind") not in KINDS:
        raise CheckpointError(f"it holds a '{payload.get('kind')}', not a {' or a '.join(KINDS)}")


def check_payload(payload: Mapping[str, Any]) -> None:
    """Check every key that training or sampling will read.

    Raises:
        CheckpointError: A key is missing or of the wrong type; the message is the reason alone.
    """
    _check_header(payload)
    for key, types in _KEYS.items():
        if key not in payload:
            raise CheckpointError(f"'{key}' is missing")
        value = payload[key]
        if not isinstance(value, types) or isinstance(value, bool):
            raise CheckpointError(f"'{key}' is a {type(value).__name__}")
    check_weights(payload["model"], "model")
    if payload["ema"] is not None:
        check_weights(payload["ema"], "ema")
    if payload["kind"] == "gpt":
        model_config(payload["model_args"])
    else:
        from transformer_playground.pretrained.model import Recipe

        Recipe.from_args(payload["model_args"])


def check_weights(weights: Mapping[Any, Any], key: str) -> None:
    """Check that `weights` maps names to tensors.

    Raises:
        CheckpointError: It does not; the message is the reason alone.
    """
    import torch

    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"'{key}' holds something else than named tensors")


def model_config(model_args: Mapping[str, Any]) -> tuple[ModelConfig, int]:
    """The model's shape and its concrete vocabulary size.

    Raises:
        CheckpointError: They are unusable; the message is the reason alone.
    """
    try:
        config = ModelConfig(**model_args)
    except (ValidationError, TypeError) as error:
        raise CheckpointError(f"'model_args' does not fit: {_first_problem(error)}") from error
    if config.vocab_size is None:
        raise CheckpointError("'model_args' has no vocab_size")
    return config, config.vocab_size


def _first_problem(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return "its keys are not names"
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
