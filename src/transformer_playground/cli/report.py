"""`tp report`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.console import note, say, say_json
from transformer_playground.cli.folders import EXPERIMENTS_DIR, RUNS_DIR
from transformer_playground.cli.options import (
    AsJson,
    Base,
    Checkpoint,
    ExperimentsDir,
    RunsDir,
)
from transformer_playground.errors import UsageError
from transformer_playground.runs.listing import find_run
from transformer_playground.terminal import visible_line


def report(
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id", metavar="ID", help="A run: id, unique beginning, EXP@latest, EXP@best."
        ),
    ],
    checkpoint: Checkpoint = None,
    n_samples: Annotated[
        int | None, typer.Option("--n-samples", min=1, help="Texts to draw; left out: 200.")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option("--max-new-tokens", min=1)] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0.0)] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=0)] = None,
    top_p: Annotated[float | None, typer.Option("--top-p")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0)] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="Text to go on from; FILE:path reads it.")
    ] = None,
    unconditional: Annotated[
        bool, typer.Option("--unconditional", help="Start as a document starts: the default.")
    ] = False,
    eval_batches: Annotated[
        int | None,
        typer.Option(
            "--eval-batches",
            min=1,
            help="Evaluate at most so many batches (of 64 windows or fewer) of the whole "
            "validation split; left out: all.",
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", metavar="DIR", help="The run's prepared dataset, if it moved."),
    ] = None,
    base: Base = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write a Markdown report, too.")
    ] = False,
    json_output: AsJson = False,
) -> None:
    """Report on a run's quality: losses, what it writes, and what of that is copied.

    Prints a summary and writes it into the run's reports folder. Sampling settings that are left
    out are those of the run.
    """
    if prompt is not None and unconditional:
        raise UsageError("--prompt and --unconditional exclude each other.", "Choose one.")
    run = find_run(runs_dir, run_id)

    from transformer_playground.analysis.report_plan import ReportRequest, plan_report
    from transformer_playground.config.sampling import base_override
    from transformer_playground.runs.sampling_plan import SampleRequest

    decoding = {
        "start": prompt,
        "unconditional": True if unconditional else (False if prompt is not None else None),
        "num_samples": n_samples,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    request = ReportRequest(
        sampling=SampleRequest(
            checkpoint=checkpoint,
            options={
                "sample": {key: value for key, value in decoding.items() if value is not None},
                "runtime": {} if seed is None else {"seed": seed},
            },
            overrides=base_override(base),
            environ=os.environ,
        ),
        dataset=dataset,
        experiments_dir=experiments_dir,
        eval_batches=eval_batches,
    )
    plan = plan_report(run, request)
    # torch comes after everything that can fail without it.
    from transformer_playground.analysis.report import make_planned, write_report
    from transformer_playground.analysis.report_text import summary

    made = make_planned(plan, progress=lambda line: note(visible_line(line)))
    # The result first: a full disk must not take it away.
    if json_output:
        say_json(made.as_json())
    else:
        say(summary(made))
    for path in write_report(run, made, markdown=markdown):
        note(visible_line(f"written: {path}"))
