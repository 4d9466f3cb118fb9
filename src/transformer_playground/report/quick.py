"""Quick report: a report within a time budget, for the end of training."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformer_playground.errors import PlaygroundError
from transformer_playground.report.build import (
    NEEDS_DATASET,
    ReportContext,
    build_evaluation,
    build_full_validation,
    build_report,
    build_sampling,
    build_texts,
    build_windows,
    load_context,
    write_report,
)
from transformer_playground.report.request import ReportRequest, resolve_report
from transformer_playground.report.schema import FullValidation, Texts
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation import LoadedRun, draw
from transformer_playground.text_metrics.corpus import MAX_SEARCHED_BYTES, read_corpus

# A smaller budget would be used up by opening the run.
MIN_SECONDS = 0.2
_MAX_TOKENS = 100
_MIN_TOKENS = 16
# Samples per round, each round at most twice the one before; 200 in total.
_ROUNDS = (8, 16, 32, 64, 80)
_PROBE_TOKENS = 4
_PROBE_BYTES = 1 << 14
_PROBE_BATCHES = 1
# Limits on the growth of the searched text from one comparison to the next.
_MIN_GROWTH, _MAX_GROWTH = 2, 8
# Shares of the time left when a part begins.
_SAMPLING_SHARE, _COMPARING_SHARE = 0.5, 0.6
# The rest of the budget covers what cannot be interrupted: a probe, a step, writing the file.
_PLANNED_SHARE = 0.8
# Safety factor on each time estimate.
_SAFETY = 1.5


def quick_report(
    run: RunFolder,
    *,
    seconds: float,
    dataset: Path | None = None,
    experiments_dir: Path | None = None,
    notify: Callable[[str], object] = lambda _: None,
) -> Path | None:
    """Write as much of a report as fits into a time budget.

    The losses are those that training recorded. Samples are drawn in growing rounds as long as
    the next one is expected to fit; the seed increases by one per round. Then texts are compared
    with as much of the training text as fits, and the whole validation split is evaluated if
    there is time.

    Args:
        seconds: Time budget.
        dataset: The dataset's folder; None = where the run recorded it, then in `experiments_dir`.
        notify: Called with one sentence if an error prevents the report.

    Returns:
        The file written, or None if the budget is too small or an error occurred.
    """
    if seconds < MIN_SECONDS:
        return None
    deadline = _Deadline(seconds * _PLANNED_SHARE)
    request = ReportRequest(dataset=dataset, experiments_dir=experiments_dir)
    try:
        context = load_context(resolve_report(run, request))
        return None if deadline.has_passed() else _quick_report(context, deadline)
    except (PlaygroundError, OSError, MemoryError, RuntimeError) as error:
        # torch raises a bare RuntimeError for a lost device and when memory runs out. The run has
        # finished training, so an error here must not look like a failed run.
        notify(f"the report was not made: {error}")
        return None


class _Deadline:
    """Time limit of a part of the report."""

    def __init__(self, seconds: float) -> None:
        self._start = time.monotonic()
        self._end = self._start + seconds

    @property
    def left(self) -> float:
        """Seconds left; negative after the deadline."""
        return self._end - time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def has_passed(self) -> bool:
        return self.left <= 0

    def part(self, share: float) -> "_Deadline":
        """Deadline of a part that may take a share of the time left."""
        return _Deadline(self.left * share)


def _quick_report(context: ReportContext, deadline: _Deadline) -> Path:
    windows = build_windows(context, evaluate=False)
    samples = _draw(context, deadline.part(_SAMPLING_SHARE))
    sampling = build_sampling(context, samples) if samples else None
    texts = _texts(context, [row["text"] for row in samples], deadline) if samples else None
    evaluation = build_evaluation(context, windows, _full_validation(context, deadline))
    report = build_report(context, "quick", evaluation, sampling, texts, deadline.spent)
    return write_report(context.setup.run, report, markdown=False)[0]


def _draw(context: ReportContext, deadline: _Deadline) -> Sequence[Mapping[str, Any]]:
    """Draw rounds of samples; sets the decoding of `context` to the one used."""
    loaded, reason, hint = context.loaded, "There was too little time to draw samples.", ""
    try:
        tokens = _affordable_tokens(loaded, deadline)
        if tokens >= _MIN_TOKENS:
            context.loaded = _with_decoding(loaded, max_new_tokens=tokens)
            if samples := _draw_rounds(context.loaded, deadline):
                return samples
    except PlaygroundError as error:
        reason, hint = error.message, error.hint
    context.add_missing("texts", reason, hint or "Run tp report.")
    context.add_missing("sampling", reason)
    return []


def _affordable_tokens(loaded: LoadedRun, deadline: _Deadline) -> int:
    """Number of tokens per sample that fit into the first round, measured on a few tokens."""
    limit = min(loaded.decoding.max_new_tokens, _MAX_TOKENS)
    probe = min(_PROBE_TOKENS, limit)
    start = time.monotonic()
    first = _with_decoding(loaded, num_samples=_ROUNDS[0], max_new_tokens=probe)
    draw(first, cancelled=deadline.has_passed)
    per_token = (time.monotonic() - start) / probe
    if limit < _MIN_TOKENS and per_token * limit < deadline.left:
        return _MIN_TOKENS
    return min(limit, int(deadline.left / (per_token * _SAFETY)))


def _draw_rounds(loaded: LoadedRun, deadline: _Deadline) -> list[Mapping[str, Any]]:
    drawn: list[Mapping[str, Any]] = []
    last_count, last_seconds = _ROUNDS[0], 0.0
    for number, count in enumerate(_ROUNDS):
        # Roughly half of the cost of a step does not depend on the batch size.
        if last_seconds * (1 + count / last_count) / 2 > deadline.left:
            break
        start = time.monotonic()
        round_run = replace(_with_decoding(loaded, num_samples=count), seed=loaded.seed + number)
        samples = draw(round_run, cancelled=deadline.has_passed)
        last_count, last_seconds = count, time.monotonic() - start
        if any(sample["finish_reason"] == "cancelled" for sample in samples):
            # Keeping only the finished samples would bias every metric to short texts.
            break
        drawn += samples
    return drawn


def _with_decoding(loaded: LoadedRun, **changes: int) -> LoadedRun:
    return replace(loaded, decoding=loaded.decoding.model_copy(update=changes))


def _texts(context: ReportContext, texts: Sequence[str], deadline: _Deadline) -> Texts:
    """Compare the texts with as much of the dataset as there is time for."""
    part, dataset = "texts.reference", context.dataset
    if dataset is None:
        context.add_missing(part, NEEDS_DATASET)
        return build_texts(texts, None)
    if deadline.has_passed():
        context.add_missing(part, "There was no time left to compare texts.", "Run tp report.")
        return build_texts(texts, None)
    limit = deadline.part(_COMPARING_SHARE)
    size = _PROBE_BYTES
    while True:
        start = time.monotonic()
        tokenizer = context.loaded.tokenizer
        corpus = read_corpus(dataset, tokenizer, by_line=context.by_line, max_bytes=size)
        found = build_texts(texts, corpus)
        # Part of the time does not depend on the size, so the estimate is too high at worst.
        factor = min(_MAX_GROWTH, limit.left / (time.monotonic() - start) / _SAFETY)
        if corpus.train_share == 1 or factor < _MIN_GROWTH or size == MAX_SEARCHED_BYTES:
            return found
        size = min(int(size * factor), MAX_SEARCHED_BYTES)


def _full_validation(context: ReportContext, deadline: _Deadline) -> FullValidation | None:
    if context.dataset is None or not _fits_whole_split(context, deadline):
        # Adds the reason, which is another one without a dataset.
        return build_full_validation(context, max_batches=None, cancelled=lambda: True)
    return build_full_validation(context, max_batches=None, cancelled=deadline.has_passed)


def _fits_whole_split(context: ReportContext, deadline: _Deadline) -> bool:
    if deadline.has_passed():
        return False
    start = time.monotonic()
    probe = build_full_validation(
        replace(context, missing=[]), max_batches=_PROBE_BATCHES, cancelled=deadline.has_passed
    )
    if probe is None:
        return not deadline.has_passed()
    return (time.monotonic() - start) / probe.share * _SAFETY < deadline.left
