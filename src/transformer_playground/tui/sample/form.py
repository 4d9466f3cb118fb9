"""Sample form: source, prompt and sampling settings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from transformer_playground.formatting import loss_text
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.checkpoints import Choice, Choices
from transformer_playground.tui.core.context import AppContext, context_of
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.sample.form_state import (
    FORM_FIELDS,
    WEIGHTS_HELP,
    build_request,
    default_prompt,
    default_text,
    default_weights,
    field_error,
    resolve_prompt,
    total_error,
    weights_error,
)
from transformer_playground.tui.shared.line_input import LineInput
from transformer_playground.tui.themes import series_of

_MUTED = "$text-muted"
# All fields fit on one line of 80 columns, with short labels of 60.
_WIDTHS = {"max_new_tokens": 6, "seed": 7}
_DEFAULT_WIDTH = 5
_WEIGHTS_WIDTH = 9
_FULL_WIDTH = sum(
    len(each.label) + 1 + _WIDTHS.get(each.name, _DEFAULT_WIDTH) + 1 for each in FORM_FIELDS
)


class SampleForm(Vertical):
    """Form of a sample request; an empty field means the run's own setting, shown in grey."""

    def __init__(self, view: Literal["sample", "compare"]) -> None:
        super().__init__(id="sample-form", classes="pane")
        self._view = view
        self._settings: Mapping[str, Any] = {}
        self._columns = 1
        self._unconditional: bool | None = None
        self._status = Content("")

    def compose(self) -> ComposeResult:
        yield Static(id="sample-source", markup=False)
        with Horizontal(classes="line"):
            yield Static("prompt ", classes="muted label")
            yield LineInput(id="prompt", select_on_focus=False)
            # Beside the prompt: the line of numbers is full on 80 columns.
            yield Static(" weights ", classes="muted label")
            weights = LineInput(id="weights", classes="sample-field", select_on_focus=True)
            weights.tooltip = WEIGHTS_HELP
            weights.styles.width = _WEIGHTS_WIDTH
            yield weights
        with Horizontal(classes="line", id="sample-fields"):
            for form_field in FORM_FIELDS:
                yield Static(classes="muted label", id=f"{form_field.name}-label")
                field = LineInput(id=form_field.name, classes="sample-field", select_on_focus=True)
                field.tooltip = form_field.entry.description
                field.styles.width = _WIDTHS.get(form_field.name, _DEFAULT_WIDTH)
                yield field
        yield Static(id="sample-status", markup=False)

    def on_mount(self) -> None:
        draw = self._key("draw") if self._view == "sample" else "enter"
        self.border_subtitle = f"{draw} samples · {self._key('out')} leaves the field"

    def on_resize(self) -> None:
        is_narrow = self.content_size.width < _FULL_WIDTH - 1
        for form_field in FORM_FIELDS:
            label = form_field.short_label if is_narrow else form_field.label
            self.query_one(f"#{form_field.name}-label", Static).update(f"{label} ")

    @property
    def prompt(self) -> LineInput:
        return self.query_one("#prompt", LineInput)

    @property
    def unconditional(self) -> bool:
        if self._unconditional is None:
            return self._settings.get("sample.sample.unconditional") is True
        return self._unconditional

    def show_source(self, source: Content, settings: Mapping[str, Any], columns: int) -> None:
        """Show the checkpoints to sample from, and use the defaults of their run.

        Args:
            settings: Settings of the run by dotted key, untrusted.
        """
        self._settings, self._columns = settings, columns
        self.query_one("#sample-source", Static).update(source, layout=False)
        for form_field in FORM_FIELDS:
            self._field(form_field.name).placeholder = default_text(form_field, settings)
        self._field("weights").placeholder = default_weights(settings)
        self._label_prompt()
        self._validate()

    def toggle_unconditional(self) -> None:
        self._unconditional = not self.unconditional
        self._label_prompt()

    def problem(self) -> tuple[str, Input] | None:
        """Error message and the field to fix, or None."""
        for form_field in FORM_FIELDS:
            field = self._field(form_field.name)
            error = field_error(form_field, self._text(form_field.name))
            if error:
                return error, field
        weights = self._field("weights")
        error = weights_error(weights.value.strip())
        if error:
            return error, weights
        error = total_error(self._values(), self._columns)
        return (error, self._field("max_new_tokens")) if error else None

    def request(self) -> SampleRequest:
        """The request of the form; call it only if `problem` is None."""
        values = self._values()
        prompt = resolve_prompt(self.prompt.value, self._settings)
        weights = self._field("weights").value.strip()
        return build_request(values, prompt, unconditional=self.unconditional, weights=weights)

    def show_status(self, status: str, *, style: str = "$text-muted") -> None:
        """Show a status (untrusted text); an error of a field takes precedence."""
        self._status = Content.styled(visible_line(status), style)
        self._validate()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._validate()

    def _validate(self) -> None:
        problem = self.problem()
        for form_field in FORM_FIELDS:
            field = self._field(form_field.name)
            field.set_class(
                field_error(form_field, self._text(form_field.name)) is not None, "wrong"
            )
        weights = self._field("weights")
        weights.set_class(weights_error(weights.value.strip()) is not None, "wrong")
        status = Content.styled(visible(problem[0]), "$error") if problem else self._status
        self.query_one("#sample-status", Static).update(status, layout=False)

    def _label_prompt(self) -> None:
        field = self.prompt
        field.disabled = self.unconditional
        if self.unconditional:
            field.placeholder = "unconditional: from the start-of-text token"
            return
        field.placeholder = visible_line(default_prompt(self._settings))
        if self._view == "sample":
            field.placeholder += f"   ({self._key('newline')} breaks the line)"

    def _key(self, name: str) -> str:
        return key_hint(f"{self._view}.{name}", context_of(self).keymap)

    def _field(self, name: str) -> LineInput:
        return self.query_one(f"#{name}", LineInput)

    def _values(self) -> dict[str, str]:
        return {field.name: self._text(field.name) for field in FORM_FIELDS}

    def _text(self, name: str) -> str:
        field = self._field(name)
        return field.value.strip() or field.placeholder


def run_text(context: AppContext, source: Source) -> Content:
    """Glyph and name of a run, and the checkpoint's name if it has one."""
    series = series_of(context.workspace.slot(source.run_id))
    colour = series.colour(dark=context.is_dark)
    name = Content.assemble((series.glyph, colour), " ", context.name_of(source.run_id))
    if not source.checkpoint:
        return name
    return Content.assemble(name, (f" · {visible_line(source.checkpoint)}", _MUTED))


def choice_text(choice: Choice) -> Content:
    """A checkpoint in a line of text: its names, step and validation loss, if known."""
    parts = [", ".join(choice.roles) or visible_line(choice.name)]
    if choice.step is not None:
        parts.append(f"step {choice.step:,}")
    if choice.metric is not None:
        parts.append(f"val loss {loss_text(choice.metric)}")
    return Content(" · ").join(map(Content, parts))


def source_text(context: AppContext, choices: Choices, sources: Sequence[Source]) -> Content:
    """All sampled checkpoints, on one line."""
    if len(sources) > 1:
        parts = [run_text(context, source) for source in sources]
        return Content.assemble(("side by side  ", _MUTED), Content("  ").join(parts))
    (source,) = sources or (Source(choices.run_id),)
    choice = choices.named(source.checkpoint)
    run = run_text(context, Source(source.run_id, ""))
    return Content.assemble(run, (" · ", _MUTED), choice_text(choice)) if choice else run
