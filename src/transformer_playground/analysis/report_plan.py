"""All that can be said about a report before weights are loaded; without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformer_playground.analysis.datasets import FoundDataset, find_dataset
from transformer_playground.errors import DataError
from transformer_playground.runs.layout import RunFolder, read_run_config
from transformer_playground.runs.sampling_plan import SampleRequest, SamplingPlan, plan_sampling

N_SAMPLES = 200
MAX_SEARCHED_BYTES = 50_000_000


@dataclass(frozen=True)
class ReportRequest:
    """What to report about, and how.

    Attributes:
        sampling: Checkpoint and decoding; what is left out is as the run's saved config has it,
            but for 200 samples that begin as a document begins.
        dataset: The dataset's folder; None = where the run recorded it, then in `experiments_dir`.
        experiments_dir: Folder of experiments, or None.
        eval_batches: Most batches of the whole validation split to evaluate; None = all.
        max_searched_bytes: Most bytes of each split that texts are compared with.
    """

    sampling: SampleRequest = field(default_factory=SampleRequest)
    dataset: Path | None = None
    experiments_dir: Path | None = None
    eval_batches: int | None = None
    max_searched_bytes: int = MAX_SEARCHED_BYTES


@dataclass(frozen=True)
class ReportPlan:
    """What a request comes to for a run.

    Attributes:
        run: The run.
        request: What was asked for.
        record: The run's config.json; empty for a nanoGPT folder, which has none.
        found: Its dataset, or why there is none.
        sampling: What to draw from which checkpoint.
    """

    run: RunFolder
    request: ReportRequest
    record: Mapping[str, Any]
    found: FoundDataset
    sampling: SamplingPlan


def plan_report(run: RunFolder, request: ReportRequest) -> ReportPlan:
    """Find what a report takes.

    Raises:
        PlaygroundError: The run has no whole checkpoint, a setting is out of range, or the dataset
            that the request names is not the run's.
    """
    record = read_run_config(run) if run.config_path.is_file() else {}
    found = find_dataset(record, stated=request.dataset, experiments_dir=request.experiments_dir)
    return ReportPlan(run, request, record, found, _plan_samples(run, request.sampling))


def _plan_samples(run: RunFolder, request: SampleRequest) -> SamplingPlan:
    if request.n_samples is None:
        request = replace(request, n_samples=N_SAMPLES)
    if request.prompt is None and request.unconditional is None:
        try:
            return plan_sampling(run, replace(request, unconditional=True))
        except DataError:
            # A tokenizer without start token and line break has no beginning: the run's own prompt.
            pass
    return plan_sampling(run, request)
