"""Adapters of a run as a folder that plain `peft` or plain `transformers` loads."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.data.meta import META_FILE
from transformer_playground.errors import RunError, UsageError
from transformer_playground.finetuning.adapter_io import merge as merge_adapters
from transformer_playground.finetuning.adapter_io import save_adapter
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.hub import silence_libraries
from transformer_playground.runs.folder import RunFolder


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, the checkpoint it was made from, its step and its bytes."""

    folder: Path
    checkpoint: Path
    step: int
    size: int


def export_adapter(
    run: RunFolder, *, checkpoint: str, out: Path | None, merge: bool, base: str | None = None
) -> Exported:
    """Write the adapters of a checkpoint, or the base model with the adapters merged into it.

    The tokenizer goes with them. The folder appears when it is whole.

    Args:
        run: A run of `kind = "lora"`.
        checkpoint: "auto", "best", "last" or a file name from the run's checkpoints folder.
        out: The folder to make; None = below the run's `exports/`.
        merge: Write a whole model for `transformers` instead of adapters for `peft`. Its weights
            are in the format that the base was trained in.
        base: Where the base model lies by now; None = where it lay.

    Raises:
        RunError: The run trained a model of its own, or the disk refused.
        UsageError: `out` is there already.
        CheckpointError: The checkpoint is missing or damaged.
        ModelError: The base model cannot be had.
    """
    found = choose(run.checkpoints, checkpoint)
    payload = load_payload(found.path)
    if payload["kind"] != "lora":
        raise RunError(
            f"run '{run.run_id}' trained a model of its own; it has no adapters.",
            "Name a run of an experiment with experiment.kind = 'lora'.",
        )
    if out is None:
        out = run.root / "exports" / f"{'merged' if merge else 'adapter'}-step-{payload['step']}"
    if out.exists():
        raise UsageError(f"{out} is there already.", "Name another folder with --out.")
    model = build_model(payload, base=base)
    assert isinstance(model, AdapterModel)
    try:
        with _whole(out) as staged:
            _copy_tokenizer(run, staged)
            if merge:
                with silence_libraries():
                    merge_adapters(model).save_pretrained(staged, safe_serialization=True)
            else:
                save_adapter(model, staged)
    except OSError as error:
        raise RunError(
            f"{out} cannot be written: {error.strerror or error}.",
            "Free some disk space, or name another folder with --out.",
        ) from error
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Exported(out, found.path, payload["step"], size)


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that becomes it at the end, or vanishes on an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        staged = Path(temporary) / folder.name
        staged.mkdir()
        yield staged
        staged.rename(folder)


def _copy_tokenizer(run: RunFolder, folder: Path) -> None:
    for path in sorted(run.tokenizer.iterdir()):
        # Our own description of it means nothing to others.
        if path.is_file() and path.name != META_FILE:
            shutil.copyfile(path, folder / path.name)
