"""Launch form: a summary of the settings, overrides, and the id of the new run."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from transformer_playground.config.loading import set_overrides
from transformer_playground.encodings import decode_config
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.experiments.discovery import find_experiment
from transformer_playground.formatting import duration_text
from transformer_playground.runs.folder import new_run_id
from transformer_playground.terminal import visible, visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.launch.edit_config import EditConfigScreen
from transformer_playground.tui.launch.estimate_line import EstimateLine
from transformer_playground.tui.launch.overrides_input import OverridesInput
from transformer_playground.tui.launch.service import (
    Changed,
    ExperimentChoice,
    Preview,
    check_launch,
    check_name,
    choices,
    preview,
    save_config,
    summary_lines,
)
from transformer_playground.tui.runs.details_state import DATA_LABELS
from transformer_playground.tui.runs.details_text import DATA_TEXTS
from transformer_playground.tui.shared.line_input import LineInput

_DEBOUNCE_SECONDS = 0.12
_DATA = {
    **DATA_TEXTS,
    "kept": f"{DATA_LABELS['stale']}: used unchanged, because the run started with it",
}


class LaunchScreen(Dialog[Launch | None]):
    """Closes with the confirmed launch, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("dialog"), *bindings_for("launch")]

    def __init__(self, experiments_dir: Path, runs_dir: Path, launch: Launch) -> None:
        super().__init__()
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._base = launch
        self._pending: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="launch") as dialog:
            dialog.border_subtitle = (
                f"enter adds, then trains · {self.key_hint('launch.edit')} edits the file"
                f" · {self.key_hint('dialog.close')} closes"
            )
            yield Static("", id="launch-summary")
            hint = f"{self.key_hint('launch.measure')} times a few steps"
            yield EstimateLine(self._experiments_dir, self._runs_dir, hint)
            with VerticalScroll(id="launch-changed"):
                yield Static("", id="launch-values")
            yield OverridesInput(self._base.overrides)
            with Horizontal(classes="launch-field", id="run-id-field"):
                yield Static("run id", classes="launch-label")
                yield LineInput(
                    self._base.run_id or "", placeholder="default: name-date-time", id="run-id"
                )
            yield Static("", id="launch-problem", classes="error", markup=False)

    def on_mount(self) -> None:
        self.query_one("#run-id-field").display = self._base.resume is None
        self._show_title()
        self.query_one("#override").focus()
        self._refresh_preview()

    def on_key(self, event: events.Key) -> None:
        """What is typed while the list of settings has the focus goes to the field."""
        if event.is_printable and event.character and self.focused is self._changed_list:
            event.stop()
            self._input.type(event.character)

    def on_overrides_input_edited(self) -> None:
        if self._pending is not None:
            self._pending.stop()
        self._pending = self.set_timer(_DEBOUNCE_SECONDS, self._refresh_preview)

    def on_overrides_input_add_requested(self, event: OverridesInput.AddRequested) -> None:
        launch = replace(self._launch(), overrides=(*self._input.overrides, *event.overrides))
        if problem := check_launch(self._experiments_dir, self._runs_dir, launch):
            self._input.show_note(_without_option(problem), is_error=True)
        else:
            self._input.confirm(event.overrides)

    def on_overrides_input_finished(self) -> None:
        self.action_train()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "run-id":
            self._show_problem(check_name(self._runs_dir, event.value.strip()))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "run-id":
            self.action_train()

    def action_train(self) -> None:
        launch = replace(self._launch(), overrides=self._input.candidate)
        if problem := check_launch(self._experiments_dir, self._runs_dir, launch):
            self._show_problem(problem)
            return
        name = launch.resume or launch.run_id or new_run_id(launch.experiment)
        self.dismiss(replace(launch, run_id=None if launch.resume else name))

    def action_edit(self) -> None:
        if (path := self._config_file()) is None:
            return
        screen = EditConfigScreen(self._experiments_dir, self._base.experiment, path)
        self.app.push_screen(screen, lambda _: self._refresh_preview())

    def action_keep(self) -> None:
        experiment = self._base.experiment
        overrides = self._input.overrides
        if (path := self._config_file()) is None:
            return
        if not overrides:
            self._show_problem("There are no settings to save: add a key=value first.")
            return
        try:
            seen = decode_config(path.read_bytes(), path.name)
            text = set_overrides(seen, overrides)
            save_config(self._experiments_dir, experiment, path, text, seen)
        except (PlaygroundError, OSError) as error:
            self._show_problem(str(error))
            return
        self._input.clear()
        self.notify("Saved to the configuration file.", markup=False)
        self._refresh_preview()

    def _config_file(self) -> Path | None:
        """Configuration file of the experiment; None after showing why it cannot be used."""
        try:
            return find_experiment(self._experiments_dir, self._base.experiment).config_path
        except UsageError as error:
            self._show_problem(str(error))
            return None

    def action_measure(self) -> None:
        is_busy = context_of(self).training.active is not None
        self.query_one(EstimateLine).measure(beside=is_busy)

    def action_other(self) -> None:
        if self._base.origin is None:
            self.run_worker(self._list_choices, group="choices", thread=True, exclusive=True)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def _list_choices(self) -> None:
        found = choices(self._experiments_dir)
        self.app.call_from_thread(self._pick, found)

    def _pick(self, found: list[ExperimentChoice]) -> None:
        options = choice_options(found)
        screen = PickScreen("Experiment", options, self._base.experiment)
        self.app.push_screen(screen, self._take_experiment)

    def _take_experiment(self, name: str | None) -> None:
        if name is not None:
            self._base = replace(self._base, experiment=name)
            self._show_title()
            self._refresh_preview()

    def _launch(self) -> Launch:
        run_id = self.query_one("#run-id", LineInput).value.strip()
        return replace(self._base, overrides=tuple(self._input.overrides), run_id=run_id or None)

    @property
    def _changed_list(self) -> VerticalScroll:
        return self.query_one("#launch-changed", VerticalScroll)

    @property
    def _input(self) -> OverridesInput:
        return self.query_one("#overrides", OverridesInput)

    def _refresh_preview(self) -> None:
        self._pending = None
        launch = replace(self._launch(), overrides=self._input.candidate)
        self.run_worker(
            partial(self._make_preview, launch, self._input.typed),
            group="preview",
            thread=True,
            exclusive=True,
            exit_on_error=False,
        )

    def _make_preview(self, launch: Launch, typed: str) -> None:
        found = preview(self._experiments_dir, self._runs_dir, launch)
        self.app.call_from_thread(self._show_preview, found, launch, typed)

    def _show_preview(self, found: Preview, launch: Launch, typed: str) -> None:
        is_outdated = typed != self._input.typed or launch.experiment != self._base.experiment
        if is_outdated or not self.is_attached:
            return
        is_about_typed = bool(found.problem and typed)
        self._input.show_note(
            _without_option(found.problem) if is_about_typed else "", is_error=is_about_typed
        )
        self._show_problem("" if is_about_typed else found.problem)
        estimated = launch if found.config is not None and launch.origin is None else None
        self.query_one(EstimateLine).follow(estimated and replace(estimated, run_id=None))
        if found.config is None:
            return
        self._input.config = found.config
        with self.app.batch_update():
            self.query_one("#launch-summary", Static).update(_summary(found))
            self.query_one("#launch-values", Static).update(_values(found.changed))

    def _show_problem(self, problem: str) -> None:
        self.query_one("#launch-problem", Static).update(Content(_without_option(problem)))

    def _show_title(self) -> None:
        base = self._base
        title = f"Train {base.experiment}"
        if base.resume is not None:
            title = f"Resume {base.resume}"
        elif base.branch is not None:
            title = f"Branch from {base.branch[0]} at {base.branch[1]}"
        self.query_one("#launch").border_title = Content(visible_line(title))


def choice_options(
    found: list[ExperimentChoice], start: tuple[str, int] | None = None
) -> list[tuple[str, Content]]:
    """Options of a picker: name, kind, state of the data and description of each experiment.

    Args:
        start: Name and seconds of the experiment to start with.
    """
    width = max((len(choice.name) for choice in found), default=0)
    labels = {"": "", **DATA_LABELS}
    state_width = max(map(len, labels.values()))
    return [
        (
            choice.name,
            Content.assemble(
                visible_line(choice.name).ljust(width + 2),
                (f"{choice.kind}  {labels[choice.data]:<{state_width}} ", "$text-muted"),
                (_start_text(start), "$accent") if start and start[0] == choice.name else "",
                visible_line(choice.description),
            ),
        )
        for choice in found
    ]


def _start_text(start: tuple[str, int]) -> str:
    return f"start here, about {duration_text(start[1])} · "


def _without_option(problem: str) -> str:
    """A configuration error without the name of the command-line option."""
    return visible(problem.removeprefix("--set: ").replace("--set ", ""))


def _summary(found: Preview) -> Content:
    assert found.config is not None
    lines = summary_lines(found.config, found.parameters)
    lines.append(("data", _DATA[found.data or "missing"]))
    return Content("\n").join(
        Content.assemble((label.ljust(10), "$text-muted"), visible_line(text))
        for label, text in lines
    )


def _values(changed: tuple[Changed, ...]) -> Content:
    if not changed:
        return Content.styled("all settings have their defaults", "$text-muted")
    width = max(len(each.key) for each in changed)
    return Content("\n").join(
        Content.assemble(
            visible_line(each.key).ljust(width + 1),
            (visible_line(each.value), "bold"),
            ("  " + visible_line(_origin(each.origin)), "$text-muted"),
        )
        for each in changed
    )


def _origin(name: str) -> str:
    return "set here" if name == "--set" else name
