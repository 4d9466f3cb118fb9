"""Form that makes a sweep of a launch, and shows what it will cost before it is written."""

from functools import partial

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.launch.sweep_form_state import (
    METHODS,
    CheckedSweep,
    SweepFields,
    check_sweep,
    write_sweep,
)
from transformer_playground.tui.shared.line_input import LineInput
from transformer_playground.tui.shared.work import answer_in_thread

_DEBOUNCE_SECONDS = 0.15
_FIELDS = {
    "name": "default: experiment-4 digits",
    "seeds": "number of seeds; default: 1, or those in the launch form",
    "method": f"{', '.join(METHODS)}; default: {METHODS[0]}, all combinations",
    "runs": "number of combinations, for random and tpe",
}


class SweepFormScreen(Dialog[str | None]):
    """Closes with the name of the sweep that was written, or None.

    Args:
        launch: Its settings; a list or range of values is one that varies.
    """

    BINDINGS = bindings_for("dialog")

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self._launch = launch
        self._pending: Timer | None = None
        self._checked: tuple[SweepFields, CheckedSweep] | None = None
        self._wants_to_write = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="sweep-form") as dialog:
            dialog.border_title = Content(visible(f"Sweep of {self._launch.experiment}"))
            dialog.border_subtitle = (
                f"enter writes the sweep · {self.key_hint('dialog.close')} closes"
            )
            for name, hint in _FIELDS.items():
                with Horizontal(classes="launch-field"):
                    yield Static(name, classes="launch-label")
                    yield LineInput(placeholder=hint, id=f"sweep-{name}")
            yield Static("", id="sweep-plan", markup=False)
            yield Static("", id="sweep-problem", classes="error", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#sweep-name"))
        self._check()

    @property
    def _fields(self) -> SweepFields:
        return SweepFields(*(self.query_one(f"#sweep-{name}", LineInput).value for name in _FIELDS))

    def on_input_changed(self) -> None:
        # Enter was pressed for what the fields held then.
        self._wants_to_write = False
        if self._pending is not None:
            self._pending.stop()
        self._pending = self.set_timer(_DEBOUNCE_SECONDS, self._check)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Write the sweep, once it has been checked."""
        event.stop()
        self._wants_to_write = True
        if self._checked is not None and self._checked[0] == self._fields:
            self._write()
        else:
            self._check()

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def _check(self) -> None:
        context, fields = context_of(self), self._fields
        folders = context.experiments_dir, context.runs_dir, context.sweeps_dir
        work = partial(check_sweep, *folders, self._launch, fields)
        show = partial(self._show, fields)
        answer_in_thread(self, "The check of the sweep", work, show, group="sweep", exclusive=True)

    def _show(self, fields: SweepFields, found: CheckedSweep | PlaygroundError) -> None:
        if not self.is_attached or fields != self._fields:
            return
        if isinstance(found, PlaygroundError):
            found = CheckedSweep(problem=str(found))
        self._checked = fields, found
        lines = found.planned.lines() if found.planned else ()
        self.query_one("#sweep-plan", Static).update(Content(visible("\n".join(lines))))
        self._show_problem(found.problem)
        if self._wants_to_write:
            self._write()

    def _show_problem(self, problem: str) -> None:
        line = self.query_one("#sweep-problem", Static)
        line.update(Content(visible(problem)))
        line.display = bool(problem)

    def _write(self) -> None:
        self._wants_to_write = False
        planned = self._checked[1].planned if self._checked else None
        if planned is None:
            return
        if problem := write_sweep(context_of(self).sweeps_dir, planned):
            self._show_problem(problem)
        else:
            self.dismiss(planned.sweep.sweep_id)
