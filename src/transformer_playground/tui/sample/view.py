"""Sample view: checkpoints, a prompt, and samples."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, Static

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.checkpoints import (
    Choices,
    first_with_checkpoint,
    sources_of,
    sources_of_runs,
)
from transformer_playground.tui.core.sampling import MOST_SOURCES, Source
from transformer_playground.tui.core.workspace import focus_of
from transformer_playground.tui.dialogs.pick import PickScreen, PickSeveralScreen
from transformer_playground.tui.sample.form import SampleForm, run_text, source_text
from transformer_playground.tui.sample.form_state import History
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.runner import SampleRunner
from transformer_playground.tui.shared.checkpoint_rows import checkpoint_rows
from transformer_playground.tui.shared.view import View

_BEST = ("best",)
_BEST_AND_LAST = ("best", "last")


class SampleView(View):
    """Samples from one checkpoint, or from several side by side."""

    NAME = "sample"
    CSS_PATH = "sample.tcss"
    BINDINGS = bindings_for("sample")
    # The text takes the focus once there is a checkpoint, so that keys of the view always work.
    AUTO_FOCUS: ClassVar[str | None] = ""

    def __init__(self) -> None:
        super().__init__()
        self._choices: Choices | None = None
        # Checkpoints of the run; one of each selected run while `_beside`.
        self._checkpoints: tuple[str, ...] = _BEST
        self._beside = False
        # The checkpoints of the panes.
        self._shown_sources: tuple[Source, ...] = ()
        self._runner = SampleRunner(self)
        self._history = History()

    def compose_body(self) -> ComposeResult:
        yield Static(id="sample-empty", markup=False)
        yield SampleForm("sample")
        yield SamplePanes()

    def on_mount(self) -> None:
        settings = self.context.settings
        self._history = History(settings.remembered("sample", "history", []))
        self.app.theme_changed_signal.subscribe(self, lambda _: self._recolour())
        self._panes.set_colours(settings.remembered("sample", "colours", False))
        self._show_choices()

    def on_unmount(self) -> None:
        self._runner.close()

    def on_screen_resume(self) -> None:
        if isinstance(self.focused, Input):
            self._panes.chosen.focus()

    def refresh_view(self) -> None:
        known = self._choices.run_id if self._choices else None
        workspace, runs = self.context.workspace, self.context.snapshot.runs
        wanted = [focus_of(workspace, [*runs]), workspace.current, known, *runs]
        candidates = list(dict.fromkeys(filter(None, wanted)))
        find = partial(self._find, candidates)
        self.run_worker(find, group="find", thread=True, exclusive=True, exit_on_error=False)

    def _find(self, candidates: list[str]) -> None:
        choices = first_with_checkpoint(self.context.runs_dir, candidates)
        self.app.call_from_thread(self._set_choices, choices)

    def _set_choices(self, choices: Choices | None) -> None:
        self._choices = choices
        self._show_choices()

    @property
    def _form(self) -> SampleForm:
        return self._runner.form

    @property
    def _panes(self) -> SamplePanes:
        return self._runner.panes

    @property
    def _sources(self) -> tuple[Source, ...]:
        if self._choices is None:
            return ()
        chosen = self.context.workspace.chosen()
        if self._beside and len(chosen) > 1:
            return sources_of_runs(chosen, self._checkpoints[0])
        return sources_of(self._choices, self._checkpoints)

    @property
    def _settings(self) -> Mapping[str, Any]:
        row = self.context.snapshot.runs.get(self._sources[0].run_id) if self._sources else None
        return row.settings if row else {}

    def _show_choices(self) -> None:
        is_empty = self._choices is None
        self.query_one("#sample-empty").display = is_empty
        self._form.display = self._panes.display = not is_empty
        # A hidden field must not take the keys.
        self._form.disabled = is_empty
        if self._choices is None:
            key = self.key_hint("everywhere.new")
            text = f"No run has a checkpoint yet.\n\n{key} trains a new run."
            self.query_one("#sample-empty", Static).update(Content(text))
            return
        sources = self._sources
        source = source_text(self.context, self._choices, sources)
        self._form.show_source(source, self._settings, len(sources))
        if self._panes.is_empty and not self._runner.is_running:
            if sources != self._shown_sources:
                self._clear()
        else:
            self._panes.mark_old(sources != self._shown_sources)
        if self.focused is None:
            self._panes.chosen.focus()

    def _recolour(self) -> None:
        self._show_choices()
        self._panes.retitle([run_text(self.context, each) for each in self._shown_sources])

    def _clear(self) -> None:
        self._shown_sources = self._sources
        write, draw = self.key_hint("sample.prompt"), self.key_hint("sample.draw")
        self._panes.clear(self._titles, f"{write} writes a prompt, {draw} samples.")

    @property
    def _titles(self) -> list[Content]:
        return [run_text(self.context, source) for source in self._sources]

    def on_input_submitted(self) -> None:
        self.action_draw()

    def action_draw(self) -> None:
        if self._choices is None:
            return
        if self._runner.start(self._sources, self._titles):
            self._shown_sources = self._sources
            self._remember_prompt()

    def action_stop(self) -> None:
        self._runner.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return self._runner.is_running
        return super().check_action(action, parameters)

    def _remember_prompt(self) -> None:
        self._history.add(self._form.prompt.value)
        self.context.settings.remember("sample", "history", self._history.entries)

    def action_out(self) -> None:
        view = self._panes.chosen
        if self._runner.is_running:
            self.action_stop()
        elif not view.has_focus:
            view.focus()
        else:
            view.cursor = None

    def action_write(self) -> None:
        self._form.prompt.focus()

    def action_newline(self) -> None:
        if self._form.prompt.has_focus:
            self._form.prompt.insert_text_at_cursor("\n")

    def action_recall(self, by: int) -> None:
        prompt = self._form.prompt
        if prompt.has_focus:
            prompt.value = self._history.move(by, prompt.value)
            prompt.cursor_position = len(prompt.value)

    def action_unconditional(self) -> None:
        self._form.toggle_unconditional()

    def action_beside(self) -> None:
        """Sample from the selected runs, or from best and last of one run, or from one again."""
        if self._choices is None:
            return
        if len(self._sources) > 1:
            self._beside, self._checkpoints = False, _BEST
        elif len(self.context.workspace.chosen()) > 1:
            self._beside = True
        elif len(sources_of(self._choices, _BEST_AND_LAST)) > 1:
            self._checkpoints = _BEST_AND_LAST
        else:
            key = self.key_hint("sample.checkpoint")
            self.notify(
                f"Best and last of this run are one checkpoint; {key} chooses others, or select "
                "several runs.",
                markup=False,
            )
            return
        self._restart()

    def action_pick_run(self) -> None:
        runs = self.context.snapshot.runs
        options = [(run_id, run_text(self.context, Source(run_id, ""))) for run_id in runs]
        current = self._choices.run_id if self._choices else None
        self.app.push_screen(PickScreen("Sample from run", options, current), self._use_run)

    def _use_run(self, run_id: str | None) -> None:
        if run_id is not None:
            self._beside = False
            self._runner.discard()
            self._panes.clear([], "")
            self._shown_sources = ()
            self.context.publish_workspace(current=run_id, opened=True)
            self.refresh_view()

    def action_pick_checkpoint(self) -> None:
        if self._choices is None:
            return
        current = self._choices.named(self._checkpoints[0])
        pick = PickSeveralScreen(
            "Checkpoints",
            checkpoint_rows(self._choices.checkpoints),
            current.name if current else None,
            MOST_SOURCES,
        )
        self.app.push_screen(pick, self._use_checkpoints)

    def _use_checkpoints(self, names: tuple[str, ...] | None) -> None:
        if names:
            self._checkpoints, self._beside = names, False
            self._restart()

    def _restart(self) -> None:
        self._runner.discard()
        self._clear()
        self._show_choices()
