"""Run control: pause, stop, evaluate, sample and save, for runs of this and of other processes."""

from collections.abc import Callable
from functools import partial

from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.folder import open_run
from transformer_playground.runs.requests import Action, pause_or_resume, send_request
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.job_queue import Job, TrainingQueue
from transformer_playground.tui.core.job_text import stop_question
from transformer_playground.tui.dialogs.base import ConfirmScreen

Target = Job | str
"""What is controlled: a job of this console, or the id of a run that another process trains."""

_NOW: dict[Action, tuple[Callable[[TrainingQueue, Job], None], str]] = {
    "pause": (TrainingQueue.pause, "Pausing before the next step."),
    "resume": (TrainingQueue.resume, "Resuming."),
    "evaluate": (TrainingQueue.evaluate, "Evaluating."),
    "sample": (TrainingQueue.sample, "Sampling."),
    "checkpoint": (TrainingQueue.checkpoint, "Saving a checkpoint."),
}
_ASKED: dict[Action, str] = {
    "pause": "pause",
    "resume": "continue",
    "stop": "save a checkpoint and stop",
    "evaluate": "evaluate",
    "sample": "draw samples",
    "checkpoint": "save a checkpoint",
}


class RunControl:
    """Controls runs, by requests in their folders where another process trains them."""

    def __init__(self, context: AppContext) -> None:
        self._context = context

    def target(self, run_id: str | None) -> Target | None:
        """What trains a run; None if nothing does."""
        if run_id is None:
            return None
        job = self._context.training.job_of(run_id)
        if job is not None and not job.has_ended:
            return job
        row = self._context.snapshot.runs.get(run_id)
        return run_id if row is not None and row.state == "running" else None

    def pause(self, target: Target | None, focus: str | None) -> None:
        """Pause, or resume what is paused.

        Args:
            target: What to control; None says that nothing is.
            focus: The run that the user looks at; others are named.
        """
        if isinstance(target, Job):
            self.ask(target, "resume" if target.control.paused else "pause", focus)
        else:
            self._send(target, None)

    def ask(self, target: Target | None, action: Action, focus: str | None) -> None:
        """Ask for an action; `target` and `focus` as in `pause`."""
        if not isinstance(target, Job):
            self._send(target, action)
            return
        do, message = _NOW[action]
        if not target.is_training:
            self._notify(f"{self._context.name_of(target.name)} has not started yet.")
            return
        do(self._context.training, target)
        if target.run_id != focus:
            message = f"{self._context.name_of(target.name)}: {message}"
        self._notify(message, timeout=2)

    def stop(self, target: Target | None) -> None:
        """Stop training, or remove a job from the queue, after a confirmation."""
        if target is None:
            self._send(None, "stop")
            return
        if isinstance(target, Job):
            question, confirm = stop_question(target, self._context.name_of)
        else:
            question = (
                f"Stop {self._context.name_of(target)}, which another process trains? It saves a "
                "checkpoint first and can be resumed."
            )
            confirm = "Save and stop"
        answers = (("stop", confirm), ("cancel", "Cancel"))
        self._context.app.push_screen(
            ConfirmScreen(question, answers), partial(self._on_answer, target)
        )

    def _on_answer(self, target: Target, answer: str | None) -> None:
        if answer != "stop":
            return
        if isinstance(target, Job):
            self._context.training.stop(target)
        else:
            self._send(target, "stop")

    def _send(self, run_id: str | None, action: Action | None) -> None:
        if run_id is None:
            self._notify("This run is not training.")
            return
        app = self._context.app

        def work() -> None:
            severity = "information"
            try:
                run = open_run(self._context.runs_dir, run_id)
                wanted = action or pause_or_resume(run)
                sent = send_request(run, wanted)
                asked = f"asked {sent.writer} to {_ASKED[wanted]}; its log has the answer."
                text = f"{self._context.name_of(run_id)}: {asked}"
            except PlaygroundError as error:
                text, severity = str(error), "error"
            app.call_from_thread(self._notify, text, severity)

        app.run_worker(work, group="requests", thread=True, exit_on_error=False)

    def _notify(
        self, text: str, severity: str = "information", timeout: float | None = None
    ) -> None:
        self._context.app.notify(
            visible_line(text),
            severity=severity,  # type: ignore[arg-type]
            timeout=timeout,
            markup=False,
        )
