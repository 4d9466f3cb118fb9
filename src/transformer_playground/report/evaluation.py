"""How well a run's checkpoint predicts its dataset, and what its metrics say."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from pydantic import ValidationError

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.loader import all_batches, count_targets
from transformer_playground.data.padded_loader import all_rows
from transformer_playground.errors import RunError
from transformer_playground.evaluation.loss import (
    Losses,
    bits_per_byte,
    document_rows,
    evaluate,
    mean_loss,
    perplexity,
)
from transformer_playground.model.base import LanguageModel
from transformer_playground.report.schema import FullValidation, History, WindowLosses
from transformer_playground.runs.series import RunSeries, lowest

_MOST_WINDOWS = 64
# Logits of one batch: 128 MiB in float32.
_MOST_LOGITS = 1 << 25


def saved_config(record: Mapping[str, Any]) -> ExperimentConfig:
    """The settings that a run recorded.

    Raises:
        RunError: They are missing, or not valid in this version.
    """
    try:
        return ExperimentConfig.model_validate(record.get("config"))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"])) or "config"
        raise RunError(
            f"The settings saved in config.json are not valid in this version: {key}.",
            "The training's own windows are unknown without them.",
        ) from error


def window_losses(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig,
    step: int,
    *,
    cancelled: Callable[[], bool],
) -> WindowLosses | None:
    """Evaluate on the windows that the run's training evaluates on.

    Returns:
        The losses, or None if cancelled.

    Raises:
        DataError: A split is shorter than a block, or damaged.
    """
    device = model.device
    losses = evaluate(model, dataset, config, device, cancelled=cancelled)
    return None if losses is None else _windows(losses, step)


def recorded_losses(series: RunSeries, step: int) -> WindowLosses | None:
    """The evaluation that training made at this step, from its metrics."""
    (found,) = np.nonzero(series.column("eval", "step") == step)
    index = int(found[0]) if found.size else None
    train, val = (series.at("eval", key, index) for key in ("train_loss", "val_loss"))
    if train is None or val is None:
        return None
    return WindowLosses(
        source="metrics",
        step=step,
        train_loss=train,
        val_loss=val,
        train_perplexity=perplexity(train),
        val_perplexity=perplexity(val),
        val_bits_per_byte=series.at("eval", "val_bits_per_byte", index),
        generalisation_gap=val - train,
    )


def full_validation(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig | None,
    *,
    max_batches: int | None,
    cancelled: Callable[[], bool],
) -> FullValidation | None:
    """Evaluate on windows side by side from the first validation token on, or on each document.

    Args:
        model: The model.
        dataset: Its dataset.
        config: Of the training: as many tokens a window, for more context means a lower loss, and
            documents packed or padded as there. None = windows as long as the model can read.
        max_batches: Most batches of up to 64 windows to evaluate; None = the whole split.
        cancelled: Asked before each batch.

    Returns:
        The loss, or None if cancelled.

    Raises:
        DataError: The split is too short or damaged.
    """
    block_size = model.block_size if config is None else config.train_block_size
    fitting = _MOST_LOGITS // (block_size * model.vocab_size)
    batch_size = max(1, min(_MOST_WINDOWS, fitting))
    rows = None if config is None else document_rows(dataset.val, config, dataset)
    batches = (
        all_batches(
            dataset.val,
            batch_size=batch_size,
            block_size=block_size,
            vocab_size=dataset.vocab_size,
            end_token=dataset.end_token,
        )
        if rows is None
        else all_rows(rows, batch_size=batch_size)
    )
    counted = _Counted(islice(batches, max_batches))
    loss = mean_loss(model, counted, model.device, cancelled=cancelled)
    if loss is None:
        return None
    return FullValidation(
        loss=loss,
        perplexity=perplexity(loss),
        bits_per_byte=bits_per_byte(loss, dataset.val_bytes_per_token),
        tokens=counted.targets,
        share=counted.targets / rows.targets if rows else counted.places / (len(dataset.val) - 1),
    )


def history(series: RunSeries, windows: WindowLosses | None) -> History | None:
    """The course of the losses, or None if no evaluation has a finite validation loss.

    Args:
        series: The run's metrics.
        windows: The losses of the checkpoint at hand.
    """
    steps, losses = series.column("eval", "step"), series.column("eval", "val_loss")
    best, finite = lowest(losses), np.flatnonzero(np.isfinite(losses))
    if best is None:
        return None
    newest = int(finite[-1])
    best_loss, newest_loss = float(losses[best]), float(losses[newest])
    train, best_train = (series.at("eval", "train_loss", index) for index in (newest, best))
    return History(
        evaluations=len(finite),
        best_step=int(steps[best]),
        best_val_loss=best_loss,
        newest_step=int(steps[newest]),
        newest_val_loss=newest_loss,
        newest_val_rise=newest_loss - best_loss,
        newest_train_change=None if train is None or best_train is None else train - best_train,
        checkpoint_val_rise=windows.val_loss - best_loss if windows else None,
    )


class _Counted:
    """Passes batches on and counts their targets, and their places, where not all are targets."""

    def __init__(self, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        self._batches = batches
        self.targets = self.places = 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for inputs, targets in self._batches:
            self.targets += count_targets(targets)
            self.places += targets.size
            yield inputs, targets


def _windows(losses: Losses, step: int) -> WindowLosses:
    return WindowLosses(
        source="evaluated",
        step=step,
        train_loss=losses.train_loss,
        val_loss=losses.val_loss,
        train_perplexity=losses.train_ppl,
        val_perplexity=losses.val_ppl,
        val_bits_per_byte=losses.val_bits_per_byte,
        generalisation_gap=losses.val_loss - losses.train_loss,
    )
