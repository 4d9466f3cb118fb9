"""Checkpoint format: the payload, and the JSON sidecar with its metadata and SHA-256.

The sidecar is written last and marks the save as complete: a file without one is no checkpoint.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformer_playground.errors import CheckpointError
from transformer_playground.files import replace_json
from transformer_playground.jsonvalues import as_count, as_number

if TYPE_CHECKING:
    from pydantic import ValidationError

    from transformer_playground.config.model import ModelConfig

Kind = Literal["last", "best"]
SCHEMA_VERSION = 1
POINTERS: dict[Kind, str] = {"last": "last.pt", "best": "best_val.pt"}
NANOGPT_NAME = "ckpt.pt"


@dataclass(frozen=True)
class CheckpointInfo:
    """Content of the sidecar of the checkpoint file `path`.

    Attributes:
        kind: Whether it was saved as the last or as the best state.
        step: Number of finished optimizer steps.
        metric: Validation loss of a best checkpoint.
        size: File size in bytes.
        created: Time of the save, ISO 8601 with the offset from UTC.
        sequence: Number of the save within its folder; orders saves even after training went back
            to an earlier step.
        tokens_seen: Training tokens up to `step`, if known.
        config_hash: SHA-256 of the configuration; empty if there is none.
    """

    path: Path
    kind: Kind
    step: int
    metric: float | None
    size: int
    sha256: str
    created: str
    sequence: int = 0
    tokens_seen: int | None = None
    config_hash: str = ""

    @property
    def age_key(self) -> tuple[int, int, bool, bool]:
        """Sort key: newer checkpoints after older ones, rotated files after pointers."""
        return (self.sequence, self.step, not is_pointer(self.path), self.kind == "last")


def is_pointer(path: Path) -> bool:
    """Whether `path` is `last.pt` or `best_val.pt`."""
    return path.name in POINTERS.values()


def is_rotated(path: Path) -> bool:
    """Whether `path` is a checkpoint (or its sidecar) that retention may remove."""
    return path.name.startswith(("ckpt_last_", "ckpt_best_")) and path.suffix in (".pt", ".json")


def sidecar_path(checkpoint: Path) -> Path:
    """Path of the sidecar of `checkpoint`."""
    return checkpoint.with_suffix(".json")


def write_sidecar(info: CheckpointInfo) -> None:
    """Write the sidecar of `info.path` atomically and durably; OSError while writing."""
    document = asdict(info)
    del document["path"]
    replace_json(sidecar_path(info.path), {"schema_version": SCHEMA_VERSION, **document})


def read_sidecar(path: Path) -> CheckpointInfo:
    """Read and check the sidecar at `path`.

    Raises:
        CheckpointError: It is missing, unreadable, damaged or of another version; the message is
            the bare reason.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError("it has no sidecar, so its save never completed") from None
    except OSError as error:
        raise CheckpointError(f"its sidecar cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError("its sidecar is not valid JSON") from error
    if not isinstance(document, dict):
        raise CheckpointError("its sidecar is not a JSON object")
    if document.get("schema_version") != SCHEMA_VERSION:
        version = document.get("schema_version")
        raise CheckpointError(f"its sidecar has schema version {version!r}, not {SCHEMA_VERSION}")
    return _parse(path.with_suffix(".pt"), document)


def _parse(checkpoint: Path, document: dict[str, Any]) -> CheckpointInfo:
    found = {"sequence": 0, "config_hash": "", **document}
    kind, metric, tokens_seen = map(found.get, ("kind", "metric", "tokens_seen"))
    checks = {
        "kind": kind in ("last", "best"),
        "step": as_count(found.get("step")) is not None,
        "metric": as_number(metric) is not None or (metric is None and kind == "last"),
        "size": as_count(found.get("size")) is not None,
        "sha256": isinstance(found.get("sha256"), str),
        "created": isinstance(found.get("created"), str),
        "sequence": as_count(found["sequence"]) is not None,
        "tokens_seen": tokens_seen is None or as_count(tokens_seen) is not None,
        "config_hash": isinstance(found["config_hash"], str),
    }
    for key, fits in checks.items():
        if not fits:
            raise CheckpointError(f"its sidecar has no usable '{key}'")
    values: dict[str, Any] = {key: found.get(key) for key in checks}
    values["metric"] = None if metric is None else float(metric)
    return CheckpointInfo(path=checkpoint, **values)


FORMAT = "transformer-playground"
VERSION = 1
KINDS = ("gpt", "lora")
"""Kinds of models: a GPT trained from scratch, and LoRA adapters of a base model."""


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


def weights_payload(
    weights: Mapping[str, Any], model_args: Mapping[str, Any], *, step: int = 0
) -> dict[str, Any]:
    """The payload of a GPT of which nothing but the weights is known.

    Args:
        weights: Tensors by parameter name.
        model_args: The `[model]` table with `vocab_size`.
        step: Number of optimizer steps.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": "gpt",
        "step": step,
        "tokens_seen": 0,
        "model": dict(weights),
        "model_args": dict(model_args),
        "optimizer": {},
        "scaler": None,
        "ema": None,
        "generators": {},
        "batch_cursor": 0,
        "best_val_loss": None,
        "best_step": None,
        "val_loss": None,
        "progress": {},
        "config": {},
    }


def check_payload(payload: Mapping[str, Any]) -> None:
    """Check every key of a payload.

    Raises:
        CheckpointError: A key is missing or of the wrong type; the message is the bare reason.
    """
    found, version, kind = map(payload.get, ("format", "version", "kind"))
    if found != FORMAT:
        raise CheckpointError("it was not written by this program")
    if version != VERSION:
        raise CheckpointError(f"it has format version {version!r}, this program reads {VERSION}")
    if kind not in KINDS:
        raise CheckpointError(f"its kind is '{kind}', not {' or '.join(KINDS)}")
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
        from transformer_playground.finetuning.model import AdapterModelArgs

        AdapterModelArgs.from_dict(payload["model_args"])


def check_weights(weights: Mapping[Any, Any], key: str) -> None:
    """Check that `weights` maps names to tensors.

    Raises:
        CheckpointError: It does not; the message is the bare reason.
    """
    import torch

    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"'{key}' is not a dict of named tensors")


def model_config(model_args: Mapping[str, Any]) -> "tuple[ModelConfig, int]":
    """Model configuration and vocabulary size.

    Raises:
        CheckpointError: They are invalid; the message is the bare reason.
    """
    # Imported late: lists of checkpoints do not need pydantic.
    from pydantic import ValidationError

    from transformer_playground.config.model import ModelConfig

    try:
        config = ModelConfig(**model_args)
    except (ValidationError, TypeError) as error:
        raise CheckpointError(f"'model_args' is invalid: {_first_problem(error)}") from error
    if config.vocab_size is None:
        raise CheckpointError("'model_args' has no vocab_size")
    return config, config.vocab_size


def _first_problem(error: "ValidationError | TypeError") -> str:
    if isinstance(error, TypeError):
        return "its keys are not strings"
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
