"""`tp compare`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.cli.options import AsJson, RunsDir
from transformer_playground.cli.output import note, say_json
from transformer_playground.cli.sample_options import sample_options, with_standard_input
from transformer_playground.errors import UsageError
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.generation_request import (
    SampleRequest,
    SampleSpec,
    resolve_request,
)
from transformer_playground.runs.listing import find_runs
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.comparison.compare import Comparison
    from transformer_playground.comparison.compared_run import SampleResult

Form = Literal["text", "json", "csv", "markdown"]
_SAMPLES = 3


@sample_options(
    n_samples=typer.Option(
        "--n-samples",
        min=0,
        help="Samples from each run; default: 3 from each of up to four runs with checkpoints.",
    )
)
def compare(
    run_ids: Annotated[
        list[str],
        typer.Option(
            "--run-ids",
            metavar="A,B[,C…]",
            help="Runs: ids, unique beginnings, EXP@latest, EXP@best; repeatable.",
        ),
    ],
    request: SampleRequest,
    all_settings: Annotated[
        bool, typer.Option("--all", help="Show every setting, not only those that differ.")
    ] = False,
    no_group: Annotated[
        bool, typer.Option("--no-group", help="Do not average runs that differ in their seed.")
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="One row for each run.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A table for a document.")] = False,
) -> None:
    """Compare runs: settings, metrics and samples.

    Sampling options that are left out default to the first run's saved config, for all runs.
    """
    forms: dict[Form, bool] = {"json": json_output, "csv": csv_output, "markdown": markdown}
    stated: list[Form] = [name for name, is_stated in forms.items() if is_stated]
    if len(stated) > 1:
        raise UsageError("--json, --csv and --markdown exclude each other.", "Choose one.")
    _refuse_ineffective(request, csv_output=csv_output)
    folders = find_runs(runs_dir, ",".join(run_ids))
    # What compares is loaded when it is asked for; listing commands start without it.
    from transformer_playground.cli import compare_output as output
    from transformer_playground.comparison.compare import compare_folders
    from transformer_playground.comparison.render import as_document

    comparison = compare_folders(folders, group=not no_group, all_settings=all_settings)
    if csv_output:
        output.print_csv(comparison)
        return
    spec = _spec(request, folders[0]) if _draws(request, comparison, folders) else None
    if not stated:
        output.print_comparison(comparison)
    results = _draw(comparison, folders, spec) if spec is not None else []
    if json_output:
        say_json(as_document(comparison, spec, results))
    elif markdown:
        output.print_markdown(comparison, spec, results)
    elif spec is not None:
        output.print_results(spec, results)


def _says_how(request: SampleRequest) -> bool:
    """Whether a request states anything but the number of samples."""
    return replace(request, n_samples=None) != SampleRequest(environ=request.environ)


def _refuse_ineffective(request: SampleRequest, *, csv_output: bool) -> None:
    if csv_output and (request.n_samples or _says_how(request)):
        raise UsageError(
            "A CSV table has no place for samples.", "Leave out the sampling options, or --csv."
        )
    if request.n_samples == 0 and _says_how(request):
        raise UsageError(
            "--n-samples 0 draws nothing, so other sampling options have no effect.",
            "Leave them out, or ask for samples.",
        )


def _draws(request: SampleRequest, comparison: "Comparison", folders: Sequence[RunFolder]) -> bool:
    """Whether samples are to be drawn; a note says why not if nothing was asked."""
    from transformer_playground.comparison.render import FEW_COLUMNS

    if request.n_samples is not None or _says_how(request):
        return request.n_samples != 0
    if len(comparison.columns) > FEW_COLUMNS:
        note(f"For samples of more than {FEW_COLUMNS} columns add --n-samples {_SAMPLES}.")
        return False
    if not any(scan_folder(folder.checkpoints).files for folder in folders):
        note("None of these runs has a checkpoint, so there are no samples.")
        return False
    return True


def _spec(request: SampleRequest, first: RunFolder) -> SampleSpec:
    request = replace(request, n_samples=request.n_samples or _SAMPLES)
    return resolve_request(first, with_standard_input(request))


def _draw(
    comparison: "Comparison", folders: Sequence[RunFolder], spec: SampleSpec
) -> list["SampleResult"]:
    """Draw from each column's best run, one after the other."""
    from transformer_playground.comparison.compared_run import draw_samples

    by_id = {folder.run_id: folder for folder in folders}
    results = []
    for column in comparison.columns:
        run = by_id[column.best_run.run_id]
        of_group = f", the best of {column.label}" if len(column.runs) > 1 else ""
        note(visible_line(f"sampling from {run.run_id}{of_group}"))
        results.append(draw_samples(run, spec))
        for skipped in results[-1].skipped:
            note(visible_line(f"skipped a damaged checkpoint: {skipped}"))
    return results
