"""Steering the run in focus, and writing its chart to a file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from textual.content import Content
from textual.widgets import Static

from transformer_playground.runs.folder import open_run
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.core.job_queue import TrainingQueue
from transformer_playground.tui.core.jobs import Job
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.live.follower import LiveFrame, ViewRequest
from transformer_playground.tui.live.state import RunStats
from transformer_playground.tui.live.stats_text import RunActivity, queue_text
from transformer_playground.tui.shared.export import export_in_worker, timestamped, write_new_file
from transformer_playground.tui.shared.view import View

_ELSEWHERE = "This run is trained elsewhere: only the process that trains it can do that."
_AT_REST = "This run does not train now."


class LiveControls(View):
    """What the live view can do to runs."""

    @property
    def focus_run(self) -> str | None:
        """The run to steer."""
        raise NotImplementedError

    def chart_request(self) -> ViewRequest:
        """What the chart shows."""
        raise NotImplementedError

    # What is known beside the numbers

    def activity(self, stats: RunStats) -> RunActivity:
        """What becomes of the run in focus now."""
        run_id = self.focus_run
        if run_id is None:
            return RunActivity()
        row = self.context.snapshot.runs.get(run_id)
        job = self.context.training.job_of(run_id)
        waiting = tuple(visible_line(each.name) for each in self.context.training.waiting)
        if job is not None and not job.has_ended:
            memory = psutil.Process().memory_info().rss
            return RunActivity(job.state, job.message, is_ours=True, memory=memory, waiting=waiting)
        if job is not None and job.state == "failed":
            return RunActivity("failed", job.message, is_failure=True, waiting=waiting)
        state = row.state if row else job.state if job else ""
        problem = stats.error or (row.problem if row and row.problem else "")
        is_failure = state in ("failed", "broken")
        return RunActivity(state, problem if is_failure else "", is_failure, waiting=waiting)

    def show_word(self, activity: RunActivity, frame: LiveFrame | None) -> None:
        """Say below the panes what goes wrong, and who waits."""
        words = []
        if activity.problem:
            style = "$error" if activity.is_failure else "$warning"
            sign = "✗" if activity.is_failure else "!"
            words.append(Content.styled(f"{sign} {visible_line(activity.problem)}", style))
        for run in frame.runs if frame else ():
            if run.problem:
                text = f"! {visible_line(run.run_id)}: {run.problem}"
                words.append(Content.styled(text, "$warning"))
        if activity.waiting:
            words.append(Content.styled(queue_text(activity.waiting), "$foreground 60%"))
        shown = Content("   ").join(words)
        line = self.query_one("#live-word", Static)
        if shown != line.content:
            line.display = bool(words)
            line.update(shown)

    def say_gone(self, run_id: str) -> None:
        """Say that a run on show is no longer there."""
        text = f"{visible_line(run_id)}: its folder is gone."
        self.notify(text, severity="warning", markup=False)

    # Steering

    def _job(self) -> Job | None:
        """The job that trains the run in focus; says why there is none."""
        run_id = self.focus_run
        job = self.context.training.job_of(run_id) if run_id else None
        if job is not None and not job.has_ended:
            return job
        row = self.context.snapshot.runs.get(run_id) if run_id else None
        is_elsewhere = row is not None and row.state == "running" and job is None
        self.notify(_ELSEWHERE if is_elsewhere else _AT_REST, markup=False)
        return None

    def _ask_for(self, request: Callable[[TrainingQueue, Job], None], words: str) -> None:
        job = self._job()
        if job is None:
            return
        if not job.is_training:
            self.notify("It has not begun yet.", markup=False)
            return
        request(self.context.training, job)
        self.notify(words, markup=False, timeout=2)

    def action_pause(self) -> None:
        """Pause before the next step, or go on."""
        job = self._job()
        if job is None:
            return
        if job.control.paused:
            self.context.training.go_on(job)
        else:
            self._ask_for(TrainingQueue.pause, "Pausing before the next step.")

    def action_evaluate(self) -> None:
        """Evaluate before the next step."""
        self._ask_for(TrainingQueue.evaluate, "Evaluating.")

    def action_sample(self) -> None:
        """Draw a sample before the next step."""
        self._ask_for(TrainingQueue.sample, "Sampling.")

    def action_checkpoint(self) -> None:
        """Save a checkpoint before the next step."""
        self._ask_for(TrainingQueue.checkpoint, "Saving a checkpoint.")

    def action_stop(self) -> None:
        """Ask, then save and end the run."""
        job = self._job()
        if job is None:
            return
        question = f"Stop {job.name}? It saves a checkpoint first and can be resumed."
        answers = (("stop", "Save and stop"), ("stay", "Go on"))
        self.app.push_screen(ConfirmScreen(question, answers), partial(self._stop, job))

    def _stop(self, job: Job, answer: str | None) -> None:
        if answer == "stop":
            self.context.training.stop(job)

    # Writing the chart

    def action_write(self) -> None:
        """Write the chart as a picture."""
        request = self.chart_request()
        if not request.runs:
            return
        if request.quantity.key != "loss":
            self.notify("Only the chart of the loss can be written; m goes there.", markup=False)
            return
        chart = self.query_one("#live-chart", Chart)
        export_in_worker(self, partial(self._export, request, chart.log_y, chart.smoothing))

    def _export(self, request: ViewRequest, log_y: bool, smoothing: float) -> Path:
        # Matplotlib takes its time to load.
        from transformer_playground.plots.loss_plot import PlotRequest, plot_loss

        runs = [open_run(self.context.runs_dir, run_id) for run_id in request.runs]
        folder = runs[0].reports if len(runs) == 1 else Path.cwd()
        folder.mkdir(parents=True, exist_ok=True)

        def write(path: Path) -> None:
            plot_loss(runs, PlotRequest(path, log_y=log_y, smooth=smoothing, x=request.x))

        return write_new_file(folder, timestamped("loss"), "svg", write)
