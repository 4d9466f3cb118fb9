"""Report request: find the dataset, the checkpoint and the sampling settings, without torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.errors import DataError
from transformer_playground.experiments.recorded import (
    recorded_experiment,
    recorded_prepare_command,
)
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import (
    ResolvedSampling,
    SampleRequest,
    resolve_sampling,
)

N_SAMPLES = 200
MAX_SEARCHED_BYTES = 50_000_000


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
class DatasetLookup:
    """A run's dataset, or why there is none.

    Attributes:
        is_checked: Whether its fingerprint was compared with the one that the run recorded.
        problem: Why there is no dataset: one or more sentences.
        hint: What the user can do about it.
    """

    dataset: Dataset | None
    is_checked: bool = False
    problem: str = ""
    hint: str = ""


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


def find_dataset(
    record: Mapping[str, Any], *, stated: Path | None, experiments_dir: Path | None
) -> DatasetLookup:
    """Find the dataset that a run was trained on.

    Args:
        record: The run's `config.json`; empty for a folder without one.
        stated: Folder named by the user; no other folder is tried then.
        experiments_dir: The `datasets` folder of the run's experiment in it is tried after the
            folder that the run recorded.

    Raises:
        DataError: `stated` is not an intact dataset, or not the one of this run.
    """
    expected = as_text(as_object(record.get("dataset")).get("fingerprint"))
    if stated is not None:
        return DatasetLookup(_open(stated, record, expected), is_checked=expected is not None)
    if expected is None:
        # Without a fingerprint any dataset at the recorded path would be accepted.
        return DatasetLookup(
            None,
            problem="The run did not record which dataset it was trained on.",
            hint="Name the folder of its dataset with --dataset.",
        )
    problems: list[str] = []
    for folder in _candidates(record, experiments_dir):
        try:
            return DatasetLookup(_open(folder, record, expected), is_checked=True)
        except DataError as error:
            problems.append(error.message)
    command = recorded_prepare_command(record)
    return DatasetLookup(
        None,
        problem=" ".join(problems) or "The run did not record the folder of its dataset.",
        hint=f"Name its folder with --dataset, or prepare it again: {command}",
    )


def _open(folder: Path, record: Mapping[str, Any], expected: str | None) -> Dataset:
    dataset = open_dataset(folder, prepare_command=recorded_prepare_command(record))
    if expected is not None and dataset.fingerprint != expected:
        raise DataError(
            f"The dataset in {folder} is not the one this run was trained on: "
            f"its fingerprint is {dataset.fingerprint[:12]}…, not {expected[:12]}….",
            "Restore its input and prepare it again, or name the right folder with --dataset.",
        )
    return dataset


def _candidates(record: Mapping[str, Any], experiments_dir: Path | None) -> Iterator[Path]:
    prepare = as_object(as_object(record.get("config")).get("prepare"))
    recorded = as_text(prepare.get("dataset_dir"))
    tried = set()
    if recorded and "\0" not in recorded:
        tried.add(Path(recorded))
        yield Path(recorded)
    experiment = recorded_experiment(record)
    if experiments_dir is not None and experiment is not None:
        folder = (experiments_dir / experiment / "datasets").resolve()
        if folder not in tried:
            yield folder
