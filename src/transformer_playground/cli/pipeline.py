"""The whole job that `tp train`, `tp loop` and `tp-tui --run` share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.cli.console import note, say
from transformer_playground.cli.options import RESUME_LATEST
from transformer_playground.cli.prepare import describe_report
from transformer_playground.config.loading import LoadedConfig
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import Experiment, load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.runs.layout import RunFolder, open_run, read_run_config
from transformer_playground.runs.listing import find_run


@dataclass(frozen=True)
class Job:
    """What to train, from where to where.

    `whole` prepares before and samples after training; without it a missing dataset is an error.
    """

    experiment: str | None
    experiments_dir: Path
    runs_dir: Path
    config: Path | None = None
    overrides: Sequence[str] = ()
    run_id: str | None = None
    resume: str | None = None
    json_output: bool = False
    whole: bool = False
    force_prepare: bool = False


def run_job(job: Job) -> int:
    """Do the job and print what a user needs to go on.

    Returns:
        The exit code: 0, or 128 plus the signal that asked training to stop.
    """
    resumed = _run_to_resume(job)
    name = job.experiment
    if name is None and job.config is None and resumed is not None:
        name = read_run_config(resumed)["experiment"]
    experiment, loaded = load_experiment(
        job.experiments_dir, name, job.config, job.overrides, os.environ
    )
    if job.whole:
        _prepare(job, experiment, loaded)
    # torch and all that needs it come after everything that can fail without it.
    from transformer_playground.cli.training import train_to_end

    return train_to_end(job, experiment, loaded, resumed)


def _run_to_resume(job: Job) -> RunFolder | None:
    if job.resume is not None and job.run_id is not None:
        raise UsageError("--resume and --run-id exclude each other.", "Give one of them.")
    if job.resume is None:
        # A new run's id is checked when the run is created.
        exists = job.run_id is not None and os.path.lexists(job.runs_dir / job.run_id)
        return open_run(job.runs_dir, job.run_id) if exists and job.run_id else None
    if job.resume != RESUME_LATEST:
        return find_run(job.runs_dir, job.resume)
    if job.experiment is None:
        raise UsageError(
            "--resume without an id continues an experiment's latest run, but none is named.",
            "Name the experiment or the run.",
        )
    return find_run(job.runs_dir, f"{job.experiment}@latest")


def _prepare(job: Job, experiment: Experiment, loaded: LoadedConfig) -> None:
    report = prepare_experiment(experiment, loaded.config, report=note, force=job.force_prepare)
    if not job.json_output:
        say(describe_report(report))
