"""A small report within a time budget, for the end of training."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformer_playground.errors import PlaygroundError
from transformer_playground.report import build as collect
from transformer_playground.report.files import write_report
from transformer_playground.report.plan import (
    MAX_SEARCHED_BYTES,
    ReportRequest,
    plan_report,
)
from transformer_playground.report.schema import FullValidation, Texts
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation import LoadedRun, draw
from transformer_playground.text_metrics.corpus import read_corpus

Notify = Callable[[str], object]

# Below this, opening the run would eat the budget.
MIN_SECONDS = 0.2
_MOST_TOKENS = 100
_FEWEST_TOKENS = 16
# Rounds of samples, each at most twice as large as the one before: 200 in all.
_ROUNDS = (8, 16, 32, 64, 80)
_PROBE_TOKENS = 4
_PROBE_BYTES = 1 << 14
_PROBE_BATCHES = 1
# Comparing again pays for so many times as much text; more at once would be a wild guess.
_WORTHWHILE, _GROWTH = 2, 8
# Shares of the time that is left when a part begins.
_FOR_SAMPLES, _FOR_COMPARING = 0.5, 0.6
# The rest is for what cannot be cut short: a probe, a step, the writing.
_PLANNED = 0.8
# An estimate may be wrong by so much.
_SAFETY = 1.5


def quick_report(
    run: RunFolder,
    *,
    seconds: float,
    dataset: Path | None = None,
    experiments_dir: Path | None = None,
    notify: Notify = lambda _: None,
) -> Path | None:
    """Write as much of a report as fits into a number of seconds.

    The losses are those that training recorded. Samples are drawn in rounds that grow as long as
    the next is expected to fit, round k with the seed k higher; then texts are compared with as
    much of the training text as fits, and the whole validation split is evaluated if that fits.

    Args:
        run: A run that has a checkpoint.
        seconds: How long this may take.
        dataset: The dataset's folder; None = where the run recorded it.
        experiments_dir: Where else to look for it.
        notify: Takes a sentence when there is no report because something is wrong.

    Returns:
        The file written, or None if the budget is too small or something is wrong.
    """
    if seconds < MIN_SECONDS:
        return None
    try:
        return _quick_report(run, _Deadline(seconds * _PLANNED), dataset, experiments_dir)
    except (PlaygroundError, OSError, MemoryError, RuntimeError) as error:
        # torch has no other type for running out of memory or a device that is gone. The training
        # is over and whole: nothing that happens here may look as if it were not.
        notify(f"there is no report: {error}")
        return None


class _Deadline:
    """A moment in the future."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._end = self._began + seconds

    @property
    def left(self) -> float:
        """Seconds until then, negative when it has passed."""
        return self._end - time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def has_passed(self) -> bool:
        """Whether that moment has come."""
        return self.left <= 0

    def part(self, share: float) -> "_Deadline":
        """A deadline for the next part, after a share of what is left."""
        return _Deadline(self.left * share)


def _quick_report(
    run: RunFolder, deadline: _Deadline, dataset: Path | None, experiments_dir: Path | None
) -> Path | None:
    request = ReportRequest(dataset=dataset, experiments_dir=experiments_dir)
    subject = collect.open_subject(plan_report(run, request))
    if deadline.has_passed():
        return None
    windows = collect.windows_part(subject, evaluate=False)
    drawn = _draw(subject, deadline.part(_FOR_SAMPLES))
    sampling = collect.sampling_part(subject, drawn) if drawn else None
    texts = _texts(subject, [sample["text"] for sample in drawn], deadline) if drawn else None
    evaluation = collect.evaluation_part(subject, windows, _full(subject, deadline))
    report = collect.assemble(subject, "quick", evaluation, sampling, texts, deadline.spent)
    return write_report(run, report, markdown=False)[0]


def _draw(subject: collect.Subject, deadline: _Deadline) -> Sequence[Mapping[str, Any]]:
    """Draw rounds of samples; sets the subject's decoding to what was drawn."""
    loaded = subject.loaded
    try:
        tokens = _affordable_tokens(loaded, deadline)
        if tokens < _FEWEST_TOKENS:
            _lacks_texts(subject, "There was too little time to draw samples.")
            return []
        decoding = loaded.decoding.model_copy(update={"max_new_tokens": tokens})
        subject.loaded = replace(loaded, decoding=decoding)
        drawn = _rounds(subject.loaded, deadline)
    except PlaygroundError as error:
        _lacks_texts(subject, error.message, error.hint)
        return []
    if not drawn:
        _lacks_texts(subject, "There was too little time to draw samples.")
    return drawn


def _affordable_tokens(loaded: LoadedRun, deadline: _Deadline) -> int:
    """Tokens of the first round that fit, after a few tokens to measure by."""
    wanted = min(loaded.decoding.max_new_tokens, _MOST_TOKENS)
    probe = min(_PROBE_TOKENS, wanted)
    began = time.monotonic()
    draw(_asked(loaded, _ROUNDS[0], loaded.seed, probe), cancelled=deadline.has_passed)
    per_token = (time.monotonic() - began) / probe
    if wanted < _FEWEST_TOKENS and per_token * wanted < deadline.left:
        return _FEWEST_TOKENS
    return min(wanted, int(deadline.left / (per_token * _SAFETY)))


def _rounds(loaded: LoadedRun, deadline: _Deadline) -> list[Mapping[str, Any]]:
    drawn: list[Mapping[str, Any]] = []
    last_count, last_seconds = _ROUNDS[0], 0.0
    for number, count in enumerate(_ROUNDS):
        # Half of a step's cost, roughly, does not grow with the samples that share it.
        if last_seconds * (1 + count / last_count) / 2 > deadline.left:
            break
        began = time.monotonic()
        asked = _asked(loaded, count, loaded.seed + number, loaded.decoding.max_new_tokens)
        samples = draw(asked, cancelled=deadline.has_passed)
        last_count, last_seconds = count, time.monotonic() - began
        if any(sample["finish_reason"] == "cancelled" for sample in samples):
            # The whole ones among them are the short ones: they would bend every measure.
            break
        drawn += samples
    return drawn


def _asked(loaded: LoadedRun, count: int, seed: int, tokens: int) -> LoadedRun:
    changes = {"num_samples": count, "max_new_tokens": tokens}
    return replace(loaded, seed=seed, decoding=loaded.decoding.model_copy(update=changes))


def _lacks_texts(subject: collect.Subject, reason: str, hint: str = "") -> None:
    subject.lacks("texts", reason, hint or "tp report draws them.")
    subject.lacks("sampling", reason)


def _texts(subject: collect.Subject, texts: Sequence[str], deadline: _Deadline) -> Texts:
    """Compare the texts with as much of the dataset as there is time for."""
    part = "texts.reference"
    if subject.dataset is None:
        subject.lacks(part, "It needs the run's dataset.")
        return collect.texts_part(texts, None)
    if deadline.has_passed():
        subject.lacks(part, "There was no time left to compare texts.", "tp report does.")
        return collect.texts_part(texts, None)
    allowance = deadline.part(_FOR_COMPARING)
    size = _PROBE_BYTES
    while True:
        began = time.monotonic()
        found = _compared(subject, texts, size)
        # A part of the time is spent on the texts alone, so this never expects too little.
        factor = min(_GROWTH, allowance.left / (time.monotonic() - began) / _SAFETY)
        is_all = found.reference is None or found.reference.train_share == 1
        if is_all or factor < _WORTHWHILE or size == MAX_SEARCHED_BYTES:
            return found
        size = min(int(size * factor), MAX_SEARCHED_BYTES)


def _compared(subject: collect.Subject, texts: Sequence[str], max_bytes: int) -> Texts:
    assert subject.dataset is not None
    corpus = read_corpus(
        subject.dataset, subject.loaded.tokenizer, by_line=subject.by_line, max_bytes=max_bytes
    )
    return collect.texts_part(texts, corpus)


def _full(subject: collect.Subject, deadline: _Deadline) -> FullValidation | None:
    """The whole validation split, if a few batches of it say that it fits."""
    if subject.dataset is None or not _fits_whole_split(subject, deadline):
        # Without a dataset the reason is another one, which `full_part` knows.
        return collect.full_part(subject, max_batches=None, cancelled=lambda: True)
    return collect.full_part(subject, max_batches=None, cancelled=deadline.has_passed)


def _fits_whole_split(subject: collect.Subject, deadline: _Deadline) -> bool:
    if deadline.has_passed():
        return False
    began = time.monotonic()
    probe = collect.full_part(
        replace(subject, missing=[]), max_batches=_PROBE_BATCHES, cancelled=deadline.has_passed
    )
    if probe is None:
        return not deadline.has_passed()
    return (time.monotonic() - began) / probe.share * _SAFETY < deadline.left
