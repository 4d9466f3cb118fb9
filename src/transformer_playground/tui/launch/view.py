"""Launch form: every setting as a row, what the run needs, and the ids of the new runs."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from transformer_playground.config.loading import set_overrides
from transformer_playground.encodings import decode_config
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.experiments.discovery import find_experiment
from transformer_playground.terminal import visible, visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.launch.checks import LaunchChecks
from transformer_playground.tui.launch.choice_rows import choice_options
from transformer_playground.tui.launch.edit_config import EditConfigScreen
from transformer_playground.tui.launch.estimate_line import EstimateLine
from transformer_playground.tui.launch.overrides_input import OverridesInput
from transformer_playground.tui.launch.service import (
    ExperimentChoice,
    Preview,
    SettingValues,
    choices,
    form_title,
    save_config,
    summary_lines,
)
from transformer_playground.tui.launch.settings_state import first_open, rows_of
from transformer_playground.tui.launch.settings_table import SettingsPane, SettingsTable
from transformer_playground.tui.launch.variants import (
    Plan,
    listed_keys,
    plan_text,
    suggested_id,
    with_ids,
)
from transformer_playground.tui.runs.details_state import DATA_LABELS
from transformer_playground.tui.runs.details_text import DATA_TEXTS
from transformer_playground.tui.shared.line_input import LineInput

_DEBOUNCE_SECONDS = 0.12
_ID_HINT = "default: name-date-time"
_DATA = {
    **DATA_TEXTS,
    "kept": f"{DATA_LABELS['stale']}: used unchanged, because the run started with it",
}


class LaunchScreen(Dialog[tuple[Launch, ...]]):
    """Closes with the confirmed launches: one, one for each combination of lists, or none.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
        launch: What the form begins with.
        like: Run that the launch repeats.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for("dialog"), *bindings_for("launch")]

    def __init__(
        self, experiments_dir: Path, runs_dir: Path, launch: Launch, like: str | None = None
    ) -> None:
        super().__init__()
        self._like = like
        self._opened = first_open()
        self._only_differing = False
        # Of two checks, which answer in any order.
        self._plan_problem = self._preview_problem = ""
        self._values = SettingValues()
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._checks = LaunchChecks(self, experiments_dir, runs_dir)
        self._base = launch
        self._pending: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="launch") as dialog:
            dialog.border_subtitle = (
                f"{self.key_hint('settings.edit')} changes a value; a list or range queues a run"
                f" for each · {self.key_hint('launch.train')} trains"
            )
            yield Static("", id="launch-summary")
            hint = f"{self.key_hint('launch.measure')} times a few steps"
            yield EstimateLine(self._experiments_dir, self._runs_dir, hint)
            yield SettingsPane()
            yield OverridesInput(self._base.overrides)
            with Horizontal(classes="launch-field", id="run-id-field"):
                yield Static("run id", classes="launch-label")
                yield LineInput(self._base.run_id or "", placeholder=_ID_HINT, id="run-id")
            yield Static("", id="launch-plan", markup=False)
            yield Static("", id="launch-problem", classes="error", markup=False)

    def on_mount(self) -> None:
        self.query_one("#run-id-field").display = self._base.resume is None
        self._show_title()
        # What is like an earlier run is changed in the table, a new run by typing.
        self.set_focus(self._pane.table if self._like else self.query_one("#override"))
        self._refresh_preview()

    def on_key(self, event: events.Key) -> None:
        """What is typed while the list of settings has the focus goes to the field."""
        is_typed = event.is_printable and event.character and event.key != "space"
        if is_typed and event.character and self.focused is self._pane.table:
            event.stop()
            self._input.type(event.character)

    def on_overrides_input_left(self) -> None:
        self.set_focus(self._pane.table)

    def on_settings_table_fold(self, event: SettingsTable.Fold) -> None:
        is_open = event.group not in self._opened if event.is_open is None else event.is_open
        (self._opened.add if is_open else self._opened.discard)(event.group)
        self._show_rows()

    def on_settings_table_take(self, event: SettingsTable.Take) -> None:
        self._take(event.key, event.text)

    def on_settings_table_take_back(self, event: SettingsTable.TakeBack) -> None:
        self._input.take_back(event.key)

    def on_settings_pane_submitted(self, event: SettingsPane.Submitted) -> None:
        if not event.text or self._take(event.key, event.text):
            self._pane.close()

    def on_settings_pane_typing(self) -> None:
        self.on_overrides_input_edited()

    def _take(self, key: str, text: str) -> bool:
        """Change a setting if the launch stays valid; otherwise show why not."""
        override = f"{key}={text}"
        others = [each for each in self._input.overrides if each.partition("=")[0] != key]
        launch = replace(self._launch(), overrides=(*others, override))
        problem = self._checks.problem_at_once(launch)
        self._show_problem(problem)
        if not problem:
            self._input.confirm((override,))
        return not problem

    def on_overrides_input_edited(self) -> None:
        if self._pending is not None:
            self._pending.stop()
        self._pending = self.set_timer(_DEBOUNCE_SECONDS, self._refresh_preview)

    def on_overrides_input_add_requested(self, event: OverridesInput.AddRequested) -> None:
        launch = replace(self._launch(), overrides=(*self._input.overrides, *event.overrides))
        if problem := self._checks.problem_at_once(launch):
            self._input.show_note(_without_option(problem), is_error=True)
        else:
            self._input.confirm(event.overrides)

    def on_overrides_input_finished(self) -> None:
        self.action_train()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "run-id":
            self._look_at_plan(replace(self._launch(), overrides=self._candidate))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "run-id":
            self.action_train()

    def action_train(self) -> None:
        launch = replace(self._launch(), overrides=self._candidate)
        self._checks.check(launch, self._train_checked)

    def _train_checked(self, checked: tuple[Plan, str]) -> None:
        plan, problem = checked
        self._show_problem(problem)
        if not problem and self.is_current:
            self.dismiss(with_ids(plan.launches))

    def action_sweep(self) -> None:
        """Make a sweep of the settings, and go to it."""
        # Imported when it is first needed.
        from transformer_playground.tui.launch.sweep_form import SweepFormScreen

        self.app.push_screen(
            SweepFormScreen(replace(self._launch(), overrides=self._candidate)), self._go_to_sweep
        )

    def _go_to_sweep(self, sweep_id: str | None) -> None:
        if sweep_id is None:
            return
        context = context_of(self)
        context.workspace.sweep = sweep_id
        self.dismiss(())
        self.app.switch_mode("sweep")
        train = self.key_hint("sweep.resume")
        self.notify(f"Wrote the sweep {sweep_id}; {train} trains it.", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "sweep" and self._base.origin is not None:
            return None
        return super().check_action(action, parameters)

    def action_differing(self) -> None:
        self._only_differing = not self._only_differing
        self._show_rows()

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
            self._show_problem("There are no settings to save: change a value first.")
            return
        if listed := listed_keys(overrides):
            self._show_problem(f"{listed[0]} has several values: the file can hold one.")
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

    def action_rate(self) -> None:
        # Late: it needs numpy, which the first frame does not.
        from transformer_playground.tui.launch.rate_screen import RateScreen, untestable

        launch = replace(self._launch(), overrides=self._candidate)
        if problem := untestable(launch) or self._checks.problem_at_once(launch):
            self._show_problem(problem)
            return
        is_busy = context_of(self).training.active is not None
        screen = RateScreen(self._experiments_dir, self._runs_dir, launch, is_busy=is_busy)
        self.app.push_screen(screen, self._take_rate)

    def _take_rate(self, overrides: tuple[str, ...] | None) -> None:
        if overrides:
            # With what was being typed, for which the rate was found.
            self._input.confirm((*self._candidate, *overrides))

    def action_other(self) -> None:
        if self._base.origin is None:
            self.run_worker(self._list_choices, group="choices", thread=True, exclusive=True)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(())

    def _list_choices(self) -> None:
        found = choices(self._experiments_dir)
        self.app.call_from_thread(self._pick, found)

    def _pick(self, found: list[ExperimentChoice]) -> None:
        options = choice_options(found)
        screen = PickScreen("Experiment", options, self._base.experiment)
        self.app.push_screen(screen, self._take_experiment)

    def _take_experiment(self, name: str | None) -> None:
        if name is not None:
            self._base, self._like = replace(self._base, experiment=name), None
            self._show_title()
            self._refresh_preview()

    def _launch(self) -> Launch:
        run_id = self.query_one("#run-id", LineInput).value.strip()
        return replace(self._base, overrides=tuple(self._input.overrides), run_id=run_id or None)

    @property
    def _candidate(self) -> tuple[str, ...]:
        """The overrides, with what is being typed in the table or in the field."""
        typed = self._pane.candidate
        if typed is None:
            return self._input.candidate
        key = typed.partition("=")[0]
        others = (each for each in self._input.overrides if each.partition("=")[0] != key)
        return (*others, typed)

    @property
    def _typed(self) -> str:
        """What is being typed."""
        return self._pane.candidate or self._input.typed

    @property
    def _pane(self) -> SettingsPane:
        return self.query_one(SettingsPane)

    @property
    def _input(self) -> OverridesInput:
        return self.query_one("#overrides", OverridesInput)

    def _refresh_preview(self) -> None:
        self._pending = None
        launch = replace(self._launch(), overrides=self._candidate)
        self._look_at_plan(launch)
        show = partial(self._show_preview, launch, self._typed)
        self._checks.preview(launch, self._like, show)

    def _show_preview(self, launch: Launch, typed: str, found: Preview) -> None:
        if typed != self._typed or launch.experiment != self._base.experiment:
            return
        is_about_typed = bool(found.problem and self._input.typed and not self._pane.is_editing)
        self._input.show_note(
            _without_option(found.problem) if is_about_typed else "", is_error=is_about_typed
        )
        self._preview_problem = "" if is_about_typed else found.problem
        self._show_problem(self._preview_problem or self._plan_problem)
        self._estimate(launch if found.config is not None and launch.resume is None else None)
        self._values = found.values
        with self.app.batch_update():
            self._show_rows()
            if found.config is not None:
                self._input.config = self._pane.config = found.config
                self.query_one("#launch-summary", Static).update(_summary(found))

    def _estimate(self, launch: Launch | None) -> None:
        """Show what the first run needs, and how many there are."""
        plan = self._checks.plan(replace(launch, run_id=None)) if launch else Plan()
        first = plan.launches[0] if plan.launches else None
        self.query_one(EstimateLine).follow(first, len(plan.launches))

    def _show_rows(self) -> None:
        overrides = self._candidate if self._pane.candidate is None else self._input.overrides
        rows = rows_of(self._values, overrides, self._opened, only_differing=self._only_differing)
        self._pane.table.show(rows)

    def _look_at_plan(self, launch: Launch) -> None:
        self._checks.names(launch, partial(self._show_plan, launch))

    def _show_plan(self, launch: Launch, found: tuple[Plan, str]) -> None:
        """How many runs there will be, and what is wrong with their ids."""
        plan, problem = found
        is_several = len(plan.launches) + len(plan.existing) > 1
        text = plan_text(plan)
        self.query_one("#launch-plan", Static).update(Content(visible_line(text)))
        self.query_one("#launch-plan").display = bool(text)
        self.query_one("#run-id", LineInput).placeholder = (
            f"default: name-date-time; or {suggested_id(launch.overrides, launch.experiment)}"
            if is_several
            else _ID_HINT
        )
        if problem or self._plan_problem:
            self._show_problem(self._preview_problem or problem)
        self._plan_problem = problem

    def _show_problem(self, problem: str) -> None:
        self.query_one("#launch-problem", Static).update(Content(_without_option(problem)))
        self.query_one("#launch-problem").display = bool(problem)

    def _show_title(self) -> None:
        title = form_title(self._base, self._like, self._runs_dir, context_of(self).name_of)
        self.query_one("#launch").border_title = Content(visible_line(title))


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
