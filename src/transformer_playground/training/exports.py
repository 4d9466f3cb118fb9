"""The exports that `[export.*]` asks for: checked before training, made when it has ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import describe_error, is_library_fault
from transformer_playground.export.registry import load_target
from transformer_playground.export.request import TARGETS, ExportRequest
from transformer_playground.model.base import LanguageModel
from transformer_playground.runs.folder import RunFolder


def requested_exports(config: ExperimentConfig) -> list[ExportRequest]:
    """A request for each enabled table of `[export]`."""
    tables: dict[str, Any] = config.export.model_dump()
    return [
        _request(name, tables[name], config)
        for name in TARGETS
        if isinstance(tables.get(name), dict) and tables[name]["enabled"]
    ]


def _request(name: Any, table: dict[str, Any], config: ExperimentConfig) -> ExportRequest:
    quant = table.get("quant") or None
    return ExportRequest(
        target=name,
        dtype=None if quant else table.get("dtype"),
        quantize=quant,
        model_name=table["model_name"],
        export_dir=table["export_dir"],
        template=table.get("template") or None,
        custom_code=table.get("custom_code", False),
        dataset=config.prepare.dataset_dir,
        licence=config.export.license,
        # An earlier checkpoint of this run may have been exported to the same folder.
        replace_own=True,
    )


def check_exports(config: ExperimentConfig, tokenizer: Tokenizer, model: LanguageModel) -> None:
    """Check that the enabled exports are possible, before hours of training.

    Raises:
        PlaygroundError: An option is unknown, or the model or its tokenizer cannot be written.
    """
    requests = requested_exports(config)
    if not requests:
        return
    from transformer_playground.export.exportable import planned_subject

    subject = planned_subject(config, tokenizer, model)
    for request in requests:
        request.check()
        load_target(request.target).check(subject, request)


def make_exports(
    run: RunFolder, config: ExperimentConfig, log: Callable[[str], object]
) -> tuple[list[Path], list[str]]:
    """Make the enabled exports of a run that has just been trained.

    Args:
        run: The run.
        config: Its configuration.
        log: Called with a line for each export.

    Returns:
        The folders, and a sentence for each export that failed; the run itself is unharmed.
    """
    folders: list[Path] = []
    failures: list[str] = []
    for request in requested_exports(config):
        try:
            folders.append(_make(run, request, log))
        except BaseException as error:
            if not is_library_fault(error) and not isinstance(error, MemoryError):
                raise
            failures.append(
                f"the export to {request.target} failed: {describe_error(error)} The run is "
                f"complete; try again with: tp export {run.run_id} --to {request.target}"
            )
            log(f"error: {failures[-1]}")
    return folders, failures


def _make(run: RunFolder, request: ExportRequest, log: Callable[[str], object]) -> Path:
    # Imported late: most runs export nothing.
    from transformer_playground.export.run import export_run

    exported = export_run(run, request)
    for sentence in exported.sentences():
        log(f"export: {sentence}")
    return exported.folder
