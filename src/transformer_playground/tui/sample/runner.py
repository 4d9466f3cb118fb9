"""Sample runner: starts the sample jobs of a form and shows their progress."""

from collections.abc import Sequence
from functools import partial

from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.core.sampling import Failed, SampleJob, Source, Started, Update
from transformer_playground.tui.sample.form import SampleForm
from transformer_playground.tui.sample.panes import SamplePanes

_POLL_SECONDS = 0.08


class SampleRunner:
    """Runs the request of a form and shows its samples in panes, one job at a time.

    Args:
        owner: The widget that holds one `SampleForm` and one `SamplePanes`.
    """

    def __init__(self, owner: Widget) -> None:
        self._owner = owner
        self._job: SampleJob | None = None
        self._timer: Timer | None = None
        self._n_loaded = 0

    @property
    def form(self) -> SampleForm:
        return self._owner.query_one(SampleForm)

    @property
    def panes(self) -> SamplePanes:
        return self._owner.query_one(SamplePanes)

    @property
    def is_running(self) -> bool:
        return self._job is not None

    def start(self, sources: Sequence[Source], titles: Sequence[Content]) -> bool:
        """Sample from each source; an invalid field gets the focus instead.

        Returns:
            Whether a job has started.
        """
        problem = self.form.problem()
        if problem is not None:
            problem[1].focus()
            return False
        self.discard()
        context = context_of(self._owner)
        # Leave the CPU cores to a run in training.
        threads = 1 if context.training.is_computing else None
        self._job, self._n_loaded = SampleJob(sources, self.form.request(), threads), 0
        self.panes.clear(titles, "loading …")
        body = partial(context.sampling.work, self._job)
        self._owner.run_worker(body, group="sampling", thread=True, exit_on_error=False)
        self._timer = self._owner.set_interval(_POLL_SECONDS, self._poll)
        self._show_progress(self._job)
        self._owner.screen.refresh_bindings()
        return True

    def stop(self) -> None:
        if self._job is not None:
            self._job.stop()
            self.form.show_status("■ stopping …")

    def close(self) -> None:
        """Let the worker end; the owner is being removed."""
        if self._job is not None:
            self._job.stop()

    def discard(self) -> None:
        """Stop, and show no more updates of the job."""
        if self._job is not None:
            self.close()
            self._end()
        self.form.show_status("")

    def _end(self) -> None:
        self._job = None
        if self._timer is not None:
            self._timer.stop()
        self._owner.screen.refresh_bindings()

    def _poll(self) -> None:
        job = self._job
        if job is None:
            return
        with self._owner.app.batch_update():
            has_shown = job.deliver(self._show)
            if job.is_done:
                self._end()
                self.panes.end()
                self._show_result(job)
            elif has_shown and not job.is_stopping:
                self._show_progress(job)

    def _show(self, updates: Sequence[Update]) -> None:
        self._n_loaded += sum(isinstance(update.event, Started | Failed) for update in updates)
        self.panes.show_updates(updates)

    def _show_progress(self, job: SampleJob) -> None:
        count = len(job.sources)
        if self._n_loaded >= count:
            text = f"{self.panes.n_tokens:,} tokens"
        else:
            text = "loading …" if count == 1 else f"loading {self._n_loaded + 1} of {count} …"
        self.form.show_status(f"▶ {text}", style="$accent")

    def _show_result(self, job: SampleJob) -> None:
        tokens = self.panes.n_tokens
        speed = f", {tokens / job.seconds:,.0f} tokens/s" if job.seconds and tokens else ""
        glyph = "■ stopped:" if job.is_stopping else "✓"
        self.form.show_status(
            f"{glyph} {tokens:,} tokens{speed}" if tokens else "no tokens sampled"
        )
