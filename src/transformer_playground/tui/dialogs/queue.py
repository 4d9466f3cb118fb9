"""The runs that wait to be trained by this console: their order, and which are taken off."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.job_queue import Job
from transformer_playground.tui.core.job_text import activity_text, job_label
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.shared.text import state_glyph

NO_RUNS = "No run waits. One that is started while another trains is queued."


class QueueScreen(Dialog[None]):
    """Lists the runs that wait, the next one first."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("queue"), *bindings_for("dialog")]

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self._shared = context
        # Those of the lines: one of them may have begun since they were written.
        self._shown: tuple[Job, ...] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="queue") as dialog:
            dialog.border_title = "Queue"
            dialog.border_subtitle = (
                f"{self.key_hint('queue.first')} trains it next · "
                f"{self.key_hint('queue.delete')} removes · "
                f"{self.key_hint('queue.dismiss_all')} all · "
                f"{self.key_hint('dialog.close')} closes"
            )
            yield OptionList(id="queue-list")

    def on_mount(self) -> None:
        self._fill(0)
        self._list.focus()
        self._shared.training_changed.subscribe(self, lambda _: self._refill())

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _refill(self) -> None:
        """Show the jobs of now; the highlighted one stays highlighted."""
        chosen, waiting = self._chosen(), self._shared.training.waiting
        if waiting != self._shown:
            place = waiting.index(chosen) if chosen in waiting else self._list.highlighted
            self._fill(place or 0)

    def _fill(self, highlighted: int) -> None:
        context = self._shared
        jobs = self._shown = context.training.waiting
        lines = [
            Option(Content(f"{state_glyph('queued')} {job_label(job, context.name_of)}"))
            for job in jobs
        ]
        now = activity_text(context.training, context.snapshot.runs, context.name_of)
        title = f"Queue · {visible_line(now)}" if context.training.active else "Queue"
        self.query_one("#queue").border_title = Content(title)
        self._list.clear_options()
        self._list.add_options(lines or [Option(Content(NO_RUNS), disabled=True)])
        if jobs:
            self._list.highlighted = min(highlighted, len(jobs) - 1)

    def _chosen(self) -> Job | None:
        at = self._list.highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None

    def action_first(self) -> None:
        """Train the run under the cursor before the others."""
        chosen = self._chosen()
        if chosen is not None:
            self._shared.training.put_first(chosen)
            self._fill(0)

    def action_remove(self) -> None:
        """Take the run under the cursor off the queue."""
        chosen = self._chosen()
        if chosen is not None:
            self._remove(chosen)
            self._fill(self._list.highlighted or 0)

    def action_remove_all(self) -> None:
        """Take all runs off the queue."""
        for job in self._shown:
            self._remove(job)
        self._fill(0)

    def _remove(self, job: Job) -> None:
        # One that has begun meanwhile goes on.
        if job.state == "queued":
            self._shared.training.stop(job)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)
