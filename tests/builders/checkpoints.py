"""Tiny real checkpoints, and processes that write them until they are killed."""

from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from transformer_playground.checkpoints.format import CheckpointInfo, weights_payload
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import CheckpointError
from transformer_playground.model.gpt import GPT


def tiny_payload(step: int, *, size: int = 16) -> dict[str, Any]:
    """Something to save that says its step."""
    return {"step": step, "tokens_seen": step * 10, "weights": torch.full((size,), float(step))}


def save(
    folder: Path,
    step: int,
    *,
    val_loss: float | None = None,
    last: bool = True,
    keep_last: int = 2,
    keep_best: int = 1,
    protect: Path | None = None,
) -> list[CheckpointInfo]:
    """Save a tiny payload with a store of its own, as a fresh process would."""
    store = CheckpointStore(folder, keep_last=keep_last, keep_best=keep_best)
    return store.save(
        tiny_payload(step), step=step, last=last, best_metric=val_loss, protect=protect
    )


def read(path: Path) -> Any:
    """The content of a checkpoint file, sidecar or not."""
    return torch.load(path, weights_only=True)


def names(folder: Path) -> set[str]:
    """Every file of a folder, hidden ones included."""
    return {path.name for path in folder.iterdir()}


def flip_byte(path: Path, at: int | None = None) -> None:
    """Damage one byte of a file in place, keeping its size."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0xFF
    path.write_bytes(data)


def put_back(folder: Path, content: Mapping[str, bytes]) -> Path:
    """Lay files out in a new folder."""
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def tiny_model(**settings: Any) -> GPT:
    """A model of a few hundred weights."""
    shape: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 8}
    return GPT(ModelConfig(**(shape | settings)), 11)


def gpt_payload(model: GPT, /, **changes: Any) -> dict[str, Any]:
    """A whole checkpoint payload around a model, with some keys changed."""
    progress = {"tokens_seen": 50, "batch_cursor": 5}
    best = {"best_val_loss": 2.5, "best_step": 5, "val_loss": 2.5}
    return weights_payload(model.state_dict(), model.args(), step=5) | progress | best | changes


def save_for_ever(folder: Path, first_step: int, progress: Connection) -> None:
    """Save step after step, reporting each completed one, until the process is killed."""
    torch.set_num_threads(1)
    store = CheckpointStore(folder, keep_last=2, keep_best=1)
    step = first_step
    while True:
        store.save(
            tiny_payload(step, size=200_000), step=step, last=True, best_metric=1000.0 - step
        )
        progress.send(step)
        step += 1


def save_with_file_limit(folder: Path, step: int, limit: int, answer: Connection) -> None:
    """Save while the system allows no file to grow beyond `limit` bytes; answer with the error."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(folder, step, val_loss=1.0)
    except CheckpointError as error:
        answer.send(str(error))
    else:
        answer.send("")
