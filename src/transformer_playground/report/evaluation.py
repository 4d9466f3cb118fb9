"""Evaluation of a checkpoint: losses on its dataset, loss history and text metrics."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal

import numpy as np

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.loader import count_targets
from transformer_playground.data.training_batches import document_rows
from transformer_playground.evaluation.loss import (
    bits_per_byte,
    evaluate,
    mean_loss,
    perplexity,
)
from transformer_playground.evaluation.whole_split import split_batches
from transformer_playground.model.base import LanguageModel
from transformer_playground.report.schema import (
    FullValidation,
    History,
    LongestMatch,
    TextMeasures,
    WindowLosses,
)
from transformer_playground.runs.series import RunSeries
from transformer_playground.text_metrics.corpus import Corpus
from transformer_playground.text_metrics.diversity import text_statistics
from transformer_playground.text_metrics.novelty import ngram_novelty
from transformer_playground.text_metrics.overlap import (
    ExactMatches,
    exact_line_matches,
    exact_match_ratio,
    exact_matches,
    longest_matches,
)


def window_losses(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig,
    step: int,
    *,
    cancelled: Callable[[], bool],
) -> WindowLosses | None:
    """Evaluate on the same windows as the run's training; None if cancelled.

    Raises:
        DataError: A split is shorter than a block, or damaged.
    """
    losses = evaluate(model, dataset, config, model.device, cancelled=cancelled)
    if losses is None:
        return None
    train, val, bits = losses.train_loss, losses.val_loss, losses.val_bits_per_byte
    return _window_losses("evaluated", step, train, val, bits)


def recorded_losses(series: RunSeries, step: int) -> WindowLosses | None:
    """Losses of the evaluation at this step, from the run's metrics."""
    (found,) = np.nonzero(series.column("eval", "step") == step)
    index = int(found[0]) if found.size else None
    train, val = (series.at("eval", key, index) for key in ("train_loss", "val_loss"))
    if train is None or val is None:
        return None
    bits = series.at("eval", "val_bits_per_byte", index)
    return _window_losses("metrics", step, train, val, bits)


def _window_losses(
    source: Literal["evaluated", "metrics"],
    step: int,
    train: float,
    val: float,
    bits_per_byte: float | None,
) -> WindowLosses:
    perplexities = perplexity(train), perplexity(val)
    return WindowLosses(source, step, train, val, *perplexities, bits_per_byte, val - train)


def full_validation(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig | None,
    *,
    max_batches: int | None,
    cancelled: Callable[[], bool],
) -> FullValidation | None:
    """Evaluate on consecutive windows of the validation split, or on each of its documents.

    Args:
        config: Of the training. Windows are as long as there, since more context lowers the loss,
            and documents are packed or padded as there. None = windows of the model's block size.
        max_batches: Maximum number of batches (64 windows or fewer); None = the whole split.
        cancelled: Called before each batch.

    Returns:
        The loss, or None if cancelled.

    Raises:
        DataError: The split is too short or damaged.
    """
    rows = None if config is None else document_rows(dataset.val, config, dataset)
    batches = split_batches(model, dataset, config)
    counted = _TargetCounter(islice(batches, max_batches))
    loss = mean_loss(model, counted, model.device, cancelled=cancelled)
    if loss is None:
        return None
    return FullValidation(
        loss=loss,
        perplexity=perplexity(loss),
        bits_per_byte=bits_per_byte(loss, dataset.val_bytes_per_token),
        tokens=counted.targets,
        share=counted.targets / rows.targets
        if rows
        else counted.positions / (len(dataset.val) - 1),
    )


class _TargetCounter:
    """Iterates over batches and counts targets, and positions including masked ones."""

    def __init__(self, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        self._batches = batches
        self.targets = self.positions = 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for inputs, targets in self._batches:
            self.targets += count_targets(targets)
            self.positions += targets.size
            yield inputs, targets


def history(series: RunSeries, windows: WindowLosses | None) -> History | None:
    """Loss history of a run, or None if no evaluation has a finite validation loss.

    Args:
        windows: Losses of the checkpoint that the report is about.
    """
    steps, losses = series.column("eval", "step"), series.column("eval", "val_loss")
    best, finite = (
        series.best_evaluation(series.same_windows()),
        np.flatnonzero(np.isfinite(losses)),
    )
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


def measure_samples(texts: Sequence[str], corpus: Corpus | None) -> TextMeasures:
    """Text metrics of samples, compared with both splits if there is a corpus."""
    if corpus is None:
        return TextMeasures(text_statistics(texts), None, None, None)
    find = exact_line_matches if corpus.by_line else exact_matches
    return _measures(texts, corpus, find(texts, corpus.train, corpus.val))


def measure_validation(texts: Sequence[str], corpus: Corpus) -> TextMeasures:
    """Text metrics of real validation text, compared with the training text only."""
    if corpus.by_line:
        train = exact_line_matches(texts, corpus.train, "").train
    else:
        train = exact_match_ratio(texts, corpus.train)
    novel = None if train is None else 1 - train
    return _measures(texts, corpus, ExactMatches(train=train, val=None, either=None, novel=novel))


def _measures(texts: Sequence[str], corpus: Corpus, exact: ExactMatches) -> TextMeasures:
    novelty = ngram_novelty(texts, corpus.train)
    return TextMeasures(
        statistics=text_statistics(texts),
        exact_match=exact,
        longest_match=_longest_match(texts, corpus.train),
        ngram_novelty={str(size): share for size, share in novelty.items()},
    )


def _longest_match(texts: Sequence[str], train: str) -> LongestMatch | None:
    matches = longest_matches(texts, train)
    longest, length, share = matches.longest, matches.mean_length, matches.mean_share
    if longest is None or length is None or share is None:
        return None
    return LongestMatch(longest.length, longest.text, longest.sample, length, share)
