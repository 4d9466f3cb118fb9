"""`tp report`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import AsJson, Base, ExperimentsDir, RunsDir
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.cli.sample_options import sample_options, with_standard_input
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.runs.listing import find_run
from transformer_playground.terminal import visible_line


@sample_options(
    n_samples=typer.Option("--n-samples", min=1, help="Number of samples; default: 200.")
)
def report(
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id", metavar="ID", help="A run: id, unique beginning, EXP@latest, EXP@best."
        ),
    ],
    request: SampleRequest,
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
    """Report on a run's quality: losses, sample statistics and memorisation.

    Prints a summary and writes it into the run's reports folder. Sampling options that are left
    out default to the run's saved config; without a prompt, samples are unconditional.
    """
    run = find_run(runs_dir, run_id)

    from transformer_playground.config.run_config import base_model_override
    from transformer_playground.report.request import ReportRequest, resolve_report

    sampling = replace(with_standard_input(request), overrides=base_model_override(base))
    asked = ReportRequest(
        sampling=sampling,
        dataset=dataset,
        experiments_dir=experiments_dir,
        eval_batches=eval_batches,
    )
    setup = resolve_report(run, asked)
    # torch comes after everything that can fail without it.
    from transformer_playground.report.build import make_report, write_report
    from transformer_playground.report.render import summary

    made = make_report(setup, progress=lambda line: note(visible_line(line)))
    # The result first: a full disk must not take it away.
    if json_output:
        say_json(made.as_json())
    else:
        say(summary(made))
    for path in write_report(run, made, markdown=markdown):
        note(visible_line(f"written: {path}"))
