"""Controls of the live view: pause, stop, evaluate, sample, save, and export of the chart."""

from functools import cached_property, partial
from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from transformer_playground.errors import PlaygroundError
from transformer_playground.evaluation.baseline import USUAL_ORDER, NGramBaseline
from transformer_playground.files import timestamped, write_new_file
from transformer_playground.runs.folder import open_run, reports_folder
from transformer_playground.runs.remaining import remaining_of_run
from transformer_playground.runs.status import Writer
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.core.job_text import job_label
from transformer_playground.tui.dialogs.run_control import RunControl, Target
from transformer_playground.tui.live.chart_series import why_no_ngram_line
from transformer_playground.tui.live.follower import LiveFrame, ViewRequest
from transformer_playground.tui.live.polling import FilePoller
from transformer_playground.tui.live.stats import RunActivity, RunStats, queue_text
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.view import KeyRank, View
from transformer_playground.tui.shared.work import answer_in_thread

_CONTROLS = ("pause", "stop", "evaluate", "sample", "checkpoint")


class LiveControls(View):
    """Controls of the run in focus.

    Attributes:
        shows_ngram: Whether the loss chart has the line of n-grams.
    """

    poller: FilePoller
    shows_ngram = True
    _is_counting = False

    def draw_lines(self) -> None:
        raise NotImplementedError

    @property
    def focus_run(self) -> str | None:
        raise NotImplementedError

    def chart_request(self) -> ViewRequest:
        raise NotImplementedError

    def activity(self, stats: RunStats, writer: Writer | None) -> RunActivity:
        """The state of the run in focus, with its job's message if this console trains it.

        Args:
            writer: The process that writes the run.
        """
        run_id = self.focus_run
        if run_id is None:
            return RunActivity()
        row = self.context.snapshot.runs.get(run_id)
        left = remaining_of_run(row) if row else None
        job = self.context.training.job_of(run_id)
        waiting = tuple(
            job_label(each, self.context.name_of) for each in self.context.training.waiting
        )
        if job is not None and not job.has_ended:
            return RunActivity(
                job.state,
                job.message,
                is_warning=job.is_warning,
                trainer="this console" if job.is_training else "",
                waiting=waiting,
                remaining=left,
            )
        if job is not None and job.state == "failed":
            return RunActivity("failed", job.message, is_failure=True, waiting=waiting)
        state = row.state if row else job.state if job else ""
        if state == "running" and stats.summary.status == "paused":
            state = "paused"
        problem = stats.error or (row.problem if row and row.problem else "")
        is_failure = state in ("failed", "broken")
        trainer = str(writer) if writer and state in ("running", "paused") else ""
        message = problem if is_failure else ""
        return RunActivity(
            state, message, is_failure, trainer=trainer, waiting=waiting, remaining=left
        )

    def action_inside(self) -> None:
        from transformer_playground.tui.inside.actions import look_inside_run

        look_inside_run(self.context, self.focus_run)

    def in_key_bar(self, action: str) -> KeyRank:
        """Controls come first while a run can be controlled, and are left out otherwise."""
        if action not in _CONTROLS:
            return super().in_key_bar(action)
        return "first" if self.can_control else "hidden"

    @property
    def can_control(self) -> bool:
        """Whether the run in focus is in training, or another one of this console."""
        return self._target() is not None

    def show_notes(self, activity: RunActivity, frame: LiveFrame | None) -> None:
        notes = []
        if activity.message:
            sign, style = "", "$foreground"
            if activity.is_failure:
                sign, style = ("✗ ", "$error")
            elif activity.is_warning:
                sign, style = ("! ", "$warning")
            notes.append(Content.styled(f"{sign}{visible_line(activity.message)}", style))
        for run in frame.runs if frame else ():
            if run.problem:
                text = f"! {self.context.name_of(run.run_id)}: {run.problem}"
                notes.append(Content.styled(text, "$warning"))
        if activity.waiting:
            notes.append(Content.styled(queue_text(activity.waiting), "$text-muted"))
        content = Content("   ").join(notes)
        line = self.query_one("#live-notes", Static)
        if content != line.content:
            line.display = bool(notes)
            line.update(content)

    def _target(self) -> Target | None:
        """What trains the run in focus, else the job of this console that is in training."""
        target, active = self._control.target(self.focus_run), self.context.training.active
        if target is None and active is not None and not active.has_ended:
            return active
        return target

    @cached_property
    def _control(self) -> RunControl:
        return RunControl(self.context)

    def action_pause(self) -> None:
        self._control.pause(self._target(), self.focus_run)

    def action_evaluate(self) -> None:
        self._control.ask(self._target(), "evaluate", self.focus_run)

    def action_sample(self) -> None:
        self._control.ask(self._target(), "sample", self.focus_run)

    def action_checkpoint(self) -> None:
        self._control.ask(self._target(), "checkpoint", self.focus_run)

    def action_stop(self) -> None:
        self._control.stop(self._target())

    def action_ngram(self) -> None:
        """Show or hide the line of n-grams; count them first where nobody has."""
        frame, run_id = self.poller.frame, self.focus_run
        if frame is None or run_id is None:
            return
        if frame.focus is not None and frame.focus.stats.ngram is not None:
            if reason := why_no_ngram_line(frame, self.key_hint("live.quantity")):
                self.notify(reason, markup=False)
                return
            self.shows_ngram = not self.shows_ngram
            self.context.settings.remember("live", "ngram", self.shows_ngram)
            self.draw_lines()
            return
        self.shows_ngram = True
        self.context.settings.remember("live", "ngram", True)
        if not self._is_counting:
            self._is_counting = True
            name = self.context.name_of(run_id)
            self.notify(f"Counting n-grams of the text of {name} …", markup=False)
            work = partial(self._count_ngrams, run_id)
            answer_in_thread(self.app, "Counting n-grams", work, self._counted, group="ngram")

    def _count_ngrams(self, run_id: str) -> None:
        from transformer_playground.plots.baseline import baseline_of

        run = open_run(self.context.runs_dir, run_id)
        baseline_of([run], self.context.experiments_dir)

    def _counted(self, error: PlaygroundError | None) -> None:
        self._is_counting = False
        if error is not None:
            self.notify(visible(str(error)), severity="error", markup=False)
        elif self.is_current:
            self.poller.poll_now()

    def action_write(self) -> None:
        request = self.chart_request()
        if not request.runs:
            return
        if request.quantity.id != "loss":
            key = self.key_hint("live.quantity")
            self.notify(f"Only the loss can be exported; {key} switches to it.", markup=False)
            return
        chart, frame = self.query_one("#live-chart", Chart), self.poller.frame
        baseline = frame.baseline if frame and self.shows_ngram else None
        work = partial(self._export, request, chart.log_y, chart.smoothing, baseline)
        export_in_worker(self, work)

    def _export(
        self,
        request: ViewRequest,
        log_y: bool,
        smoothing: float,
        baseline: NGramBaseline | None,
    ) -> Path:
        # Importing Matplotlib is slow.
        from transformer_playground.plots.loss_curves import PlotRequest, PlottedNGram
        from transformer_playground.plots.loss_plot import plot_loss

        runs = [open_run(self.context.runs_dir, run_id) for run_id in request.runs]
        folder = reports_folder(runs[0]) if len(runs) == 1 else Path.cwd()
        folder.mkdir(parents=True, exist_ok=True)

        def write(path: Path) -> None:
            ngram = PlottedNGram.of(baseline, USUAL_ORDER) if baseline else None
            plot_loss(
                runs, PlotRequest(path, log_y=log_y, smooth=smoothing, x=request.x, ngram=ngram)
            )

        return write_new_file(folder, timestamped("loss"), "svg", write)
