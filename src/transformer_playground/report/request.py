"""Report request: find the dataset, the checkpoint and the sampling settings, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformer_playground.experiments.dataset_lookup import DatasetLookup, find_dataset
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import (
    ResolvedSampling,
    SampleRequest,
    resolve_sampling,
)
from transformer_playground.text_metrics.corpus import MAX_SEARCHED_BYTES

N_SAMPLES = 200
OWN_TEXT = "text"
"""Source of minimal pairs: those made from the validation text."""


@dataclass(frozen=True)
class ReportRequest:
    """Options of a report.

    Attributes:
        sampling: Checkpoint and decoding; the defaults are the run's saved config, but 200 samples
            without a prompt.
        dataset: The dataset's folder; None = where the run recorded it, then in `experiments_dir`.
        eval_batches: Maximum number of batches of the whole validation split; None = all.
        max_searched_bytes: Maximum bytes of each split that texts are compared with.
    """

    sampling: SampleRequest = field(default_factory=SampleRequest)
    dataset: Path | None = None
    experiments_dir: Path | None = None
    eval_batches: int | None = None
    max_searched_bytes: int = MAX_SEARCHED_BYTES


@dataclass(frozen=True)
class ReportSetup:
    """A request resolved for one run.

    Attributes:
        record: The run's config.json; empty for a nanoGPT folder, which has none.
    """

    run: RunFolder
    request: ReportRequest
    record: Mapping[str, Any]
    lookup: DatasetLookup
    sampling: ResolvedSampling


def resolve_report(run: RunFolder, request: ReportRequest) -> ReportSetup:
    """Resolve a request before any weights are loaded.

    Raises:
        PlaygroundError: The run has no intact checkpoint, a setting is out of range, or the
            dataset that the request names is not the run's.
    """
    record = read_run_config(run) if run.config_path.is_file() else {}
    lookup = find_dataset(record, stated=request.dataset, experiments_dir=request.experiments_dir)
    return ReportSetup(run, request, record, lookup, _resolve_sampling(run, request.sampling))


def _resolve_sampling(run: RunFolder, request: SampleRequest) -> ResolvedSampling:
    if request.n_samples is None:
        request = replace(request, n_samples=N_SAMPLES)
    if request.prompt is None and request.unconditional is None:
        resolved = resolve_sampling(run, replace(request, unconditional=True))
        # If the tokenizer has neither a start token nor a line break, use the run's own prompt.
        if not resolved.prompt.fallback:
            return resolved
    return resolve_sampling(run, request)
