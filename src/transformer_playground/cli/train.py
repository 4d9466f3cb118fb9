"""`tp train` and `tp loop`."""

import contextlib
import os
import signal
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from transformer_playground.cli.estimate import print_estimate
from transformer_playground.cli.job_file import (
    GpusPerNode,
    JobOptions,
    Nodes,
    PrintJob,
    print_job,
)
from transformer_playground.cli.options import (
    RESUME_LATEST,
    AsJson,
    ConfigPath,
    ExperimentsDir,
    Force,
    OptionalExperiment,
    Overrides,
    Processes,
    Resume,
    RunId,
    RunsDir,
)
from transformer_playground.cli.output import is_terminal, note, say, say_json
from transformer_playground.cli.preparation import PreparationDisplay
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import (
    RUNS_DIR,
    RunFolder,
    check_run_id,
    open_run,
)
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.launch import (
    Launch,
    PrepareWhen,
    ResolvedLaunch,
    resolve_launch,
    shell_command,
)
from transformer_playground.training.process_group import LostRankError, Place, ProcessGroup
from transformer_playground.training.processes import RankCommand, rank_command, run_processes

if TYPE_CHECKING:
    from transformer_playground.training.run import TrainingResult
    from transformer_playground.training.sinks.base import Sink


# SIGHUP does not exist on every platform.
_STOPPING = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StopRequest:
    """The signal that stopped training, if any."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """128 plus the signal number, as in shells; 0 without a signal."""
        return 0 if self.signal is None else 128 + self.signal


class Stoppable(Protocol):
    """What signals stop."""

    def stop(self) -> None:
        """Stop it; must be safe in a signal handler."""


@contextlib.contextmanager
def stop_on_signals(control: Stoppable) -> Iterator[StopRequest]:
    """Stop training on SIGINT, SIGTERM or SIGHUP; a second signal exits at once."""
    request = StopRequest()

    def handle(number: int, _frame: types.FrameType | None) -> None:
        if request.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(128 + number)
        request.signal = signal.Signals(number)
        control.stop()

    previous = {each: signal.signal(each, handle) for each in _STOPPING}
    try:
        yield request
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def run_launch(
    launch: Launch, experiments_dir: Path, runs_dir: Path, *, json_output: bool = False
) -> int:
    """Train; unless `launch.prepare` is "never", prepare data first and sample afterwards.

    Args:
        launch: `resume` may be any name that `find_run` accepts; the `run_id` of an existing run
            resumes it.
        experiments_dir: Experiments folder.
        runs_dir: Runs folder.
        json_output: Whether to print JSON lines.

    Returns:
        The exit code: 0, 1 if an export failed, or 128 plus the number of the signal that stopped
        training.
    """
    return run_rank_command(RankCommand(launch, experiments_dir, runs_dir, json_output))


def run_rank_command(command: RankCommand) -> int:
    """`run_launch` of a command: as one of several processes, or as the one that starts them."""
    json_output = command.json_output
    if (place := Place.of(os.environ)) is not None:
        # torchrun has started this process as one of several.
        return train_as_rank(command, place)
    resolved = _resolve(command)
    _prepare(resolved, json_output=json_output)
    if resolved.loaded.config.train.distributed.processes > 1:
        return _train_in_processes(resolved, json_output=json_output)
    return _train(resolved, json_output=json_output)


def _resolve(command: RankCommand) -> ResolvedLaunch:
    launch, runs_dir = command.launch, command.runs_dir
    if (resumed := _run_to_resume(launch, runs_dir)) is not None:
        launch = replace(launch, resume=resumed.run_id, run_id=None)
    return resolve_launch(command.experiments_dir, runs_dir, launch)


def _prepare(resolved: ResolvedLaunch, *, json_output: bool) -> None:
    with PreparationDisplay() as display:
        report = resolved.prepare(display.note, display.progress)
    if report is not None and not json_output:
        from transformer_playground.cli.prepare import describe_report

        say(describe_report(report))


def _train_in_processes(resolved: ResolvedLaunch, *, json_output: bool) -> int:
    """Train in as many processes as the settings say, and wait for them."""
    command, train = rank_command(resolved, json_output=json_output), resolved.loaded.config.train
    folders = {"experiments_dir": resolved.experiments_dir, "runs_dir": resolved.runs_dir}
    return run_processes(
        command,
        train.distributed.processes,
        threads=train.runtime.threads,
        hint=f"Resume it with: {resume_command(command.run_id, **folders)}",
    )


def train_as_rank(command: RankCommand, place: Place) -> int:
    """Train as one of several processes, of which the first prints for all.

    Returns:
        The exit code; of another rank than the first, 0 unless it failed.

    Raises:
        PlaygroundError: On the first rank, as in a single process.
    """
    group = ProcessGroup(place)
    try:
        return _train_rank(command, group)
    except PlaygroundError as error:
        is_said = isinstance(error, LostRankError) and error.is_known
        if group.is_main and not is_said:
            raise
        return error.exit_code


def _train_rank(command: RankCommand, group: ProcessGroup) -> int:
    if (restarted := group.earlier_run()) is not None:
        launch = replace(command.launch, resume=restarted, run_id=None, branch=None)
        command = replace(command, launch=launch)
    # The first one copies experiments and prepares datasets, which the others then find.
    resolved = group.main_first(lambda: _resolve(command))
    group.main_first(lambda: _prepare(resolved, json_output=command.json_output))
    with group.joined(resolved.loaded.config):
        if group.is_main:
            return _train(resolved, json_output=command.json_output)
        control = TrainingControl()
        with stop_on_signals(control):
            resolved.train([], control, lambda _: None)
        return 0


def resume_command(run_id: str, *, experiments_dir: Path, runs_dir: Path) -> str:
    """The shell command that resumes a run with the settings it was trained with."""
    return shell_command(["tp", "train", "--resume", run_id], experiments_dir, runs_dir)


def _run_to_resume(launch: Launch, runs_dir: Path) -> RunFolder | None:
    if launch.resume is not None and launch.run_id is not None:
        raise UsageError("--resume and --run-id are mutually exclusive.", "Use one of them.")
    if launch.run_id is not None:
        exists = os.path.lexists(runs_dir / check_run_id(launch.run_id))
        return open_run(runs_dir, launch.run_id) if exists else None
    if launch.resume is None:
        return None
    if launch.resume != RESUME_LATEST:
        return find_run(runs_dir, launch.resume)
    if not launch.experiment:
        raise UsageError(
            "--resume without an ID needs an experiment.",
            "Add the experiment's name, or the run ID.",
        )
    return find_run(runs_dir, f"{launch.experiment}@latest")


def _train(resolved: ResolvedLaunch, *, json_output: bool) -> int:
    """Train, then print a summary and samples."""
    # torch is imported after everything that can fail without it.
    from transformer_playground.cli.sample import print_samples
    from transformer_playground.runs.generation_request import SampleRequest, resolve_sampling

    control = TrainingControl()
    with stop_on_signals(control) as request:
        result = resolved.train([_display(json_output=json_output)], control, note)
    for warning in result.artifacts.warnings:
        note(warning)
    for failure in result.artifacts.failures:
        note(f"error: {failure}")
    if request.signal is not None and result.summary["status"] != "finished":
        command = resume_command(
            result.run.run_id, experiments_dir=resolved.experiments_dir, runs_dir=resolved.runs_dir
        )
        note(
            f"stopped by {request.signal.name}; saved in {result.run.checkpoints}. "
            f"Resume with: {command}"
        )
        for path in result.artifacts.paths:
            note(f"plot: {path}")
        return request.exit_code
    _summarise(result, json_output=json_output)
    if request.signal is not None:
        note(f"{request.signal.name} was received after training had finished")
        return request.exit_code
    if resolved.launch.prepare != "never":
        print_samples(
            resolve_sampling(result.run, SampleRequest(environ=os.environ)),
            json_output=json_output,
            stream=is_terminal(),
        )
    return 1 if result.artifacts.failures else 0


def _display(*, json_output: bool) -> "Sink":
    from transformer_playground.training.sinks.text import JsonStreamSink, LineSink, ProgressSink

    if json_output:
        return JsonStreamSink(say_json)
    if is_terminal():
        from rich.console import Console

        return ProgressSink(Console(highlight=False))
    return LineSink(say)


def _summarise(result: "TrainingResult", *, json_output: bool) -> None:
    root, artifacts = result.run.root, result.artifacts
    made = [
        str(path.relative_to(root) if path.is_relative_to(root) else path)
        for path in (*artifacts.paths, *artifacts.exports)
    ]
    if json_output:
        say_json({"event": "summary", **result.summary, "artifacts": made})
        return
    state = result.state
    best = "none" if state.best_val_loss is None else f"{state.best_val_loss:.4f}"
    say(f"run {result.run.run_id}: best val loss {best} at step {state.best_step}")
    say(f"files: {result.run.root}")
    for name in made:
        say(f"  {name}")


def _processes_setting(processes: int | None) -> tuple[str, ...]:
    return () if processes is None else (f"train.distributed.processes={processes}",)


def train(
    experiment: OptionalExperiment = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    run_id: RunId = None,
    resume: Resume = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    processes: Processes = None,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Print time, memory and disk space of the run and end: from an earlier run of "
            "the same shape, or a few timed steps.",
        ),
    ] = False,
    timed: Annotated[
        bool,
        typer.Option("--timed", help="With --estimate: time a few steps in any case."),
    ] = False,
    job: PrintJob = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
) -> int:
    """Train a new run, or resume one.

    A resumed run continues from its newest valid checkpoint.
    """
    stated = (*(overrides or ()), *_processes_setting(processes))
    launch = Launch(experiment or "", stated, run_id, resume, config=config, prepare="never")
    job_options = JobOptions(job, nodes, gpus_per_node)
    if job_options.is_asked:
        if estimate or timed:
            raise UsageError("--print-job and --estimate exclude each other.", "Give one of them.")
        resolved = _resolve(RankCommand(launch, experiments_dir, runs_dir))
        return print_job(job_options, resolved, json_output=json_output)
    if estimate:
        return print_estimate(
            launch, experiments_dir, runs_dir, timed=timed, json_output=json_output
        )
    if timed:
        raise UsageError("--timed needs --estimate.", "Add --estimate, or leave out --timed.")
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
    processes: Processes = None,
    force: Force = False,
) -> int:
    """Prepare the data if needed, train, and draw samples."""
    stated = (*(overrides or ()), *_processes_setting(processes))
    prepare: PrepareWhen = "always" if force else "if needed"
    launch = Launch(experiment or "", stated, run_id, resume, config=config, prepare=prepare)
    return run_launch(launch, experiments_dir, runs_dir, json_output=json_output)
