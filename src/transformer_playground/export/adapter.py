"""Adapter export: the adapter or the merged model of a run, for plain `peft` or `transformers`."""

import os
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.errors import RunError
from transformer_playground.export.hf.tokenizer import copy_tokenizer
from transformer_playground.export.staging import already_there, staged_folder
from transformer_playground.finetuning.adapter_io import merge as merge_adapters
from transformer_playground.finetuning.adapter_io import save_adapter
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.hub import silence_libraries
from transformer_playground.runs.folder import RunFolder


@dataclass(frozen=True)
class Exported:
    """The written folder, its checkpoint and step, and its size in bytes."""

    folder: Path
    checkpoint: Path
    step: int
    size: int


def export_adapter(
    run: RunFolder, *, checkpoint: str, out: Path | None, merge: bool, base: str | None = None
) -> Exported:
    """Export the adapter of a checkpoint, or its merged model, with the tokenizer.

    The folder is created atomically.

    Args:
        run: A run of `kind = "lora"`.
        checkpoint: "auto", "best", "last" or a file name from the run's checkpoints folder.
        out: The new folder; None = a folder in the run's `exports/`.
        merge: Export a merged model for `transformers`, in the dtype of the base model in training,
            instead of an adapter for `peft`.
        base: New name or path of the base model; None = as saved.

    Raises:
        RunError: The run has no adapters, or OSError while writing.
        UsageError: `out` already exists.
        CheckpointError: The checkpoint is missing or damaged.
        ModelError: The base model cannot be loaded.
    """
    found = choose(run.checkpoints, checkpoint)
    payload = load_payload(found.path)
    if payload["kind"] != "lora":
        raise RunError(
            f"run '{run.run_id}' trained a model from scratch; it has no adapters.",
            "Choose a run of an experiment with experiment.kind = 'lora'.",
        )
    if out is None:
        out = run.root / "exports" / f"{'merged' if merge else 'adapter'}-step-{payload['step']}"
    if os.path.lexists(out):
        raise already_there(out)
    model = build_model(payload, base=base)
    assert isinstance(model, AdapterModel)
    with silence_libraries():
        merged = merge_adapters(model) if merge else None
    with staged_folder(out) as staged:
        copy_tokenizer(run, staged)
        if merged is None:
            save_adapter(model, staged)
        else:
            with silence_libraries():
                merged.save_pretrained(staged, safe_serialization=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Exported(out, found.path, payload["step"], size)
