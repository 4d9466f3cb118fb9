"""All that can be said about a report before weights are loaded; without torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.errors import DataError
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import (
    SampleRequest,
    SamplingPlan,
    plan_sampling,
)


@dataclass(frozen=True)
class FoundDataset:
    """A run's dataset, or why there is none.

    Attributes:
        dataset: The dataset; None if it was not found.
        is_checked: Whether it was held against the fingerprint that the run recorded; a folder
            without such a record has nothing to hold it against.
        problem: Why there is none: one or more sentences.
        hint: What the user can do about it.
    """

    dataset: Dataset | None
    is_checked: bool = False
    problem: str = ""
    hint: str = ""


def find_dataset(
    record: Mapping[str, Any], *, stated: Path | None, experiments_dir: Path | None
) -> FoundDataset:
    """Look for a run's dataset where it may be.

    Args:
        record: The run's `config.json`; empty for a folder without one.
        stated: The folder that the user names; then no other place is tried.
        experiments_dir: Where the run's experiment may have its `datasets` folder, tried after
            the place that the run recorded.

    Raises:
        DataError: What `stated` names is no whole dataset, or not the one of this run.
    """
    expected = _fingerprint(record)
    if stated is not None:
        return FoundDataset(_open(stated, record, expected), is_checked=expected is not None)
    if expected is None:
        # Without a fingerprint any folder of that name would pass for the run's own.
        return FoundDataset(
            None,
            problem="The run does not say which dataset it was trained on.",
            hint="Name the folder of its dataset with --dataset.",
        )
    problems: list[str] = []
    for folder in _places(record, experiments_dir):
        try:
            return FoundDataset(_open(folder, record, expected), is_checked=True)
        except DataError as error:
            problems.append(error.message)
    return FoundDataset(
        None,
        problem=" ".join(problems) or "The run does not say where its dataset was.",
        hint=f"Name its folder with --dataset, or make it again: {_prepare_command(record)}",
    )


def _open(folder: Path, record: Mapping[str, Any], expected: str | None) -> Dataset:
    dataset = open_dataset(folder, prepare_command=_prepare_command(record))
    if expected is not None and dataset.fingerprint != expected:
        raise DataError(
            f"The dataset in {folder} is not the one this run was trained on: "
            f"its fingerprint is {dataset.fingerprint[:12]}…, not {expected[:12]}….",
            "Restore its input and prepare again, or name the right folder with --dataset.",
        )
    return dataset


def _places(record: Mapping[str, Any], experiments_dir: Path | None) -> Iterator[Path]:
    prepare = as_object(as_object(record.get("config")).get("prepare"))
    recorded = as_text(prepare.get("dataset_dir"))
    tried = set()
    if recorded and "\0" not in recorded:
        tried.add(Path(recorded))
        yield Path(recorded)
    experiment = _experiment(record)
    if experiments_dir is not None and experiment is not None:
        folder = (experiments_dir / experiment / "datasets").resolve()
        if folder not in tried:
            yield folder


def _fingerprint(record: Mapping[str, Any]) -> str | None:
    return as_text(as_object(record.get("dataset")).get("fingerprint"))


def _experiment(record: Mapping[str, Any]) -> str | None:
    name = record.get("experiment")
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        return None
    return None if "\0" in name else name


def _prepare_command(record: Mapping[str, Any]) -> str:
    return f"tp prepare {_experiment(record) or 'EXPERIMENT'}"


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
