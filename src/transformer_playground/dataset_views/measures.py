"""What a run finds hard in its dataset: tokens and windows of the validation split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transformer_playground.comparison.windows import measure_windows
from transformer_playground.config.sample import SampleRuntimeConfig
from transformer_playground.data.training_batches import document_rows
from transformer_playground.dataset_views.source import DataSource
from transformer_playground.errors import CheckpointError, UsageError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.window_losses import best_checkpoint

_MOST_WINDOWS = 200
_PREVIEW = 120


@dataclass(frozen=True)
class HardWindow:
    """A window of the validation split.

    Attributes:
        first: Position of its first token.
        loss: Mean loss of its tokens, in nats.
    """

    first: int
    loss: float
    targets: int


@dataclass(frozen=True)
class TokenCost:
    """Losses of the tokens of the vocabulary on the validation split.

    Attributes:
        losses: Mean loss of a token as target, in nats; NaN if it never is one, (vocab_size,).
        shares: Part of the summed loss, (vocab_size,).
    """

    losses: NDArray[np.float64]
    shares: NDArray[np.float64]


def hardest_windows(
    source: DataSource, experiments_dir: Path | None, cancelled: Callable[[], bool] = lambda: False
) -> tuple[HardWindow, ...] | None:
    """The windows with the highest mean loss of the best checkpoint, at most 200.

    The losses are kept in the folder of the run, so that the same checkpoint is measured once.

    Args:
        source: The dataset of a run.
        experiments_dir: Where the dataset may be, too.
        cancelled: Called before each batch.

    Returns:
        The windows, the hardest first; None if cancelled.

    Raises:
        UsageError: The dataset was opened for an experiment.
        PlaygroundError: The run has no intact checkpoint, or its dataset has changed.
    """
    found = measure_windows(_run_of(source), experiments_dir, cancelled=cancelled)
    if found is None:
        return None
    means = np.where(found.targets > 0, found.sums / np.maximum(found.targets, 1), -np.inf)
    rows = document_rows(source.dataset.val, source.config, source.dataset)
    firsts = (
        np.arange(len(means), dtype=np.int64) * source.config.train_block_size
        if rows is None
        else rows.starts
    )
    order = np.argsort(-means, kind="stable")[:_MOST_WINDOWS]
    return tuple(
        HardWindow(int(firsts[place]), float(means[place]), int(found.targets[place]))
        for place in order
        if found.targets[place]
    )


def beginnings(source: DataSource, windows: Sequence[HardWindow]) -> tuple[str, ...]:
    """How the text of windows of the validation split begins, untrusted."""
    val = source.dataset.val
    return tuple(
        source.table.text(np.asarray(val[window.first : window.first + _PREVIEW])).decode(
            "utf-8", "replace"
        )
        for window in windows
    )


def measured_tokens(
    source: DataSource, cancelled: Callable[[], bool] = lambda: False
) -> TokenCost | None:
    """The loss of each token with the best checkpoint of a run; None if cancelled.

    Raises:
        UsageError: The dataset was opened for an experiment.
        PlaygroundError: The run has no intact checkpoint, or its dataset is damaged.
    """
    run = _run_of(source)
    checkpoint = best_checkpoint(run)
    if checkpoint is None:
        raise CheckpointError(f"The run '{run.run_id}' has no checkpoint to measure with.")
    # torch is imported only now.
    from transformer_playground.evaluation.token_losses import token_losses
    from transformer_playground.runs.generation import load_model

    model = load_model(checkpoint[0], SampleRuntimeConfig()).model
    found = token_losses(model, source.dataset, source.config, cancelled=cancelled)
    if found is None:
        return None
    size = source.table.vocab_size
    counts, sums = found.counts[:size], found.sums[:size]
    losses = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return TokenCost(losses, sums / max(float(sums.sum()), 1e-300))


def measured_batches(source: DataSource) -> int:
    """Number of batches in which the validation split is measured.

    Raises:
        DataError: The split is too short or damaged.
    """
    from transformer_playground.evaluation.whole_split import windows_at_once

    rows = document_rows(source.dataset.val, source.config, source.dataset)
    size = source.config.train_block_size
    windows = -(-(len(source.dataset.val) - 1) // size) if rows is None else len(rows)
    vocab_size = source.config.model.vocab_size or source.dataset.vocab_size
    return -(-windows // windows_at_once(size, vocab_size))


def _run_of(source: DataSource) -> RunFolder:
    if source.run is None:
        raise UsageError(
            f"'{source.name}' is an experiment, which has no model to measure with.",
            "Choose one of its runs.",
        )
    return source.run
