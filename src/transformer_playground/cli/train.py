"""`tp train` and `tp loop`."""

from typing import Annotated

import typer

from transformer_playground.cli.folders import EXPERIMENTS_DIR, RUNS_DIR
from transformer_playground.cli.options import (
    AsJson,
    ConfigPath,
    ExperimentsDir,
    OptionalExperiment,
    Overrides,
    Resume,
    RunId,
    RunsDir,
)
from transformer_playground.cli.pipeline import run_launch
from transformer_playground.training.launch import Launch, PrepareWhen


def train(
    experiment: OptionalExperiment = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    run_id: RunId = None,
    resume: Resume = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> int:
    """Train a new run, or continue one from its newest valid checkpoint."""
    stated = tuple(overrides or ())
    launch = Launch(experiment or "", stated, run_id, resume, config=config, prepare="never")
    return run_launch(launch, experiments_dir, runs_dir, json_output=json_output)


def loop(
    experiment: OptionalExperiment = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    run_id: RunId = None,
    resume: Resume = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Prepare even if up to date.")] = False,
) -> int:
    """Prepare if needed, train and sample: the whole job in one command."""
    stated = tuple(overrides or ())
    prepare: PrepareWhen = "always" if force else "if needed"
    launch = Launch(experiment or "", stated, run_id, resume, config=config, prepare=prepare)
    return run_launch(launch, experiments_dir, runs_dir, json_output=json_output)
