"""Export form: chooses what is written, starts the export and shows how it goes on."""

from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.widgets import Static

from transformer_playground.errors import UsageError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import AppContext, context_of
from transformer_playground.tui.core.exports import ExportJob, State
from transformer_playground.tui.dialogs.base import CssPath, Dialog
from transformer_playground.tui.export.form_state import (
    FIELD_NAMES,
    ExportForm,
    FieldName,
    in_terms_of_the_form,
)
from transformer_playground.tui.shared.line_input import LineInput

_LABEL_WIDTH = 13
_POLL_SECONDS = 0.1
_GLYPHS: dict[State, tuple[str, str]] = {
    "running": ("▶ ", "$accent"),
    "stopping": ("■ ", "$text-muted"),
    "done": ("✓ ", "$success"),
    "failed": ("✗ ", "$error"),
    "stopped": ("■ ", "$text-muted"),
}


class ChoiceLine(Static, can_focus=True):
    """One field on one line: its label, the chosen value and what that means."""

    class Clicked(Message):
        """The next value was requested with the mouse."""

        def __init__(self, name: FieldName) -> None:
            super().__init__()
            self.field: FieldName = name

    def __init__(self, form: ExportForm, name: FieldName) -> None:
        super().__init__(id=f"export-{name}", classes="export-line")
        self._form = form
        self.field: FieldName = name

    def render(self) -> Content:
        form = self._form
        option = form.chosen(self.field)
        value = visible_line(option.value)
        if self.has_focus and len(form.options(self.field)) > 1:
            value = f"← {value} →"
        return Content.assemble(
            (form.label(self.field).ljust(_LABEL_WIDTH), "$text-muted"),
            (value, "bold"),
            (f"  {visible_line(option.about)}", "$text-muted"),
        )

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Clicked(self.field))


class ExportScreen(Dialog[None]):
    """The form of one run; an export goes on when it is closed.

    Args:
        job: The export of this run that is running, if there is one.
    """

    CSS_PATH: ClassVar[CssPath] = ["../dialogs/dialogs.tcss", "export.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("dialog"), *bindings_for("export")]

    def __init__(self, run_id: str, form: ExportForm, job: ExportJob | None = None) -> None:
        super().__init__()
        self._run_id, self._form, self._job = run_id, form, job

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="export") as dialog:
            dialog.border_title = Content(f"Export {context_of(self).name_of(self._run_id)}")
            dialog.border_subtitle = (
                f"← → changes · {self.key_hint('export.start')} exports"
                f" · {self.key_hint('dialog.close')} closes"
            )
            for name in FIELD_NAMES:
                yield ChoiceLine(self._form, name)
                if name == "weights":
                    with Horizontal(id="export-folder-line", classes="export-line"):
                        yield Static("folder", classes="export-label muted")
                        yield LineInput(
                            placeholder="default: in the run's exports folder", id="export-folder"
                        )
            yield Static("", id="export-status", markup=False)

    def on_mount(self) -> None:
        self.set_interval(_POLL_SECONDS, self._show_job)
        self._show_fields()
        self._show_job()

    def action_change(self, by: int) -> None:
        if isinstance(self.focused, ChoiceLine):
            self._change(self.focused.field, by)

    def on_choice_line_clicked(self, event: ChoiceLine.Clicked) -> None:
        self._change(event.field, 1)

    def _change(self, name: FieldName, by: int) -> None:
        self._form.change(name, by)
        self._show_fields()

    def _show_fields(self) -> None:
        for line in self.query(ChoiceLine):
            line.display = self._form.applies(line.field)
            line.refresh()

    def action_step(self, by: int) -> None:
        if by > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def on_input_submitted(self) -> None:
        self.action_start()

    def action_start(self) -> None:
        context = context_of(self)
        # Leave the CPU cores to a run in training.
        threads = 1 if context.training.is_computing else None
        try:
            request = self._form.request(self.query_one("#export-folder", LineInput).value)
            job = context.exports.start(
                self._run_id, request, threads=threads, name_of=context.name_of
            )
        except UsageError as error:
            context.app.notify(_shown(str(error)), severity="warning", markup=False)
            return
        self._job = job
        work = partial(_work, context, job)
        self.app.run_worker(work, group="exports", thread=True, exit_on_error=False)
        self._show_job()

    def action_stop(self) -> None:
        if self._job is not None:
            self._job.stop()
            self._show_job()

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def _show_job(self) -> None:
        job = self._job
        if job is None:
            return
        glyph, style = _GLYPHS[job.state]
        self.query_one("#export-status", Static).update(
            Content.assemble((f"{glyph}{_shown(job.text)}", style))
        )


def _shown(text: str) -> str:
    return visible(in_terms_of_the_form(text))


def _work(context: AppContext, job: ExportJob) -> None:
    job.work()
    if not context.exports.is_closed:
        context.app.call_from_thread(_announce, context, job)


def _announce(context: AppContext, job: ExportJob) -> None:
    severity: SeverityLevel = "error" if job.state == "failed" else "information"
    title = f"Export of {context.name_of(job.run_id)}"
    context.app.notify(_shown(job.text), title=title, severity=severity, markup=False)
