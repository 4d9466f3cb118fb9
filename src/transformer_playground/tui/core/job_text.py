"""Texts about jobs: activity, questions before a job is stopped, and how it ended."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from transformer_playground.config.override_text import full_override
from transformer_playground.config.sources import parse_value
from transformer_playground.config.toml import toml_value
from transformer_playground.errors import ConfigError
from transformer_playground.formatting import duration_text, rate_text
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import generated_suffix
from transformer_playground.runs.labels import Part, ambiguous, fitting, part_text
from transformer_playground.runs.naming import is_technical
from transformer_playground.runs.remaining import max_minutes_of, progress_percent, remaining_of_run
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.job_queue import Job, TrainingQueue

_LONGEST_LABEL = 40


def activity_text(
    queue: TrainingQueue, runs: Mapping[str, RunInfo], name_of: Callable[[str], str] = str
) -> str:
    """The active job and the number of queued ones in one line; empty when there are none.

    Args:
        queue: The jobs.
        runs: Every run by its id, for its speed.
        name_of: What to call a run.
    """
    job = queue.active
    waiting = f" +{len(queue.waiting)} queued" if queue.waiting else ""
    if job is None:
        return waiting.strip()
    name = job_label(job, name_of)
    if job.is_reporting:
        return f"writing plot and report of {name}{waiting}"
    if not job.is_training:
        return f"{job.state} {name}{waiting}"
    glyph = "▶" if job.state == "running" else "‖"
    run = runs.get(job.run_id or "")
    seconds, minutes = (run.summary.active_seconds, max_minutes_of(run)) if run else (0.0, None)
    percent = progress_percent(job.step, job.max_iters, seconds, minutes)
    progress = f"step {job.step:,}" if percent is None else f"{percent}%"
    rate = run.summary.tokens_per_sec if run else None
    speed = "" if rate is None else f" {rate_text(rate)}"
    left = remaining_of_run(run) if run is not None and job.state == "running" else None
    ends = "" if left is None else f" · left {duration_text(left)}"
    # A narrow bar cuts the end off.
    return f"{glyph} {name} {progress}{waiting}{ends}{speed}"


def job_label(job: Job, name_of: Callable[[str], str]) -> str:
    """What to call a job: its run, or before there is one its experiment and overrides."""
    name = name_of(job.name)
    suffix = generated_suffix(job.name)
    if name != job.name or suffix is None or job.launch.origin is not None:
        return name
    parts = _changed_parts(job.launch.overrides)
    changed = fitting(parts, _LONGEST_LABEL) if parts else suffix
    return visible_line(f"{job.launch.experiment} {changed}")


def _changed_parts(overrides: Iterable[str]) -> list[Part]:
    """The settings that a launch changes, as in the names of runs.

    What was typed last tells most: a run that is trained again begins with the overrides of its
    model.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        key, _, text = full_override(override).partition("=")
        # The last of several values counts.
        values.pop(key.strip(), None)
        values[key.strip()] = _value(key.strip(), text)
    values = {key: value for key, value in values.items() if not is_technical(key)} or values
    texts = {key: toml_value(value) for key, value in values.items()}
    words = ambiguous({key: {text} for key, text in texts.items()})
    return [
        Part(part_text(key, values[key], text, words), place)
        for place, (key, text) in enumerate(texts.items())
    ]


def _value(key: str, text: str) -> Any:
    try:
        return parse_value(tuple(key.split(".")), text)
    except ConfigError:
        return text.strip()


def stop_question(job: Job, name_of: Callable[[str], str] = str) -> tuple[str, str]:
    """Question and confirm label of the dialog that stops a job; `name_of` names its run."""
    name = job_label(job, name_of)
    if job.state == "queued":
        return f"Remove {name} from the queue? It will not be trained.", "Remove"
    if not job.is_training:
        return f"Stop {name}? It has not started to train yet.", "Stop"
    question = f"Stop {name}? It saves a checkpoint first and can be resumed."
    return question, "Save and stop"


def quit_question(
    queue: TrainingQueue, exported: str | None = None, name_of: Callable[[str], str] = str
) -> tuple[str, str]:
    """Question and confirm label of the quit dialog while jobs are active or queued.

    Args:
        queue: The jobs.
        exported: The run that is being exported.
        name_of: What to call a run.
    """
    job = queue.active
    question, confirm = "", "Quit"
    if job is not None and job.is_reporting:
        name = job_label(job, name_of)
        question = f"The plot and report of {name} are being written. Quitting waits for them."
        confirm = "Finish and quit"
    elif job is not None and job.is_training:
        question = (
            "A run is training. Quitting saves a checkpoint and stops it; you can resume it later."
        )
        confirm = "Save and quit"
    elif job is not None:
        question = "A run is starting. Quitting stops it."
    if queue.waiting:
        question += " Queued runs will not be trained."
    if exported is not None:
        question += (
            f" {name_of(exported)} is being exported. Quitting stops that, and nothing is written."
        )
    return question.strip(), confirm


def farewell_lines(
    queue: TrainingQueue,
    saved_step: Callable[[str], int | None],
    resume_command: Callable[[str], str],
) -> Iterator[str]:
    """What became of the jobs that quitting ended, one line each; none if there were none.

    Args:
        saved_step: Run id -> step of its newest checkpoint, None if it has none.
        resume_command: Run id -> the shell command that resumes it.
    """
    not_trained = []
    for job in queue.ended_by_close:
        step = saved_step(job.run_id) if job.run_id and job.has_begun else None
        if job.state == "failed":
            yield f"{job.name} failed: {job.message}"
        elif job.state == "finished":
            yield f"{job.name} has finished."
        elif job.run_id is None or step is None:
            not_trained.append(job.name)
        else:
            command = resume_command(job.run_id)
            yield f"Saved {job.run_id} at step {step:,}. Resume it with: {command}"
    if not_trained:
        yield f"Not trained: {', '.join(not_trained)}"


def outcome_text(job: Job) -> str:
    """Final state and outputs of a job, untrusted text of one line or more."""
    state = f"failed: {job.message}" if job.state == "failed" else job.state
    return "\n".join((state, *job.outputs))
