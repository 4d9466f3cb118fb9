"""`tp sample`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.console import is_terminal
from transformer_playground.cli.options import (
    EXPERIMENTS_DIR,
    RUNS_DIR,
    AsJson,
    Checkpoint,
    Overrides,
    RunsDir,
)
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import discover
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.listing import find_run_or_latest


def sample(
    run: Annotated[str, typer.Argument(metavar="EXP|RUN", help="An experiment or a run.")],
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Text to go on from; FILE:path reads it.")
    ] = None,
    unconditional: Annotated[
        bool, typer.Option("--unconditional", help="Start as a document starts.")
    ] = False,
    n_samples: Annotated[int | None, typer.Option("--n-samples", min=1)] = None,
    max_new_tokens: Annotated[int | None, typer.Option("--max-new-tokens", min=1)] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0.0)] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=0)] = None,
    top_p: Annotated[float | None, typer.Option("--top-p")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    checkpoint: Checkpoint = None,
    overrides: Overrides = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Draw text from a run, or from an experiment's latest run.

    What is left out comes from the run's saved config.
    """
    from transformer_playground.cli.sampling import print_samples
    from transformer_playground.runs.sampling import SampleRequest

    decoding = {
        "start": prompt,
        "unconditional": True if unconditional else (False if prompt is not None else None),
        "num_samples": n_samples,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    request = SampleRequest(
        checkpoint=checkpoint,
        options={
            "sample": {key: value for key, value in decoding.items() if value is not None},
            "runtime": {} if seed is None else {"seed": seed},
        },
        overrides=overrides or (),
        environ=os.environ,
    )
    print_samples(_find(runs_dir, run), request, json_output=json_output, stream=is_terminal())


def _find(runs_dir: Path, name: str) -> RunFolder:
    try:
        return find_run_or_latest(runs_dir, name)
    except UsageError as error:
        if name not in [experiment.name for experiment in discover(EXPERIMENTS_DIR)]:
            raise
        raise UsageError(
            f"Experiment '{name}' has no run in {runs_dir} yet.", f"Train one: tp train {name}"
        ) from error
