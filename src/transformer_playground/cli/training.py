"""Training as a foreground command: signals, display, summary, samples."""

import os

from rich.console import Console

from transformer_playground.cli.console import is_terminal, note, say, say_json
from transformer_playground.cli.pipeline import Job, resume_command
from transformer_playground.cli.sampling import print_samples
from transformer_playground.cli.signals import stop_on_signals
from transformer_playground.config.loading import LoadedConfig
from transformer_playground.experiments.discovery import Experiment
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.sampling_plan import SampleRequest, plan_sampling
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.session import Outcome, Plan, resume_run, train_new_run
from transformer_playground.training.sinks.base import Sink
from transformer_playground.training.sinks.json_stream import JsonStreamSink
from transformer_playground.training.sinks.lines import LineSink
from transformer_playground.training.sinks.progress import ProgressSink


def train_to_end(
    job: Job, experiment: Experiment, loaded: LoadedConfig, resumed: RunFolder | None
) -> int:
    """Train with a display that suits the output, then summarise and sample."""
    plan = Plan(experiment.name, loaded.config, loaded.provenance, experiment.folder)
    control = TrainingControl()
    with stop_on_signals(control) as request:
        sinks = [_display(job)]
        if resumed is None:
            outcome = train_new_run(plan, job.runs_dir, job.run_id, sinks, control)
        else:
            outcome = resume_run(plan, resumed, sinks, control, note)
    for remark in outcome.artifacts.remarks:
        note(remark)
    if request.signal is not None and outcome.summary["status"] != "finished":
        note(
            f"stopped by {request.signal.name}; saved in {outcome.run.checkpoints}. "
            f"Go on with: {resume_command(job, experiment.name, outcome.run.run_id)}"
        )
        for path in outcome.artifacts.paths:
            note(f"plot: {path}")
        return request.exit_code
    _summarise(job, outcome)
    if request.signal is not None:
        note(f"{request.signal.name} came when training had finished")
        return request.exit_code
    if job.whole:
        print_samples(
            plan_sampling(outcome.run, SampleRequest(environ=os.environ)),
            json_output=job.json_output,
            stream=is_terminal(),
        )
    return 0


def _display(job: Job) -> Sink:
    if job.json_output:
        return JsonStreamSink(say_json)
    if is_terminal():
        return ProgressSink(Console(highlight=False))
    return LineSink(say)


def _summarise(job: Job, outcome: Outcome) -> None:
    made = [str(path.relative_to(outcome.run.root)) for path in outcome.artifacts.paths]
    if job.json_output:
        say_json({"event": "summary", **outcome.summary, "artifacts": made})
        return
    state = outcome.state
    best = "none" if state.best_val_loss is None else f"{state.best_val_loss:.4f}"
    say(f"run {outcome.run.run_id}: best val loss {best} at step {state.best_step}")
    say(f"files: {outcome.run.root}")
    for name in made:
        say(f"  {name}")
