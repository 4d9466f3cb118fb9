"""`tp generate`."""

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
from transformer_playground.cli.folders import RUNS_DIR
from transformer_playground.cli.options import (
    AsJson,
    Checkpoint,
    Overrides,
    RunsDir,
)
from transformer_playground.runs.listing import find_run


def generate(
    run_id: Annotated[
        str,
        typer.Option("--run-id", help="A run: its id, a beginning of it, EXP@latest or EXP@best."),
    ],
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
    """Draw text from a finished or running run.

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
    draw_from(find_run(runs_dir, run_id), decoding)
