"""`tp sample` and `tp generate`: draw samples from a run."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import AsJson, Overrides, RunsDir
from transformer_playground.cli.output import is_terminal
from transformer_playground.cli.sample_options import sample_options, with_standard_input
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR, discover
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.generation_request import SampleRequest, plan_sampling
from transformer_playground.runs.listing import find_run, find_run_or_latest

Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the samples to this file, as JSON lines."),
]


@sample_options()
def sample(
    run: Annotated[str, typer.Argument(metavar="EXP|RUN", help="An experiment or a run.")],
    request: SampleRequest,
    overrides: Overrides = None,
    out: Out = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Draw samples from a run, or from an experiment's latest run.

    Options that are left out default to the run's saved config.
    """
    request = replace(request, overrides=overrides or ())
    _draw(_find(runs_dir, run), request, out, json_output=json_output)


@sample_options()
def generate(
    run_id: Annotated[
        str,
        typer.Option("--run-id", help="A run: its id, a beginning of it, EXP@latest or EXP@best."),
    ],
    request: SampleRequest,
    overrides: Overrides = None,
    out: Out = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Draw samples from a finished or running run.

    Options that are left out default to the run's saved config.
    """
    request = replace(request, overrides=overrides or ())
    _draw(find_run(runs_dir, run_id), request, out, json_output=json_output)


def _find(runs_dir: Path, name: str) -> RunFolder:
    try:
        return find_run_or_latest(runs_dir, name)
    except UsageError as error:
        if name not in [experiment.name for experiment in discover(EXPERIMENTS_DIR)]:
            raise
        raise UsageError(
            f"Experiment '{name}' has no run in {runs_dir} yet.", f"Train one: tp train {name}"
        ) from error


def _draw(run: RunFolder, request: SampleRequest, out: Path | None, *, json_output: bool) -> None:
    # torch comes after everything that can fail without it.
    if out is not None:
        _check_out(out)
    plan = plan_sampling(run, with_standard_input(request))
    from transformer_playground.cli.print_samples import print_samples, write_samples

    if out is not None:
        write_samples(plan, out, json_output=json_output)
    else:
        print_samples(plan, json_output=json_output, stream=is_terminal())


def _check_out(out: Path) -> None:
    # A device or a pipe would be replaced by a file.
    if out.exists() and not out.is_file():
        raise UsageError(f"--out {out} is not a file.", "Name a file to write the samples to.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out} is in a folder that does not exist.", "Make it first.")
