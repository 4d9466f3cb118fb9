"""Sample form: source, prompt and sampling settings."""

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.sample.form_state import (
    KNOBS,
    complaint,
    default_of,
    default_prompt,
    excess,
    prompt_of,
    request_of,
)
from transformer_playground.tui.shared.line_input import LineInput

_LINE_BREAK = "␊"
# All of them stand beside each other on 80 columns.
_CELLS = {"max_new_tokens": 6, "seed": 7}
_CELLS_ELSE = 5


class SampleForm(Vertical):
    """Empty fields stand for what the run was trained to be sampled with, shown in grey.

    `unconditional` is a switch beside them: it belongs to the prompt, which it replaces.
    """

    def __init__(self) -> None:
        super().__init__(id="sample-form", classes="pane")
        self.border_subtitle = "enter samples · esc leaves the field"
        self._settings: Mapping[str, Any] = {}
        self._columns = 1
        self._unconditional: bool | None = None
        self._status = Content("")

    def compose(self) -> ComposeResult:
        """Source, prompt, fields, and a status line."""
        yield Static(id="sample-source", markup=False)
        with Horizontal(classes="line"):
            yield Static("prompt ", classes="muted label")
            yield LineInput(id="prompt", select_on_focus=False)
        with Horizontal(classes="line", id="knobs"):
            for knob in KNOBS:
                yield Static(f"{knob.label} ", classes="muted label")
                field = LineInput(id=knob.name, classes="knob", select_on_focus=True)
                field.tooltip = knob.entry.description
                field.styles.width = _CELLS.get(knob.name, _CELLS_ELSE)
                yield field
        yield Static(id="sample-word", markup=False)

    @property
    def prompt(self) -> LineInput:
        """The field of the prompt."""
        return self.query_one("#prompt", LineInput)

    @property
    def unconditional(self) -> bool:
        """Whether to sample without a prompt, from the start-of-text token."""
        if self._unconditional is None:
            return self._settings.get("sample.sample.unconditional") is True
        return self._unconditional

    def offer(self, source: Content, settings: Mapping[str, Any], columns: int) -> None:
        """Show where to sample from, and take over its defaults.

        Args:
            source: The checkpoints, in words.
            settings: The run's settings by dotted key, untrusted.
            columns: From how many checkpoints is drawn.
        """
        self._settings, self._columns = settings, columns
        self.query_one("#sample-source", Static).update(source, layout=False)
        for knob in KNOBS:
            self._field(knob.name).placeholder = default_of(knob, settings)
        self._label_prompt()
        self._check()

    def toggle_unconditional(self) -> None:
        """Sample without the prompt, or with it again."""
        self._unconditional = not self.unconditional
        self._label_prompt()

    def problem(self) -> tuple[str, Input] | None:
        """What is wrong in one sentence, and the field to fix."""
        for knob in KNOBS:
            field = self._field(knob.name)
            fault = complaint(knob, self._text(knob.name))
            if fault:
                return fault, field
        fault = excess({knob.name: self._text(knob.name) for knob in KNOBS}, self._columns)
        return (fault, self._field("max_new_tokens")) if fault else None

    def request(self) -> SampleRequest:
        """What the fields ask for; only without a `problem`."""
        values = {knob.name: self._text(knob.name) for knob in KNOBS}
        prompt = prompt_of(self.prompt.value, self._settings)
        return request_of(values, prompt, unconditional=self.unconditional)

    def say(self, status: str, *, style: str = "$foreground 60%") -> None:
        """Show a status; untrusted text. What is wrong with a field goes first."""
        self._status = Content.styled(visible_line(status), style)
        self._check()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check while typing."""
        event.stop()
        self._check()

    def _check(self) -> None:
        problem = self.problem()
        for knob in KNOBS:
            field = self._field(knob.name)
            field.set_class(complaint(knob, self._text(knob.name)) is not None, "wrong")
        status = Content.styled(visible(problem[0]), "$error") if problem else self._status
        self.query_one("#sample-word", Static).update(status, layout=False)

    def _label_prompt(self) -> None:
        field = self.prompt
        field.disabled = self.unconditional
        hint = visible_line(default_prompt(self._settings))
        field.placeholder = (
            "unconditional: from the start-of-text token"
            if self.unconditional
            else f"{hint}  (ctrl+j for {_LINE_BREAK})"
        )

    def _field(self, name: str) -> LineInput:
        return self.query_one(f"#{name}", LineInput)

    def _text(self, name: str) -> str:
        field = self._field(name)
        return field.value.strip() or field.placeholder
