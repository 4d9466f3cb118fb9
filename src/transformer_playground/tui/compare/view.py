"""The compare view: chosen runs side by side, in numbers, curves and samples."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import Input, Static

from transformer_playground.comparison.render import markdown_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import AXES, Axis
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.compare.export import FORMATS, Look, export
from transformer_playground.tui.compare.pane import ComparisonCurves, ComparisonPane, hint
from transformer_playground.tui.compare.samples import ComparisonSamples
from transformer_playground.tui.compare.service import Compared, Comparer, Request
from transformer_playground.tui.compare.training_samples import TrainingSamples
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.core.workspace import pin, toggle
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.sample.labels import run_text
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.panes import PaneDeck
from transformer_playground.tui.shared.view import View

# Places of panes that keys lead to.
_SAMPLES, _TRAINING = 2, 3
_NEEDS_RUNS = (
    *("pin", "group", "all_settings", "axis", "copy", "export"),
    *("pane", "tab", "scrub", "write"),
)


class CompareView(View):
    """Compares the baseline with the other chosen runs."""

    NAME = "compare"
    CSS_PATH: ClassVar[CSSPathType | None] = ["../charts/charts.tcss", "compare.tcss"]
    BINDINGS = bindings_for("compare")
    AUTO_FOCUS: ClassVar[str | None] = "#compare-table"

    def __init__(self) -> None:
        super().__init__()
        self._group, self._all_settings = True, False
        self._axis: Axis = "step"
        self._compared: Compared | None = None
        self._is_looking = self._look_again = False
        # Run id -> why it is no longer compared.
        self._gone: dict[str, str] = {}

    def compose_body(self) -> ComposeResult:
        """Tabs above the panes, or a sentence while there is nothing to compare."""
        yield Static(id="compare-empty", markup=False)
        yield PaneDeck(
            (
                ("Table", ComparisonPane()),
                ("Curves", ComparisonCurves()),
                ("Samples", ComparisonSamples()),
                ("Training samples", TrainingSamples()),
            ),
            recent=(0, 1, 3, 2),
        )

    def on_mount(self) -> None:
        """Take over what the settings remember."""
        super().on_mount()
        settings = self.context.settings
        self._group = settings.remembered("compare", "group", True)
        self._all_settings = settings.remembered("compare", "all_settings", False)
        self._comparer = Comparer(self.context.runs_dir)
        self._show_empty()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._show())

    @property
    def compared(self) -> Compared | None:
        """What is on show."""
        return self._compared

    # Following the chosen runs

    def refresh_view(self) -> None:
        """Compare anew if the chosen runs or their files have changed."""
        if self._is_looking:
            self._look_again = True
            return
        request = self._request
        self._notice_gone(request)
        if len(request.run_ids) < 2:
            self._compared = None
            self._show_empty()
            return
        self._is_looking = True
        states = {run_id: row.state for run_id, row in self.context.snapshot.runs.items()}
        body = partial(self._look, request, states, self._compared)
        self.run_worker(body, group="compare", thread=True, exit_on_error=False)

    @property
    def _request(self) -> Request:
        chosen = tuple(dict.fromkeys(self.context.workspace.chosen()))
        pinned = self.context.workspace.baseline
        return Request(chosen, self._group, self._all_settings, self._axis, pinned)

    def _notice_gone(self, request: Request) -> None:
        """Remember which compared runs have vanished; one that was renamed has not."""
        known = self.context.snapshot.runs
        before = self._compared.request.run_ids if self._compared else ()
        if len(request.run_ids) < len(before):
            for run_id in before:
                if run_id not in known:
                    self._gone[run_id] = f"The folder of run '{run_id}' is gone."
        self._gone = {key: words for key, words in self._gone.items() if key not in known}

    def _look(self, request: Request, states: Mapping[str, str], shown: Compared | None) -> None:
        compared = None
        try:
            compared = self._comparer.look(request, states, shown)
        finally:
            self.app.call_from_thread(self._take, compared)

    def _take(self, compared: Compared | None) -> None:
        self._is_looking = False
        if compared is not None and compared.request == self._request:
            self._compared = compared
            self._show()
        if self._look_again:
            self._look_again = False
            if self.is_current:
                self.refresh_view()

    def _show(self) -> None:
        compared = self._compared
        if compared is None or compared.comparison is None:
            self._show_empty()
            return
        with self.app.batch_update():
            self._set_empty(is_empty=False)
            comparison = compared.comparison
            gone = list(self._gone.values())
            self.query_one(ComparisonPane).show(self.context, compared, comparison, gone)
            self.query_one(ComparisonCurves).show(self.context, compared)
            first = comparison.columns[0].best_run
            self.query_one(ComparisonSamples).offer(
                {
                    column.best_run.run_id: self._words(column.best_run.run_id)
                    for column in comparison.columns
                },
                first.settings,
            )
            titles = {run_id: self._words(run_id) for run_id in compared.tracks}
            self.query_one(TrainingSamples).show(compared.tracks, titles)

    def _words(self, run_id: str) -> Content:
        return run_text(self.context, Source(run_id, ""))

    def _show_empty(self) -> None:
        problems = self._compared.problems if self._compared else {}
        words = hint(self.context, [*self._gone.values(), *problems.values()])
        self.query_one("#compare-empty", Static).update(words)
        self._set_empty(is_empty=True)

    def _set_empty(self, *, is_empty: bool) -> None:
        empty = self.query_one("#compare-empty")
        was_empty = empty.display
        empty.display, self._deck.display = is_empty, not is_empty
        if was_empty and not is_empty and self.focused is None:
            self._deck.enter()

    # Panes

    @property
    def _deck(self) -> PaneDeck:
        return self.query_one(PaneDeck)

    def action_pane(self, by: int) -> None:
        """Go to the next pane."""
        self._deck.go(by)

    def action_tab(self, by: int) -> None:
        """Go to the next field of the pane, or to the next pane."""
        self._deck.tab(by)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what has an effect."""
        if action == "stop":
            return self._samples.is_sampling
        is_empty = self._compared is None or self._compared.comparison is None
        if is_empty and action in _NEEDS_RUNS:
            return None
        return super().check_action(action, parameters)

    # Choices

    def action_pin(self) -> None:
        """Pin the run under the column cursor as the baseline, or unpin it."""
        run_id = self.query_one(ComparisonPane).column_key
        if run_id is not None:
            pin(self.context.workspace, run_id)
            self.context.publish_workspace()

    def action_mark(self) -> None:
        """Choose a run to add, or to leave out."""
        chosen = self.context.workspace.chosen()
        options = [
            (run_id, Content.assemble("✓ " if run_id in chosen else "  ", self._words(run_id)))
            for run_id in self.context.snapshot.runs
        ]
        others = [run_id for run_id in self.context.snapshot.runs if run_id not in chosen]
        pick = PickScreen("Compare, or leave out (✓)", options, next(iter(others), None))
        self.app.push_screen(pick, self._take_mark)

    def _take_mark(self, run_id: str | None) -> None:
        if run_id is not None:
            self._gone.clear()
            toggle(self.context.workspace, run_id)
            self.context.publish_workspace()

    def action_group(self) -> None:
        """Average runs that differ in their seed, or not."""
        self._group = not self._group
        self.context.settings.remember("compare", "group", self._group)
        self.refresh_view()

    def action_all_settings(self) -> None:
        """Show every setting, or those that differ."""
        self._all_settings = not self._all_settings
        self.context.settings.remember("compare", "all_settings", self._all_settings)
        self.refresh_view()

    def action_axis(self) -> None:
        """Draw the curves along steps, tokens or time."""
        self._axis = AXES[(AXES.index(self._axis) + 1) % len(AXES)]
        self.refresh_view()

    # Samples

    @property
    def _samples(self) -> ComparisonSamples:
        return self.query_one(ComparisonSamples)

    def action_write(self) -> None:
        """Go to the prompt."""
        self._deck.open(_SAMPLES)
        self.set_focus(self._samples.form.prompt)

    def action_stop(self) -> None:
        """End the samples before their next token."""
        self._samples.stop()

    def action_scrub(self, by: int) -> None:
        """Look at the samples of another training step."""
        self._deck.open(_TRAINING)
        self.query_one(TrainingSamples).action_scrub(by)

    def action_out(self) -> None:
        """One layer out: stop, or leave the field."""
        if self._samples.is_sampling:
            self._samples.stop()
        elif isinstance(self.focused, Input):
            self.set_focus(self._samples.panes.chosen)

    # Copy and export

    def action_copy(self) -> None:
        """Copy the table as Markdown."""
        comparison = self._compared.comparison if self._compared else None
        if comparison is not None:
            self.app.copy_to_clipboard(visible(markdown_text(comparison)))
            self.notify("Copied the table as Markdown.", markup=False)

    def action_export(self) -> None:
        """Write the comparison to a file."""
        options = [(kind, Content(words)) for kind, words in FORMATS.items()]
        self.app.push_screen(PickScreen("Export as", options, None), self._take_format)

    def _take_format(self, kind: str | None) -> None:
        compared = self._compared
        comparison = compared.comparison if compared else None
        if kind is not None and compared is not None and comparison is not None:
            chart = self.query_one(ComparisonCurves)
            look = Look(compared.request.axis, chart.log_y, chart.smoothing)
            runs = [RunFolder(self.context.runs_dir / run.run_id) for run in comparison.runs]
            export_in_worker(self, partial(export, kind, comparison, runs, look, Path.cwd()))
