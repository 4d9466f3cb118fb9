"""`tp runs pause`, `resume`, `stop`, `evaluate`, `sample` and `checkpoint`: control of any run."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import AsJson, ExistingRun, RunsDir
from transformer_playground.cli.output import say, say_json
from transformer_playground.errors import RunError
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.requests import Action, Answer, SentRequest, send_request

Wait = Annotated[bool, typer.Option("--wait", help="Wait until the training process has done it.")]

_SHARED = (
    "The run may be trained by any process that shares its folder, on another machine too: the "
    "request is a file in it, which that process reads within about a second."
)
_HELP: dict[Action, str] = {
    "pause": "Let a run wait before its next step.",
    "resume": "Let a paused run continue.",
    "stop": "Save a checkpoint and end the training of a run.",
    "evaluate": "Let a run in training evaluate now.",
    "sample": "Let a run in training draw samples now.",
    "checkpoint": "Let a run in training save a checkpoint now.",
}
_DONE: dict[Action, str] = {
    "pause": "paused",
    "resume": "continued",
    "stop": "stopped",
    "evaluate": "evaluated",
    "sample": "sampled",
    "checkpoint": "saved",
}


def _command(action: Action) -> Callable[..., int]:
    def command(
        run_id: ExistingRun,
        wait: Wait = False,
        runs_dir: RunsDir = RUNS_DIR,
        json_output: AsJson = False,
    ) -> int:
        return _request(action, run_id, runs_dir, wait=wait, json_output=json_output)

    command.__name__ = action
    command.__doc__ = f"{_HELP[action]}\n\n{_SHARED}"
    return command


COMMANDS: dict[Action, Callable[..., int]] = {action: _command(action) for action in _HELP}
"""A command for each action."""


def _request(action: Action, run_id: str, runs_dir: Path, *, wait: bool, json_output: bool) -> int:
    run = find_run(runs_dir, run_id)
    sent = send_request(run, action)
    if not json_output:
        say(f"Asked {sent.writer}, which trains {run.run_id}: {action}.")
    answer = sent.answer() if wait else None
    if json_output:
        say_json(_document(run, sent, answer))
    elif answer is not None and answer.done:
        say(f"{run.run_id}: {_DONE[action]} at step {answer.step:,}.")
    if answer is not None and not answer.done:
        raise RunError(
            f"The run '{run.run_id}' could not {action} at step {answer.step:,}.",
            f"See {run.log_path}",
        )
    return 0


def _document(run: RunFolder, sent: SentRequest, answer: Answer | None) -> dict[str, object]:
    return {
        "schema_version": 1,
        "action": sent.request.action,
        "run_id": run.run_id,
        "request": sent.request.name,
        "process": {"pid": sent.writer.pid, "host": sent.writer.host},
        "answer": None if answer is None else {"step": answer.step, "done": answer.done},
    }
