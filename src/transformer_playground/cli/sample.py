"""`tp sample`."""

from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.decoding import (
    Decoding,
    MaxNewTokens,
    NSamples,
    Out,
    Prompt,
    Seed,
    Temperature,
    TopK,
    TopP,
    Unconditional,
    draw_from,
)
from transformer_playground.cli.folders import EXPERIMENTS_DIR, RUNS_DIR
from transformer_playground.cli.options import (
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
    prompt: Prompt = None,
    unconditional: Unconditional = False,
    n_samples: NSamples = None,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    checkpoint: Checkpoint = None,
    overrides: Overrides = None,
    out: Out = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Draw text from a run, or from an experiment's latest run.

    What is left out comes from the run's saved config.
    """
    decoding = Decoding(
        prompt=prompt,
        unconditional=unconditional,
        n_samples=n_samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        checkpoint=checkpoint,
        overrides=tuple(overrides or ()),
        out=out,
        json_output=json_output,
    )
    draw_from(_find(runs_dir, run), decoding)


def _find(runs_dir: Path, name: str) -> RunFolder:
    try:
        return find_run_or_latest(runs_dir, name)
    except UsageError as error:
        if name not in [experiment.name for experiment in discover(EXPERIMENTS_DIR)]:
            raise
        raise UsageError(
            f"Experiment '{name}' has no run in {runs_dir} yet.", f"Train one: tp train {name}"
        ) from error
