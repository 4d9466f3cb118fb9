"""Compare view: metrics, curves and samples of the selected runs side by side."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import Input, Static

from transformer_playground.comparison.render import markdown_text
from transformer_playground.comparison.windows import needs_windows
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.lineage import lineages
from transformer_playground.runs.metrics import AXES, Axis
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.compare.pane import ComparisonCurves, ComparisonPane, hint
from transformer_playground.tui.compare.samples import ComparisonSamples, TrainingSamples
from transformer_playground.tui.compare.service import (
    FORMATS,
    Compared,
    Comparer,
    PairedTest,
    PlotStyle,
    Request,
    export_comparison,
)
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.core.workspace import pin, toggle
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.sample.form import run_text
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.panes import PaneDeck
from transformer_playground.tui.shared.view import View

_NOTHING_TO_TEST = (
    "All runs that can be compared by windows are; seeds of one configuration need none."
)
# Top bar, tabs and key bar.
_OTHER_LINES = 3
# Indices of panes that keys open.
_SAMPLES, _TRAINING = 2, 3
_NEEDS_RUNS = (
    *("pin", "group", "all_settings", "axis", "copy", "export", "test"),
    *("tab", "scrub", "write"),
)


class CompareView(View):
    """Compares the baseline with the other selected runs."""

    NAME = "compare"
    CSS_PATH: ClassVar[CSSPathType | None] = [
        "../charts/charts.tcss",
        "../sample/sample.tcss",
        "compare.tcss",
    ]
    BINDINGS = bindings_for("compare")
    AUTO_FOCUS: ClassVar[str | None] = "#compare-table"

    def __init__(self) -> None:
        super().__init__()
        self._group, self._all_settings = True, False
        self._axis: Axis = "step"
        self.compared: Compared | None = None
        self._is_updating = self._is_outdated = False
        self._test: PairedTest | None = None
        # Run id -> why it is no longer compared.
        self._removed: dict[str, str] = {}
        # Of the compared runs; the name of a removed one is known no longer.
        self._names: dict[str, str] = {}

    def compose_body(self) -> ComposeResult:
        yield Static(id="compare-empty", markup=False)
        yield PaneDeck(
            (
                ("Table", ComparisonPane()),
                ("Curves", ComparisonCurves()),
                ("Samples", ComparisonSamples()),
                ("Training samples", TrainingSamples()),
            ),
            recent=(0, 1, 3, 2),
            first_above=True,
        )

    def on_mount(self) -> None:
        settings = self.context.settings
        self._group = settings.remembered("compare", "group", True)
        self._all_settings = settings.remembered("compare", "all_settings", False)
        self._comparer = Comparer(self.context.runs_dir)
        self._show_empty()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._show())

    def on_unmount(self) -> None:
        if self._test is not None:
            self._test.cancel()

    def on_resize(self) -> None:
        # The classes of the size are set only then.
        self.call_after_refresh(self._fit_pane)

    def _fit_pane(self) -> None:
        """Give the table above the other panes the lines it needs, and 60 % of them at most.

        Where panes share the space, the table has it without the line of their titles.
        """
        pane, height = self.query_one(ComparisonPane), self.size.height - _OTHER_LINES
        is_above = self.has_class("-tall")
        wanted = pane.fit(self.size.width, height * 3 // 5 if is_above else height - 1)
        pane.styles.height = wanted if is_above and self.compared is not None else None

    def refresh_view(self) -> None:
        if self._is_updating:
            self._is_outdated = True
            return
        request = self._request
        self._find_removed(request)
        if len(request.run_ids) < 2:
            self.compared = None
            self._show_empty()
            return
        self._is_updating = True
        states = {run_id: row.state for run_id, row in self.context.snapshot.runs.items()}
        body = partial(self._update, request, states, self.compared)
        self.run_worker(body, group="compare", thread=True, exit_on_error=False)

    @property
    def _request(self) -> Request:
        context = self.context
        jobs = {job.run_id for job in context.training.jobs if not job.has_ended}
        # A run that waits or is being started has no folder yet.
        without_folder = jobs - context.snapshot.runs.keys()
        chosen = tuple(
            run_id
            for run_id in dict.fromkeys(context.workspace.chosen())
            if run_id not in without_folder
        )
        pinned = context.workspace.baseline
        pinned = None if pinned in without_folder else pinned
        before = lineages(chosen, context.snapshot.runs, chosen)
        return Request(chosen, self._group, self._all_settings, self._axis, pinned, before)

    def _find_removed(self, request: Request) -> None:
        """Remember which compared runs have vanished; one that was renamed has not."""
        known = self.context.snapshot.runs
        before = self.compared.request.run_ids if self.compared else ()
        if len(request.run_ids) < len(before):
            for run_id in before:
                if run_id not in known:
                    name = self._names.get(run_id, visible(run_id))
                    self._removed[run_id] = f"The folder of run '{name}' was removed."
        self._removed = {key: text for key, text in self._removed.items() if key not in known}
        self._names = {
            run_id: self.context.name_of(run_id) for run_id in request.run_ids if run_id in known
        }

    def _update(self, request: Request, states: Mapping[str, str], shown: Compared | None) -> None:
        compared = None
        try:
            compared = self._comparer.update(request, states, shown)
        finally:
            self.app.call_from_thread(self._show_result, compared)

    def _show_result(self, compared: Compared | None) -> None:
        self._is_updating = False
        if compared is not None and compared.request == self._request:
            self.compared = compared
            self._show()
        if self._is_outdated:
            self._is_outdated = False
            if self.is_current:
                self.refresh_view()

    def _show(self) -> None:
        compared = self.compared
        if compared is None or compared.comparison is None:
            self._show_empty()
            return
        with self.app.batch_update():
            self._set_empty(is_empty=False)
            comparison = compared.comparison
            removed = list(self._removed.values())
            self.query_one(ComparisonPane).show(self.context, compared, comparison, removed)
            self.call_after_refresh(self._fit_pane)
            self.query_one(ComparisonCurves).show(self.context, compared)
            first = comparison.columns[0].best_run
            self.query_one(ComparisonSamples).set_runs(
                {
                    column.best_run.run_id: self._run_text(column.best_run.run_id)
                    for column in comparison.columns
                },
                first.settings,
            )
            titles = {run_id: self._run_text(run_id) for run_id in compared.tracks}
            self.query_one(TrainingSamples).show(compared.tracks, titles)

    def _run_text(self, run_id: str) -> Content:
        return run_text(self.context, Source(run_id, ""))

    def _show_empty(self) -> None:
        problems = self.compared.problems if self.compared else {}
        text = hint(self.context, [*self._removed.values(), *problems.values()])
        self.query_one("#compare-empty", Static).update(text)
        self._set_empty(is_empty=True)

    def _set_empty(self, *, is_empty: bool) -> None:
        empty = self.query_one("#compare-empty")
        was_empty = empty.display
        empty.display, self._deck.display = is_empty, not is_empty
        if was_empty != is_empty:
            # Most keys need a comparison.
            self.refresh_bindings()
        if was_empty and not is_empty and self.focused is None:
            self._deck.enter()

    @property
    def _deck(self) -> PaneDeck:
        return self.query_one(PaneDeck)

    def action_tab(self, by: int) -> None:
        self._deck.tab(by)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return self._samples.is_sampling or self._test is not None
        is_empty = self.compared is None or self.compared.comparison is None
        if is_empty and action in _NEEDS_RUNS:
            return None
        return super().check_action(action, parameters)

    def action_pin(self) -> None:
        run_id = self.query_one(ComparisonPane).row_key
        if run_id is not None:
            pin(self.context.workspace, run_id)
            self.context.publish_workspace()

    def action_mark(self) -> None:
        chosen = self.context.workspace.chosen()
        options = [
            (run_id, Content.assemble("✓ " if run_id in chosen else "  ", self._run_text(run_id)))
            for run_id in self.context.snapshot.runs
        ]
        others = [run_id for run_id in self.context.snapshot.runs if run_id not in chosen]
        pick = PickScreen("Add or remove (✓) a run", options, next(iter(others), None))
        self.app.push_screen(pick, self._toggle_run)

    def _toggle_run(self, run_id: str | None) -> None:
        if run_id is not None:
            self._removed.clear()
            toggle(self.context.workspace, run_id)
            self.context.publish_workspace()

    def action_group(self) -> None:
        self._group = not self._group
        self.context.settings.remember("compare", "group", self._group)
        self.refresh_view()

    def action_all_settings(self) -> None:
        self._all_settings = not self._all_settings
        self.context.settings.remember("compare", "all_settings", self._all_settings)
        self.refresh_view()

    def action_axis(self) -> None:
        self._axis = AXES[(AXES.index(self._axis) + 1) % len(AXES)]
        self.refresh_view()

    @property
    def _samples(self) -> ComparisonSamples:
        return self.query_one(ComparisonSamples)

    def action_write(self) -> None:
        self._deck.open(_SAMPLES)
        self.set_focus(self._samples.form.prompt)

    def action_stop(self) -> None:
        self._samples.stop()
        if self._test is not None:
            self._test.cancel()

    def action_test(self) -> None:
        compared = self.compared
        if compared is None or compared.comparison is None:
            return
        if self._test is not None:
            self.notify("The runs are being evaluated.", markup=False)
            return
        needed = needs_windows(compared.comparison.runs)
        if not needed:
            self.notify(_NOTHING_TO_TEST, markup=False)
            return
        run_ids = [run.run_id for run in compared.comparison.runs]
        context = self.context
        self._test = PairedTest(context.experiments_dir, context.runs_dir, run_ids)
        self.notify(f"Evaluating {len(needed)} runs on the whole validation split.", markup=False)
        self.run_worker(
            partial(self._run_test, self._test), group="test", thread=True, exit_on_error=False
        )
        self.refresh_bindings()

    def _run_test(self, test: PairedTest) -> None:
        problem = test.run()
        self.app.call_from_thread(self._end_test, problem)

    def _end_test(self, problem: str | None) -> None:
        self._test = None
        self.refresh_bindings()
        if problem:
            self.notify(visible(problem), severity="error", markup=False)
        else:
            self.refresh_view()

    def action_scrub(self, by: int) -> None:
        self._deck.open(_TRAINING)
        self.query_one(TrainingSamples).action_scrub(by)

    def action_out(self) -> None:
        if self._samples.is_sampling:
            self._samples.stop()
        elif isinstance(self.focused, Input):
            self.set_focus(self._samples.panes.chosen)

    def action_copy(self) -> None:
        comparison = self.compared.comparison if self.compared else None
        if comparison is not None:
            self.app.copy_to_clipboard(visible(markdown_text(comparison)))
            self.notify("Copied the table as Markdown.", markup=False)

    def action_export(self) -> None:
        options = [(kind, Content(label)) for kind, label in FORMATS.items()]
        self.app.push_screen(PickScreen("Export as", options, None), self._export)

    def _export(self, kind: str | None) -> None:
        compared = self.compared
        comparison = compared.comparison if compared else None
        if kind is not None and compared is not None and comparison is not None:
            chart = self.query_one(ComparisonCurves)
            style = PlotStyle(compared.request.axis, chart.log_y, chart.smoothing)
            runs = [RunFolder(self.context.runs_dir / run.run_id) for run in comparison.runs]
            export_in_worker(
                self, partial(export_comparison, kind, comparison, runs, style, Path.cwd())
            )
