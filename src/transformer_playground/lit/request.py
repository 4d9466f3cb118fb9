"""What `tp lit` is asked to show, resolved before any weights are loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.config.run_config import base_model_override
from transformer_playground.errors import DataError
from transformer_playground.jsonvalues import as_object
from transformer_playground.report.request import ReportRequest, ReportSetup, resolve_report
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import SampleRequest


@dataclass(frozen=True)
class LitRequest:
    """Options.

    Attributes:
        checkpoint: auto, best, last or a file name, of each run.
        windows: Most windows of the validation split.
        n_pairs: Most minimal pairs made from its text; 0 = none.
        dataset: Folder of the runs' dataset, if it has moved.
        base: Base model (name or folder) of a finetuned run, if it has moved.
    """

    checkpoint: str | None = None
    windows: int = 50
    n_pairs: int = 50
    dataset: Path | None = None
    base: str | None = None
    experiments_dir: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


def resolve_lit(runs: Sequence[RunFolder], request: LitRequest) -> list[ReportSetup]:
    """The checkpoint and the dataset of each run.

    Raises:
        PlaygroundError: A run has no intact checkpoint or no dataset.
    """
    return [_resolve(run, request) for run in runs]


def _resolve(run: RunFolder, request: LitRequest) -> ReportSetup:
    record = read_run_config(run) if run.config_path.is_file() else {}
    is_lora = as_object(as_object(record.get("config")).get("experiment")).get("kind") == "lora"
    sampling = SampleRequest(
        checkpoint=request.checkpoint,
        # Exact where weights are small; a base model keeps the dtype that it is used in.
        dtype=None if is_lora else "float32",
        quantization="none",
        overrides=base_model_override(request.base),
        environ=request.environ,
    )
    setup = resolve_report(
        run,
        ReportRequest(
            sampling=sampling, dataset=request.dataset, experiments_dir=request.experiments_dir
        ),
    )
    if setup.lookup.dataset is None:
        raise DataError(
            f"There is no text of {run.run_id} to show: {setup.lookup.problem}", setup.lookup.hint
        )
    return setup
