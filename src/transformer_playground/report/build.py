"""The parts of a report, each with the reason where one cannot be had."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import torch

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.errors import DataError, PlaygroundError
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.report.evaluation import (
    full_validation,
    history,
    recorded_losses,
    saved_config,
    window_losses,
)
from transformer_playground.report.plan import FoundDataset, ReportPlan
from transformer_playground.report.schema import (
    CheckpointFacts,
    DatasetFacts,
    Evaluation,
    FullValidation,
    LongestMatch,
    Missing,
    Reference,
    Report,
    Sampling,
    TextMeasures,
    Texts,
    WindowLosses,
)
from transformer_playground.report.verdicts import judge
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation import LoadedRun, load_planned
from transformer_playground.runs.series import RunSeries
from transformer_playground.text_metrics.corpus import Corpus, real_pieces
from transformer_playground.text_metrics.diversity import text_statistics
from transformer_playground.text_metrics.novelty import ngram_novelty
from transformer_playground.text_metrics.overlap import (
    ExactMatches,
    exact_line_matches,
    exact_match_ratio,
    exact_matches,
    longest_matches,
)


@dataclass(frozen=True)
class Compared:
    """Texts against a dataset: see `TextMeasures`."""

    exact_match: ExactMatches
    longest_match: LongestMatch | None
    ngram_novelty: dict[str, float | None]


def measure(texts: Sequence[str], compared: Compared | None) -> TextMeasures:
    """What a set of texts is like, with what a comparison found."""
    return TextMeasures(
        statistics=text_statistics(texts),
        exact_match=compared.exact_match if compared else None,
        longest_match=compared.longest_match if compared else None,
        ngram_novelty=compared.ngram_novelty if compared else None,
    )


def compare_samples(texts: Sequence[str], corpus: Corpus) -> Compared:
    """Hold samples against both splits."""
    find = exact_line_matches if corpus.by_line else exact_matches
    return _compared(texts, corpus, find(texts, corpus.train, corpus.val))


def compare_real(texts: Sequence[str], corpus: Corpus) -> Compared:
    """Hold validation text against the training text; that it is validation text needs no proof."""
    if corpus.by_line:
        train = exact_line_matches(texts, corpus.train, "").train
    else:
        train = exact_match_ratio(texts, corpus.train)
    novel = None if train is None else 1 - train
    return _compared(texts, corpus, ExactMatches(train=train, val=None, either=None, novel=novel))


def _compared(texts: Sequence[str], corpus: Corpus, exact: ExactMatches) -> Compared:
    novelty = ngram_novelty(texts, corpus.train)
    return Compared(
        exact_match=exact,
        longest_match=_longest(texts, corpus.train),
        ngram_novelty={str(size): share for size, share in novelty.items()},
    )


def _longest(texts: Sequence[str], train: str) -> LongestMatch | None:
    matches = longest_matches(texts, train)
    longest, length, share = matches.longest, matches.mean_length, matches.mean_share
    if longest is None or length is None or share is None:
        return None
    return LongestMatch(longest.length, longest.text, longest.sample, length, share)


N_EXAMPLES = 3


@dataclass
class Subject:
    """A run made ready for a report: everything is loaded once. `missing` grows on the way."""

    run: RunFolder
    record: Mapping[str, Any]
    series: RunSeries
    found: FoundDataset
    loaded: LoadedRun
    missing: list[Missing] = field(default_factory=list)

    @property
    def dataset(self) -> Dataset | None:
        """The run's dataset, if it was found."""
        return self.found.dataset

    @property
    def by_line(self) -> bool:
        """Whether each line of the dataset is a document of its own."""
        prepare = as_object(as_object(self.record.get("config")).get("prepare"))
        return prepare.get("documents") == "lines"

    def lacks(self, part: str, reason: str, hint: str = "") -> None:
        """Note why a part of the report is null."""
        self.missing.append(Missing(part, reason, hint))


def open_subject(plan: ReportPlan) -> Subject:
    """Load the checkpoint and the metrics of the run of a plan.

    Raises:
        PlaygroundError: The checkpoint, the device or its memory does not do.
    """
    series, found = RunSeries(plan.run.metrics_path), plan.found
    series.poll()
    subject = Subject(plan.run, plan.record, series, found, load_planned(plan.sampling))
    if found.dataset is None:
        subject.lacks("dataset", found.problem, found.hint)
    return subject


def windows_part(
    subject: Subject, *, evaluate: bool, cancelled: Callable[[], bool] = lambda: False
) -> WindowLosses | None:
    """Losses on the training's windows: evaluated where wanted and possible, else as recorded."""
    step, part = subject.loaded.step, "evaluation.windows"
    reason = "The run's metrics hold no evaluation at the checkpoint's step."
    hint = ""
    if evaluate and subject.dataset is not None:
        try:
            config = saved_config(subject.record)
            losses = window_losses(
                subject.loaded.model, subject.dataset, config, step, cancelled=cancelled
            )
            if losses is not None and not _is_number(losses.train_loss, losses.val_loss):
                subject.lacks(part, "The loss is not a number: the weights diverged in training.")
                return None
            if losses is not None:
                return losses
        except PlaygroundError as error:
            reason, hint = error.message, error.hint
    recorded = recorded_losses(subject.series, step)
    if recorded is None:
        subject.lacks(part, reason, hint)
    return recorded


def full_part(
    subject: Subject,
    *,
    max_batches: int | None,
    cancelled: Callable[[], bool] = lambda: False,
) -> FullValidation | None:
    """Loss over the whole validation split."""
    part = "evaluation.full_validation"
    if subject.dataset is None:
        subject.lacks(part, "It needs the run's dataset.")
        return None
    try:
        full = full_validation(
            subject.loaded.model,
            subject.dataset,
            _config(subject),
            max_batches=max_batches,
            cancelled=cancelled,
        )
    except DataError as error:
        subject.lacks(part, error.message, error.hint)
        return None
    if full is None:
        subject.lacks(part, "There was no time left for it.", "tp report evaluates it.")
    elif not _is_number(full.loss):
        subject.lacks(part, "The loss is not a number: the weights diverged in training.")
        return None
    return full


def evaluation_part(
    subject: Subject, windows: WindowLosses | None, full: FullValidation | None
) -> Evaluation:
    """All that is known about losses."""
    course = history(subject.series, windows)
    if course is None:
        subject.lacks(
            "evaluation.history",
            "The run's metrics hold no evaluation with a finite validation loss.",
        )
    uniform = math.log(subject.loaded.tokenizer.vocab_size)
    return Evaluation(uniform, windows, full, course)


def sampling_part(subject: Subject, samples: Sequence[Mapping[str, Any]]) -> Sampling:
    """How these samples were drawn."""
    loaded = subject.loaded
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


def texts_part(texts: Sequence[str], corpus: Corpus | None) -> Texts:
    """What the model wrote, beside as much real validation text where there is a corpus."""
    examples = tuple(texts[:N_EXAMPLES])
    if corpus is None:
        return Texts(None, measure(texts, None), None, examples)
    pieces = real_pieces(corpus.val, [len(text) for text in texts], by_line=corpus.by_line)
    reference = Reference(
        train_share=corpus.train_share,
        train_chars=len(corpus.train),
        val_share=corpus.val_share,
        val_chars=len(corpus.val),
        unit="lines" if corpus.by_line else "passages",
        pieces_overlap=pieces.overlap,
    )
    return Texts(
        reference=reference,
        model=measure(texts, compare_samples(texts, corpus)),
        validation=measure(pieces.texts, compare_real(pieces.texts, corpus)),
        examples=examples,
    )


def assemble(
    subject: Subject,
    kind: Literal["full", "quick"],
    evaluation: Evaluation,
    sampling: Sampling | None,
    texts: Texts | None,
    seconds: float,
) -> Report:
    """The whole report, with its verdicts."""
    loaded, dataset = subject.loaded, subject.dataset
    return Report(
        run_id=subject.run.run_id,
        experiment=as_text(subject.record.get("experiment")),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        kind=kind,
        checkpoint=CheckpointFacts(loaded.checkpoint.name, loaded.step, loaded.skipped),
        dataset=None
        if dataset is None
        else DatasetFacts(str(dataset.folder), dataset.fingerprint, subject.found.is_checked),
        evaluation=evaluation,
        sampling=sampling,
        texts=texts,
        verdicts=judge(evaluation, sampling, texts, diverged=_has_diverged(loaded)),
        missing=tuple(subject.missing),
        seconds=round(seconds, 3),
    )


def _config(subject: Subject) -> ExperimentConfig | None:
    try:
        return saved_config(subject.record)
    except PlaygroundError:
        return None


def _has_diverged(loaded: LoadedRun) -> bool:
    return not all(bool(torch.isfinite(weight).all()) for weight in loaded.model.parameters())


def _is_number(*values: float) -> bool:
    return all(map(math.isfinite, values))
