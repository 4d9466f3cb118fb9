"""Compared run: settings, dataset, environment, metrics and samples of one run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transformer_playground.config.loading import leaves
from transformer_playground.config.toml import toml_key
from transformer_playground.data.meta import META_FILE, read_meta
from transformer_playground.errors import DataError, PlaygroundError, RunError
from transformer_playground.jsonvalues import as_int, as_number, as_object, as_text, to_jsonable
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import SampleSpec
from transformer_playground.runs.naming import SEED, learning_settings
from transformer_playground.runs.series import RunSeries
from transformer_playground.runs.status import judge_status, read_writer
from transformer_playground.runs.summary import RunSummary, summary_of
from transformer_playground.runs.window_losses import WindowLosses, read_window_losses

Kind = Literal["count", "step", "seconds", "rate", "loss", "perplexity"]
MetricValues = Mapping[str, float | None]
"""Key of each of `METRICS` -> its value for one run; None where it was not measured."""


@dataclass(frozen=True)
class Metric:
    """A number that runs are compared by.

    Attributes:
        kind: How the number is formatted.
        per_token: Depends on the tokenizer, so it does not compare across tokenizers.
        has_delta: The difference between two runs is meaningful.
        source: Attribute of `RunSummary`; empty = `key`.
    """

    key: str
    label: str
    kind: Kind
    per_token: bool = False
    has_delta: bool = True
    source: str = ""


METRICS = (
    Metric("parameters", "parameters", "count"),
    Metric("tokens_seen", "tokens seen", "count", per_token=True),
    Metric("final_step", "steps", "step", has_delta=False, source="step"),
    Metric("wall_time_s", "wall time", "seconds"),
    Metric("tokens_per_second", "tokens/s", "rate", per_token=True, source="tokens_per_sec_median"),
    Metric("best_val_loss", "best val loss", "loss", per_token=True),
    Metric("best_step", "best step", "step", has_delta=False),
    Metric("final_train_loss", "final train loss", "loss", per_token=True),
    Metric("final_val_loss", "final val loss", "loss", per_token=True),
    Metric("generalisation_gap", "gap val - train", "loss", per_token=True),
    Metric("best_bits_per_byte", "best bits/byte", "loss"),
    Metric("final_bits_per_byte", "final bits/byte", "loss"),
    Metric("best_perplexity", "best perplexity", "perplexity", per_token=True),
    Metric("final_perplexity", "final perplexity", "perplexity", per_token=True),
)


def metric_values(parameters: object, summary: RunSummary) -> MetricValues:
    """The value of each of `METRICS`; `parameters` is the entry in `config.json`."""
    values: dict[str, object] = {"parameters": parameters}
    if summary.clock.begin is None:
        # No row has a timestamp.
        values["wall_time_s"] = None
    for each in METRICS:
        values.setdefault(each.key, getattr(summary, each.source or each.key, None))
    return {each.key: as_number(values[each.key]) for each in METRICS}


_EXPECTED_KEYS = {
    "eval": ("val_loss", "train_loss", "val_bits_per_byte"),
    "train": ("tokens_per_sec", "tokens_seen", "time"),
}


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison; all text in it is untrusted.

    Attributes:
        state: A state of `RunStatus`.
        problem: Why the run failed.
        settings: Every setting by its dotted key, as plain JSON values.
        fingerprint: Of the prepared dataset; None if unknown.
        tokenizer: Hash of the tokenizer; None if unknown.
        environment: Host, device and the like, as far as known.
        missing: Keys that its metrics rows lack, as in rows written by older versions.
        windows: Losses of its best checkpoint on the windows of the whole validation split, if
            they were measured: see `measure_windows`.
        parent: The run that it branched from, if any.
    """

    run_id: str
    state: str
    problem: str | None
    experiment: str
    seed: int | None
    settings: Mapping[str, Any]
    fingerprint: str | None
    tokenizer: str | None
    environment: Mapping[str, str]
    summary: RunSummary
    metrics: MetricValues
    missing: tuple[str, ...]
    windows: WindowLosses | None = None
    parent: Parent | None = None

    @property
    def configuration(self) -> str:
        """Equal for runs that differ only in their seed and in settings without effect."""
        rest = learning_settings(self.settings)
        rest.pop(SEED, None)
        identity = [self.experiment, self.fingerprint, self.tokenizer, rest]
        return json.dumps(identity, sort_keys=True)


def read_run(run: RunFolder, series: RunSeries | None = None) -> ComparedRun:
    """Read a run for a comparison; nothing outside its folder is needed.

    Args:
        series: The run's metrics if they were read before; updated here.

    Raises:
        RunError: `config.json` is missing or damaged.
    """
    config = read_run_config(run)
    # Before the rows: `judge_status` requires this order.
    writer = read_writer(run)
    series = RunSeries(run.metrics_path) if series is None else series
    series.poll()
    summary = summary_of(series)
    status = judge_status(run, summary.status, summary.error, writer)
    settings = _settings(run, config["config"])
    return ComparedRun(
        run_id=run.run_id,
        state=status.state,
        problem=status.error,
        experiment=config["experiment"],
        seed=as_int(settings.get(SEED)),
        settings=settings,
        fingerprint=as_text(as_object(config.get("dataset")).get("fingerprint")),
        tokenizer=_tokenizer(run),
        environment=_environment(as_object(config.get("environment"))),
        summary=summary,
        metrics=metric_values(config.get("parameters"), summary),
        missing=_missing_keys(series),
        windows=read_window_losses(run),
        parent=Parent.of(config.get("parent")),
    )


def same_tokenizer(first: ComparedRun, other: ComparedRun) -> bool:
    """Whether two runs are known to have the same tokenizer."""
    if first.tokenizer is not None and other.tokenizer is not None:
        return first.tokenizer == other.tokenizer
    return first.fingerprint is not None and first.fingerprint == other.fingerprint


def _settings(run: RunFolder, nested: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {toml_key(key): to_jsonable(value, str) for key, value in leaves(nested)}
    except RecursionError:
        raise RunError(
            f"The settings of run '{run.run_id}' are nested too deeply.",
            "Restore config.json from a copy of the run.",
        ) from None


def _tokenizer(run: RunFolder) -> str | None:
    try:
        meta = read_meta(run.tokenizer / META_FILE)
    except DataError:
        return None
    # nanoGPT's files have only the character table.
    identity = [meta.get("tokenizer"), meta.get("stoi")]
    if identity == [None, None]:
        return None
    text = json.dumps(identity, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _environment(table: Mapping[str, Any]) -> dict[str, str]:
    packages, git = as_object(table.get("packages")), as_object(table.get("git"))
    found = {
        "host": table.get("host"),
        "device": table.get("device"),
        "device name": table.get("device_name"),
        "threads": table.get("threads"),
        "dtype": table.get("dtype"),
        "torch": packages.get("torch"),
        "code": git.get("commit"),
    }
    return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}


def _missing_keys(series: RunSeries) -> tuple[str, ...]:
    return tuple(
        key
        for event, keys in _EXPECTED_KEYS.items()
        if event in series.events
        for key in keys
        if key not in series.named_keys(event)
    )


@dataclass(frozen=True)
class SampleResult:
    """Samples of one run; all text in it is untrusted.

    Attributes:
        problem: Why there are no samples; None if there are.
        checkpoint: File name of the checkpoint sampled from.
        step: Optimizer steps of that checkpoint.
        skipped: Damaged checkpoints that were skipped, and why.
        notices: Sentences for the user about the prompt.
        texts: Generated texts, without the prompt.
    """

    run_id: str
    problem: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    skipped: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    prompt: str = ""
    texts: tuple[str, ...] = ()


def draw_samples(run: RunFolder, spec: SampleSpec) -> SampleResult:
    """Load a run's model once, draw all its samples and release the model.

    A run that cannot be sampled gives a result with a `problem` instead of an error.
    """
    # A comparison loads no torch until samples are drawn.
    from transformer_playground.runs.generation import draw, load_run

    try:
        loaded = load_run(run, spec)
        samples = draw(loaded)
    except PlaygroundError as error:
        return SampleResult(run.run_id, problem=str(error))
    return SampleResult(
        run_id=run.run_id,
        checkpoint=loaded.checkpoint.name,
        step=loaded.step,
        skipped=loaded.skipped,
        notices=loaded.notices,
        prompt=loaded.prompt.text,
        texts=tuple(sample["text"] for sample in samples),
    )
