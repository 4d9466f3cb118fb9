"""Quality and overfitting of one run: `make_report` is the whole of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformer_playground.errors import DataError, SamplingError
from transformer_playground.report import build as collect
from transformer_playground.report.files import write_report
from transformer_playground.report.plan import ReportPlan, ReportRequest, plan_report
from transformer_playground.report.quick import quick_report
from transformer_playground.report.schema import Report
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation import draw
from transformer_playground.text_metrics.corpus import Corpus, read_corpus

__all__ = ["Report", "make_planned", "make_report", "quick_report", "write_report"]


def make_report(
    run: RunFolder, request: ReportRequest, *, progress: Callable[[str], object] = lambda _: None
) -> Report:
    """Plan a report and make it: `plan_report`, then `make_planned`.

    Raises:
        PlaygroundError: As these two do.
    """
    return make_planned(plan_report(run, request), progress=progress)


def make_planned(plan: ReportPlan, *, progress: Callable[[str], object] = lambda _: None) -> Report:
    """Evaluate a run's checkpoint, let it write, and measure what it wrote.

    The model is loaded once, and evaluated and sampled in the number format of sampling
    (`sample.runtime.dtype`). What cannot be had is null, with the reason in `missing`.

    Args:
        plan: From `plan_report`; nothing outside the run's folder is needed but its dataset.
        progress: Takes a sentence about what comes next.

    Raises:
        PlaygroundError: The checkpoint, the device or its memory does not do.
    """
    began = time.monotonic()
    subject = collect.open_subject(plan)
    for skipped in subject.loaded.skipped:
        progress(f"skipped a damaged checkpoint: {skipped}")
    progress(f"evaluating {subject.loaded.checkpoint.name} of {plan.run.run_id}")
    windows = collect.windows_part(subject, evaluate=True)
    full = collect.full_part(subject, max_batches=plan.request.eval_batches)
    evaluation = collect.evaluation_part(subject, windows, full)
    samples = _samples(subject, progress)
    sampling = collect.sampling_part(subject, samples) if samples else None
    texts = None
    if samples:
        progress("comparing the samples with the dataset" if subject.dataset else "measuring")
        corpus = _corpus(subject, plan.request)
        texts = collect.texts_part([sample["text"] for sample in samples], corpus)
    return collect.assemble(subject, "full", evaluation, sampling, texts, time.monotonic() - began)


def _samples(
    subject: collect.Subject, progress: Callable[[str], object]
) -> Sequence[Mapping[str, Any]]:
    decoding = subject.loaded.decoding
    progress(f"drawing {decoding.num_samples:,} samples of {decoding.max_new_tokens:,} tokens")
    try:
        return draw(subject.loaded)
    except SamplingError as error:
        subject.lacks("texts", error.message, error.hint)
        subject.lacks("sampling", error.message)
        return []


def _corpus(subject: collect.Subject, request: ReportRequest) -> Corpus | None:
    part = "texts.reference"
    if subject.dataset is None:
        subject.lacks(part, "It needs the run's dataset.")
        return None
    try:
        return read_corpus(
            subject.dataset,
            subject.loaded.tokenizer,
            by_line=subject.by_line,
            max_bytes=request.max_searched_bytes,
        )
    except DataError as error:
        subject.lacks(part, error.message, error.hint)
        return None
