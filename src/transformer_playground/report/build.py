"""Report builder: evaluate a checkpoint, sample from it, measure the samples, write the files."""

import errno
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import torch

from transformer_playground.checkpoints.discovery import skipped_notice
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.errors import (
    DataError,
    PlaygroundError,
    RunError,
    SamplingError,
    translate_os_errors,
)
from transformer_playground.evaluation.baseline import (
    USUAL_ORDER,
    BaselineResult,
    compare_with,
    known_baseline,
    ngram_baseline,
)
from transformer_playground.experiments.dataset_lookup import saved_config
from transformer_playground.files import (
    NO_HARD_LINKS,
    fsync_folder,
    temporary_sibling,
    write_durably,
)
from transformer_playground.jsonvalues import as_object, as_text, ascii_json
from transformer_playground.report.evaluation import (
    full_validation,
    history,
    measure_samples,
    measure_validation,
    recorded_losses,
    window_losses,
)
from transformer_playground.report.render import markdown_report
from transformer_playground.report.request import ReportSetup
from transformer_playground.report.schema import (
    CheckpointInfo,
    DatasetInfo,
    Evaluation,
    FullValidation,
    Missing,
    Reference,
    Report,
    Sampling,
    Texts,
    WindowLosses,
)
from transformer_playground.report.verdicts import judge
from transformer_playground.runs.folder import RunFolder, reports_folder
from transformer_playground.runs.generation import LoadedRun, draw, load_resolved
from transformer_playground.runs.series import RunSeries
from transformer_playground.text_metrics.corpus import Corpus, read_corpus, real_pieces

_N_EXAMPLES = 3
NEEDS_DATASET = "It needs the run's dataset."
_DIVERGED = "The loss is not finite: training has diverged."
_MAX_NAMES = 1000
# Counting n-grams of as many training tokens takes seconds.
_MOST_COUNTED = 5_000_000


def make_report(
    setup: ReportSetup, *, progress: Callable[[str], object] = lambda _: None
) -> Report:
    """Evaluate a checkpoint, sample from it and measure the samples.

    The model is loaded once, and evaluated and sampled in `sample.runtime.dtype`. Parts that
    cannot be made are null, with the reason in `missing`.

    Args:
        progress: Called with a sentence before each part.

    Raises:
        PlaygroundError: The checkpoint or the device cannot be used, or memory runs out.
    """
    start = time.monotonic()
    context = load_context(setup)
    loaded = context.loaded
    for skipped in loaded.skipped:
        progress(skipped_notice(skipped))
    for notice in loaded.notices:
        progress(notice)
    progress(f"evaluating {loaded.checkpoint.name} of {setup.run.run_id}")
    windows = build_windows(context, evaluate=True)
    full = build_full_validation(context, max_batches=setup.request.eval_batches)
    evaluation = build_evaluation(context, windows, full, most_counted=_MOST_COUNTED)
    decoding = loaded.decoding
    progress(f"drawing {decoding.num_samples:,} samples of {decoding.max_new_tokens:,} tokens")
    samples = _draw(context)
    sampling = texts = None
    if samples:
        sampling = build_sampling(context, samples)
        progress(
            "comparing the samples with the dataset" if context.dataset else "measuring the samples"
        )
        corpus = _read_corpus(context, setup.request.max_searched_bytes)
        texts = build_texts([sample["text"] for sample in samples], corpus)
    return build_report(context, "full", evaluation, sampling, texts, time.monotonic() - start)


def _draw(context: "ReportContext") -> Sequence[Mapping[str, Any]]:
    try:
        return draw(context.loaded)
    except SamplingError as error:
        context.add_missing("texts", error.message, error.hint)
        context.add_missing("sampling", error.message)
        return []


def _read_corpus(context: "ReportContext", max_bytes: int) -> Corpus | None:
    part = "texts.reference"
    if context.dataset is None:
        context.add_missing(part, NEEDS_DATASET)
        return None
    try:
        return read_corpus(
            context.dataset, context.loaded.tokenizer, by_line=context.by_line, max_bytes=max_bytes
        )
    except DataError as error:
        context.add_missing(part, error.message, error.hint)
        return None


@dataclass
class ReportContext:
    """A run loaded for a report; `missing` collects the parts that cannot be made."""

    setup: ReportSetup
    series: RunSeries
    loaded: LoadedRun
    missing: list[Missing] = field(default_factory=list)

    @property
    def dataset(self) -> Dataset | None:
        """The run's dataset, if it was found."""
        return self.setup.lookup.dataset

    @property
    def by_line(self) -> bool:
        """Whether each line of the dataset is a document."""
        prepare = as_object(as_object(self.setup.record.get("config")).get("prepare"))
        return prepare.get("documents") == "lines"

    def add_missing(self, part: str, reason: str, hint: str = "") -> None:
        """Record why a part of the report is null."""
        self.missing.append(Missing(part, reason, hint))


def load_context(setup: ReportSetup) -> ReportContext:
    """Load the checkpoint and the metrics of a run.

    Raises:
        PlaygroundError: The checkpoint or the device cannot be used, or memory runs out.
    """
    series, lookup = RunSeries(setup.run.metrics_path), setup.lookup
    series.poll()
    loaded = load_resolved(setup.sampling)
    context = ReportContext(setup, series, loaded)
    if lookup.dataset is None:
        context.add_missing("dataset", lookup.problem, lookup.hint)
    return context


def build_windows(
    context: ReportContext, *, evaluate: bool, cancelled: Callable[[], bool] = lambda: False
) -> WindowLosses | None:
    """Losses on the windows of the training: evaluated if possible, else from the metrics."""
    step, part = context.loaded.step, "evaluation.windows"
    reason, hint = "The run's metrics have no evaluation at the checkpoint's step.", ""
    if evaluate and context.dataset is not None:
        try:
            config = saved_config(context.setup.record)
            losses = window_losses(
                context.loaded.model, context.dataset, config, step, cancelled=cancelled
            )
            if losses is not None and not _all_finite(losses.train_loss, losses.val_loss):
                context.add_missing(part, _DIVERGED)
                return None
            if losses is not None:
                return losses
        except PlaygroundError as error:
            reason, hint = error.message, error.hint
    recorded = recorded_losses(context.series, step)
    if recorded is None:
        context.add_missing(part, reason, hint)
    return recorded


def build_full_validation(
    context: ReportContext,
    *,
    max_batches: int | None,
    cancelled: Callable[[], bool] = lambda: False,
) -> FullValidation | None:
    """Loss over the whole validation split."""
    part = "evaluation.full_validation"
    if context.dataset is None:
        context.add_missing(part, NEEDS_DATASET)
        return None
    try:
        full = full_validation(
            context.loaded.model,
            context.dataset,
            _config(context),
            max_batches=max_batches,
            cancelled=cancelled,
        )
    except DataError as error:
        context.add_missing(part, error.message, error.hint)
        return None
    if full is None:
        context.add_missing(part, "There was no time left for it.", "Run tp report.")
    elif not _all_finite(full.loss):
        context.add_missing(part, _DIVERGED)
        return None
    return full


def build_evaluation(
    context: ReportContext,
    windows: WindowLosses | None,
    full: FullValidation | None,
    *,
    most_counted: int = 0,
) -> Evaluation:
    """Losses of the checkpoint, their history, and when the run was first better than counting.

    Args:
        most_counted: N-grams of a training split of more tokens are not counted; the losses of
            those that were counted before are kept beside the dataset.
    """
    past = history(context.series, windows)
    if past is None:
        context.add_missing(
            "evaluation.history",
            "The run's metrics have no evaluation with a finite validation loss.",
        )
    uniform = math.log(context.loaded.tokenizer.vocab_size)
    return Evaluation(uniform, windows, full, past, _against_ngrams(context, most_counted))


def _against_ngrams(context: ReportContext, most_counted: int) -> BaselineResult | None:
    dataset = context.dataset
    if dataset is None:
        return None
    if len(dataset.train) <= most_counted:
        baseline = ngram_baseline(dataset)
    else:
        known = known_baseline(dataset.folder, dataset.fingerprint)
        if known is None:
            return None
        baseline = known
    steps, losses = (context.series.column("eval", key) for key in ("step", "val_loss"))
    return compare_with(baseline, USUAL_ORDER, steps, losses)


def build_sampling(context: ReportContext, samples: Sequence[Mapping[str, Any]]) -> Sampling:
    """Settings and token counts of these samples."""
    loaded = context.loaded
    decoding = loaded.decoding
    return Sampling(
        n_samples=len(samples),
        max_new_tokens=decoding.max_new_tokens,
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        seed=loaded.seed,
        unconditional=decoding.unconditional,
        prompt=loaded.prompt.text,
        tokens_drawn=sum(len(sample["tokens"]) for sample in samples),
        stopped=sum(sample["finish_reason"] == "stop" for sample in samples),
    )


def build_texts(texts: Sequence[str], corpus: Corpus | None) -> Texts:
    """Metrics of the samples and of as much real validation text, if there is a corpus."""
    model, examples = measure_samples(texts, corpus), tuple(texts[:_N_EXAMPLES])
    if corpus is None:
        return Texts(None, model, None, examples)
    pieces = real_pieces(corpus.val, [len(text) for text in texts], by_line=corpus.by_line)
    reference = Reference(
        train_share=corpus.train_share,
        train_chars=len(corpus.train),
        val_share=corpus.val_share,
        val_chars=len(corpus.val),
        unit="lines" if corpus.by_line else "passages",
        pieces_overlap=pieces.overlap,
    )
    return Texts(reference, model, measure_validation(pieces.texts, corpus), examples)


def build_report(
    context: ReportContext,
    kind: Literal["full", "quick"],
    evaluation: Evaluation,
    sampling: Sampling | None,
    texts: Texts | None,
    seconds: float,
) -> Report:
    """The whole report, with its verdicts."""
    loaded, dataset = context.loaded, context.dataset
    is_finite = all(bool(torch.isfinite(weight).all()) for weight in loaded.model.parameters())
    return Report(
        run_id=context.setup.run.run_id,
        experiment=as_text(context.setup.record.get("experiment")),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        kind=kind,
        checkpoint=CheckpointInfo(loaded.checkpoint.name, loaded.step, loaded.skipped),
        dataset=None
        if dataset is None
        else DatasetInfo(str(dataset.folder), dataset.fingerprint, context.setup.lookup.is_checked),
        evaluation=evaluation,
        sampling=sampling,
        texts=texts,
        verdicts=judge(evaluation, sampling, texts, diverged=not is_finite),
        missing=tuple(context.missing),
        seconds=round(seconds, 3),
    )


def _config(context: ReportContext) -> ExperimentConfig | None:
    try:
        return saved_config(context.setup.record)
    except PlaygroundError:
        return None


def _all_finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


def write_report(run: RunFolder, report: Report, *, markdown: bool) -> list[Path]:
    """Write `reports/report-<checkpoint>-<YYYYMMDD-HHMMSS>.json`, and a `.md` beside it.

    A number is appended if the name exists; no file is ever replaced, and an error leaves no
    partial file.

    Returns:
        The files written.

    Raises:
        RunError: OSError while writing.
    """
    moment = "".join(filter(str.isdigit, report.created[:19]))
    stem = f"report-{Path(report.checkpoint.file).stem}-{moment[:8]}-{moment[8:]}"
    what = f"The report could not be written into {run.reports}"
    hint = "Check the disk and the folder's permissions."
    with translate_os_errors(RunError, what, hint):
        reports_folder(run).mkdir(exist_ok=True)
        document = ascii_json(report.as_json(), indent=2) + "\n"
        written = [_write_new(run.reports, stem, ".json", document.encode())]
        if markdown:
            text = markdown_report(report).encode("utf-8")
            written.append(_write_new(run.reports, written[0].stem, ".md", text))
        fsync_folder(run.reports)
    return written


def _write_new(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    with temporary_sibling(folder / f"{stem}{suffix}") as temporary:
        write_durably(temporary, lambda file: file.write(content))
        temporary.chmod(0o644)
        for number in range(1, _MAX_NAMES):
            target = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
            if _move_new(temporary, target):
                return target
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def _move_new(temporary: Path, target: Path) -> bool:
    """Rename a finished file, unless the target exists; whether it was renamed."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            return False
        temporary.rename(target)
    return True
