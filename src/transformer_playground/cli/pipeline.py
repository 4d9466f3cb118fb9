"""The whole job that `tp train`, `tp loop` and `tp-tui --run` share."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.cli.console import note, say
from transformer_playground.cli.folders import EXPERIMENTS_DIR, RUNS_DIR
from transformer_playground.cli.options import RESUME_LATEST
from transformer_playground.cli.prepare import describe_report
from transformer_playground.config.loading import LoadedConfig
from transformer_playground.config.resuming import differences, load_resumed_config
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import Experiment, load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.runs.layout import (
    RunFolder,
    check_run_id,
    open_run,
    read_run_config,
)
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
    if resumed is not None:
        loaded = _resumed_config(job, resumed, loaded)
    # torch and all that needs it come after everything that can fail without it.
    from transformer_playground.cli.training import train_to_end

    return train_to_end(job, experiment, loaded, resumed)


def resume_command(job: Job, experiment: str, run_id: str) -> str:
    """The command that continues a run of this job, ready for a shell."""
    words = ["tp", "train"]
    if job.config is None:
        words.append(experiment)
    else:
        words += [*([job.experiment] if job.experiment else []), "--config", str(job.config)]
    if job.experiments_dir != EXPERIMENTS_DIR:
        words += ["--experiments-dir", str(job.experiments_dir)]
    if job.runs_dir != RUNS_DIR:
        words += ["--runs-dir", str(job.runs_dir)]
    return shlex.join([*words, "--run-id", run_id])


def _run_to_resume(job: Job) -> RunFolder | None:
    if job.resume is not None and job.run_id is not None:
        raise UsageError("--resume and --run-id exclude each other.", "Give one of them.")
    if job.run_id is not None:
        exists = os.path.lexists(job.runs_dir / check_run_id(job.run_id))
        return open_run(job.runs_dir, job.run_id) if exists else None
    if job.resume is None:
        return None
    if job.resume != RESUME_LATEST:
        return find_run(job.runs_dir, job.resume)
    if job.experiment is None:
        raise UsageError(
            "--resume without an id continues an experiment's latest run, but none is named.",
            "Name the experiment or the run.",
        )
    return find_run(job.runs_dir, f"{job.experiment}@latest")


def _resumed_config(job: Job, run: RunFolder, current: LoadedConfig) -> LoadedConfig:
    saved = read_run_config(run).get("config")
    loaded = load_resumed_config(
        saved if isinstance(saved, dict) else {},
        current,
        stated_file=job.config,
        overrides=job.overrides,
        environ=os.environ,
    )
    for sentence in differences(loaded, current):
        note(sentence)
    return loaded


def _prepare(job: Job, experiment: Experiment, loaded: LoadedConfig) -> None:
    report = prepare_experiment(experiment, loaded.config, report=note, force=job.force_prepare)
    if not job.json_output:
        say(describe_report(report))
