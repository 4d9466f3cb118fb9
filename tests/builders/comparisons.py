"""Small finished runs to compare: their numbers are chosen, not trained."""

from pathlib import Path
from typing import Any

from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.data.meta import META_FILE, write_meta
from transformer_playground.runs.folder import RunFolder

ALPHABET = "abc"
FINGERPRINT = "f" * 64


def settings(seed: int | None = 1, **model: Any) -> dict[str, Any]:
    """A nested configuration; `model` goes into `[model]`."""
    runtime = {"max_iters": 100} | ({} if seed is None else {"seed": seed})
    return {
        "prepare": {"raw_dir": "/here/raw", "dataset_dir": "/here/datasets"},
        "model": {"n_layer": 2, "norm": "layernorm"} | model,
        "train": {"runtime": runtime},
    }


def evaluated(
    train_loss: float | None, val_loss: float | None, bits: float | None = 3.0, step: int = 100
) -> list[dict[str, Any]]:
    """A training step and an evaluation after it."""
    return [
        train_row(step, tokens_seen=step * 10),
        eval_row(step, val_loss, train_loss=train_loss, val_bits_per_byte=bits),
    ]


def finished_run(
    runs_dir: Path,
    run_id: str,
    val_loss: float | None = 2.0,
    *,
    seed: int | None = 1,
    alphabet: str | None = ALPHABET,
    fingerprint: str | None = FINGERPRINT,
    rows: list[dict[str, Any]] | None = None,
    state: str = "finished",
    model: dict[str, Any] | None = None,
    **changes: Any,
) -> RunFolder:
    """A run that ended after one evaluation, with a character tokenizer of `alphabet`."""
    middle = evaluated(1.5, val_loss) if rows is None else rows
    run = make_run(
        runs_dir,
        run_id,
        [status_row(0, "running"), *middle, status_row(100, state)],
        **{"config": settings(seed, **(model or {})), "dataset": {"fingerprint": fingerprint}}
        | changes,
    )
    if alphabet is not None:
        table = {char: number for number, char in enumerate(alphabet)}
        write_meta(run.tokenizer / META_FILE, {"kind": "char", "stoi": table})
    return run
