"""Adapter export: the adapter or the merged model of a run, for plain `peft` or `transformers`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.errors import RunError
from transformer_playground.export.hf.tokenizer import copy_tokenizer
from transformer_playground.export.staging import (
    already_there,
    remove_leftovers,
    staged_folder,
)
from transformer_playground.finetuning.adapter_io import merge as merge_adapters
from transformer_playground.finetuning.adapter_io import save_adapter
from transformer_playground.finetuning.base_model import choose_base_precision
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.hub import silence_libraries
from transformer_playground.runs.folder import RunFolder


@dataclass(frozen=True)
class Exported:
    """The written folder, its checkpoint and step, and its size in bytes.

    `notice` says what rounding the weights of a GGUF base costs; empty if nothing was rounded.
    """

    folder: Path
    checkpoint: Path
    step: int
    size: int
    notice: str = ""


def export_adapter(
    run: RunFolder,
    *,
    checkpoint: str,
    out: Path | None,
    merge: bool,
    dtype: str | None = None,
    base: str | None = None,
) -> Exported:
    """Export the adapter of a checkpoint, or its merged model, with the tokenizer.

    The folder is created atomically.

    Args:
        run: A run of `kind = "lora"`.
        checkpoint: "auto", "best", "last" or a file name from the run's checkpoints folder.
        out: The new folder; None = a folder in the run's `exports/`.
        merge: Export a merged model for `transformers` instead of an adapter for `peft`.
        dtype: Dtype of the merged weights; None = that of the base model in training.
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
    remove_leftovers(out)
    if os.path.lexists(out):
        raise already_there(out)
    model, merged, notice = _load(payload, base=base, merge=merge, dtype=dtype)
    with staged_folder(out) as staged:
        copy_tokenizer(run, staged)
        if merged is None:
            save_adapter(model, staged)
        else:
            with silence_libraries():
                merged.save_pretrained(staged, safe_serialization=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Exported(out, found.path, payload["step"], size, notice)


def _load(
    payload: Mapping[str, Any], *, base: str | None, merge: bool, dtype: str | None
) -> tuple[AdapterModel, Any, str]:
    """The model of a checkpoint, its merged model if it is asked for, and the cost of rounding."""
    is_gguf = payload["model_args"]["hf_model"].get("gguf_file") is not None
    # Weights of a GGUF file fit into no smaller dtype: they are merged before they are rounded.
    exact = merge and (dtype is not None or is_gguf)
    model = build_model(payload, base=base, dtype=torch.float32 if exact else None)
    assert isinstance(model, AdapterModel)
    if not merge:
        return model, None, ""
    with silence_libraries():
        merged = merge_adapters(model)
    if not exact:
        return model, merged, ""
    hf_model, cpu = model.model_args.hf_model, torch.device("cpu")
    wanted = getattr(torch, dtype) if dtype else choose_base_precision(hf_model, cpu).dtype
    cost = _round(merged, wanted, vocab_size=model.vocab_size, context=model.block_size)
    if not is_gguf or wanted == torch.float32:
        return model, merged, ""
    name = str(wanted).removeprefix("torch.")
    return (
        model,
        merged,
        (
            f"rounding the weights of the GGUF base to {name} changes log-probabilities by up to "
            f"{cost:.2g} nats; --dtype float32 keeps them"
        ),
    )


def _round(merged: Any, dtype: torch.dtype, *, vocab_size: int, context: int) -> float:
    """Cast a model; returns the largest change of a log-probability on random tokens, in nats."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size, (1, min(64, context)), generator=generator)
    with torch.inference_mode():
        before = merged(input_ids=tokens, use_cache=False).logits.float().log_softmax(-1)
        merged.to(dtype)
        after = merged(input_ids=tokens, use_cache=False).logits.float().log_softmax(-1)
    return float((before - after).abs().max())
