"""`tp report`."""

from dataclasses import replace
from typing import Annotated

import typer

from transformer_playground.cli.options import (
    AsJson,
    Base,
    DatasetDir,
    ExistingRunOption,
    ExperimentsDir,
    RunsDir,
    read_stdin_prompt,
    sample_options,
)
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.terminal import visible_line


@sample_options(
    n_samples=typer.Option(
        "--n-samples", metavar="N", min=1, help="Number of samples; default: 200."
    )
)
def report(
    run_id: ExistingRunOption,
    request: SampleRequest,
    eval_batches: Annotated[
        int | None,
        typer.Option(
            "--eval-batches",
            metavar="N",
            min=1,
            help="Maximum validation batches (of up to 64 windows) to evaluate; default: all.",
        ),
    ] = None,
    dataset: DatasetDir = None,
    base: Base = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Also write a Markdown report.")
    ] = False,
    json_output: AsJson = False,
) -> None:
    """Report losses, sample statistics and memorisation.

    Prints a summary and writes the report to the run's reports folder. Sampling options default to
    the run's saved config; without a prompt, samples are unconditional.
    """
    run = find_run(runs_dir, run_id)

    from transformer_playground.config.run_config import base_model_override
    from transformer_playground.report.request import ReportRequest, resolve_report

    sampling = replace(read_stdin_prompt(request), overrides=base_model_override(base))
    report_request = ReportRequest(
        sampling=sampling,
        dataset=dataset,
        experiments_dir=experiments_dir,
        eval_batches=eval_batches,
    )
    setup = resolve_report(run, report_request)
    # torch is imported after everything that can fail without it.
    from transformer_playground.report.build import make_report, write_report
    from transformer_playground.report.render import summary

    made = make_report(setup, progress=lambda line: note(visible_line(line)))
    # Print first, so that the result is not lost if writing fails.
    if json_output:
        say_json(made.as_json())
    else:
        say(summary(made))
    for path in write_report(run, made, markdown=markdown):
        note(visible_line(f"written: {path}"))
