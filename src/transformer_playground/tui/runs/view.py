"""Runs view: experiments, the table of runs, and details of the selected one."""

import time
from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList

from transformer_playground.runs.fields import RunInfo
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import LaunchRequested
from transformer_playground.tui.core.snapshot import RowReader, Snapshot
from transformer_playground.tui.runs.actions import RunActions
from transformer_playground.tui.runs.details_pane import RunDetails, SectionBar
from transformer_playground.tui.runs.experiment_list import ExperimentList
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.runs.table_state import (
    DEFAULT_COLUMNS,
    DEFAULT_SORT,
    FORMER_COLUMNS,
    RunsTableState,
)
from transformer_playground.tui.settings import Settings

if TYPE_CHECKING:
    from transformer_playground.tui.core.job_queue import Update
    from transformer_playground.tui.runs.details_loader import DetailsLoader
    from transformer_playground.tui.runs.filter_bar import FilterBar
    from transformer_playground.tui.runs.first_steps import EmptyState

Pane = Literal["runs", "details", "experiments"]
# From here on details stand beside the table, which then still has space for its columns.
_VERY_WIDE = 220
# Minimum seconds between two reads of the runs in training.
_READ_SECONDS = 0.25
_PANES: tuple[Pane, ...] = ("runs", "details", "experiments")


class RunsView(RunActions):
    """Runs and experiments."""

    NAME = "runs"
    CSS_PATH = "runs.tcss"
    BINDINGS = bindings_for("runs")
    AUTO_FOCUS: ClassVar[str | None] = "RunsTable"

    def compose_body(self) -> ComposeResult:
        self.table_state = RunsTableState()
        self._updated: set[str] = set()
        self._rows = RowReader(self.context.runs_dir)
        self._settings: Settings | None = None
        self._snapshot: Snapshot | None = None
        self._current: str | None = None
        self._pane: Pane = "runs"
        self._from_experiments = False
        yield ExperimentList()
        with Container(id="runs-main"):
            with Vertical(id="runs-pane", classes="pane"):
                yield RunsTable(self.table_state, self.context.workspace)
            yield RunDetails()

    def on_mount(self) -> None:
        self.context.training_changed.subscribe(self, self._on_training_updates)
        self._go_to("runs")

    def on_resize(self) -> None:
        self.set_class(self.size.width >= _VERY_WIDE, "-vast")
        self.call_after_refresh(self._update_title)

    @property
    def run_shown(self) -> str | None:
        return self.context.workspace.current

    def refresh_view(self) -> None:
        """Show the current snapshot; draws only what has changed."""
        self._load_settings()
        if not self.context.has_snapshot:
            # Before the first listing, do not show the empty state.
            self._update_title()
            return
        snapshot = self.context.snapshot
        now = time.time()
        is_new = snapshot is not self._snapshot
        is_changed = is_new and self.table_state.take(
            self._with_current_state(snapshot.runs), now, snapshot.names
        )
        if self.table_state.baseline != self.context.workspace.baseline:
            self.table_state.baseline = self.context.workspace.baseline
            self.table_state.arrange(now)
            is_changed = True
        if is_changed or self._snapshot is None:
            self.table.show()
        else:
            self.table.show_changes()
        self._follow_cursor()
        if is_new:
            self._show_snapshot(snapshot)
        self._update_title()
        self._show_details()

    def _load_settings(self) -> None:
        settings, state = self.context.settings, self.table_state
        if settings is self._settings:
            return
        self._settings = settings
        keys = settings.remembered("runs", "columns", list(DEFAULT_COLUMNS))
        state.sort = settings.remembered("runs", "sort", DEFAULT_SORT)
        state.downwards = settings.remembered("runs", "downwards", False)
        state.is_tree = settings.remembered("runs", "tree", False)
        if tuple(keys) == FORMER_COLUMNS:
            keys = [*DEFAULT_COLUMNS]
        state.choose_columns([key for key in keys if isinstance(key, str)], time.time())

    def _follow_cursor(self) -> None:
        """Move the cursor to the run that another view or a command has chosen."""
        current = self.context.workspace.current
        if current == self._current:
            return
        if current is None or self.table.put_cursor(current):
            # A run that is not listed yet, such as a restored one, gets the cursor later.
            self._current = current

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        before = self._snapshot
        is_first = before is None or not (before.runs or before.experiments)
        self._snapshot = snapshot
        self.filter_bar.complete()
        self._details.read_experiments(snapshot.experiments, self._show_experiments)
        self._show_experiments()
        is_empty = not snapshot.runs
        self.set_class(not snapshot.experiments, "-no-experiments")
        self.set_class(is_empty, "-no-runs")
        if is_empty:
            self._empty_state.show(
                experiments=len(snapshot.experiments),
                start=snapshot.start,
                experiments_dir=self.context.experiments_dir,
                problem=snapshot.problem,
                hint=self.key_hint,
            )
            if is_first and snapshot.experiments:
                self._go_to("experiments")

    def _on_training_updates(self, updates: "list[Update]") -> None:
        """Show the new job states at once, and read the new metrics after a short delay."""
        if not self.is_current:
            self._snapshot = None
            return
        known = self.context.snapshot.runs
        touched = {update.job.run_id for update in updates if update.job.run_id} & known.keys()
        self._show_rows(touched)
        if touched and not self._updated:
            self.set_timer(_READ_SECONDS, self._read_updated)
        self._updated |= touched

    def _read_updated(self) -> None:
        runs = self.context.snapshot.runs
        rows, self._updated = [runs[each] for each in self._updated if each in runs], set()
        self.run_worker(partial(self._read_rows, rows), thread=True, exit_on_error=False)

    def _read_rows(self, rows: list[RunInfo]) -> None:
        self._rows.read(rows)
        self.app.call_from_thread(self._show_rows, {row.run_id for row in rows})

    def _show_rows(self, run_ids: Iterable[str]) -> None:
        if not self.is_current:
            return
        runs = self.context.snapshot.runs
        rows = self._with_current_state({each: runs[each] for each in run_ids if each in runs})
        changed = [each for each, row in rows.items() if self.table_state.replace(row)]
        if changed:
            self.table.show_changes()
        if self.table.cursor in changed:
            self._show_details()

    def _with_current_state(self, runs: Mapping[str, RunInfo]) -> dict[str, RunInfo]:
        from transformer_playground.tui.core.job_queue import with_jobs

        return with_jobs(self._rows.newest(runs), self.context.training.jobs)

    def _show_experiments(self) -> None:
        experiments = self.context.snapshot.experiments
        start = self.context.snapshot.start
        self.query_one(ExperimentList).show(
            experiments,
            self._details.experiments,
            start,
            has_runs=bool(self.context.snapshot.runs),
        )
        if self._pane == "experiments":
            self._show_details()

    def _show_details(self) -> None:
        if not self.context.has_snapshot:
            return
        pane = self.query_one(RunDetails)
        if self._is_on_experiment:
            self._details.show_experiment(pane, self.query_one(ExperimentList).current)
            return
        row = self.row()
        workspace = self.context.workspace
        baseline = self.table_state.runs.get(workspace.baseline) if workspace.baseline else None
        self._details.show_run(pane, row, baseline)

    def _update_title(self) -> None:
        state = self.table_state
        shown, total = len(state.order), len(state.runs)
        count = f"{total}" if shown == total else f"{shown} of {total}"
        pane = self.query_one("#runs-pane")
        parts = [f"Runs {count}" if total else "Runs"]
        if total:
            parts.append(f"sorted by {state.sort_title}")
        pane.border_title = Content(" · ".join(parts))
        left, right = self.table.hidden_columns if shown else (0, 0)
        selected = len(self.context.workspace.selected)
        parts = [f"{selected} selected"] if selected else []
        parts += [f"←{left}"] if left else []
        parts += [f"{right} more →"] if right else []
        pane.border_subtitle = Content(" · ".join(parts))

    def on_runs_table_highlighted(self, event: RunsTable.Highlighted) -> None:
        if event.run_id != self.context.workspace.current:
            self._current = event.run_id
            self.context.workspace.move_to(event.run_id)
            self.context.publish_workspace()

    def on_runs_table_header_clicked(self, event: RunsTable.HeaderClicked) -> None:
        self.table_state.sort_by(event.key, time.time())
        self.on_table_changed()

    def on_runs_table_opened(self) -> None:
        self.action_open()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if self._pane == "experiments":
            self.context.workspace.experiment = event.option_id
            self._show_details()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if event.option_id is not None:
            self._request_launch(event.option_id)

    def on_section_bar_selected(self, event: SectionBar.Selected) -> None:
        self._details.set_section(event.name)
        self._show_details()

    def on_descendant_focus(self) -> None:
        if self.query_one("#runs-pane").has_pseudo_class("focus-within"):
            self._enter("runs")
        elif self.query_one("#details").has_pseudo_class("focus-within"):
            self._enter("details")
        elif self.query_one(ExperimentList).has_focus:
            self._enter("experiments")

    def _go_to(self, pane: Pane) -> None:
        self._enter(pane)
        match pane:
            case "runs":
                self.table.focus()
            case "details":
                self._scroll.focus()
            case "experiments":
                self.query_one(ExperimentList).focus()

    def _enter(self, pane: Pane) -> None:
        if pane == self._pane:
            return
        self._from_experiments = self._pane == "experiments"
        self._pane = pane
        # A narrow screen shows only the active pane.
        for each in _PANES:
            self.set_class(each == pane, f"-at-{each}")
        experiment = self.query_one(ExperimentList).current if self._is_on_experiment else None
        self.context.workspace.experiment = experiment
        self._show_details()

    @property
    def _is_on_experiment(self) -> bool:
        return self._pane == "experiments" or (self._pane == "details" and self._from_experiments)

    def action_open(self) -> None:
        """Open the selected runs in Live, or the launch form of the experiment."""
        name = self.query_one(ExperimentList).current
        if self._pane != "experiments":
            super().action_open()
        elif name is not None:
            self._request_launch(name)

    def _request_launch(self, experiment: str) -> None:
        from transformer_playground.training.launch import Launch

        self.post_message(LaunchRequested(Launch(experiment)))

    def action_pane(self, by: int) -> None:
        panes = _PANES if self.context.snapshot.runs else ("experiments", "details")
        place = panes.index(self._pane) if self._pane in panes else 0
        self._go_to(panes[(place + by) % len(panes)])

    def action_move(self, by: int) -> None:
        match self._pane:
            case "runs":
                self.table.move(by)
            case "details":
                self._scroll.scroll_relative(y=by, animate=False)
            case "experiments":
                experiments = self.query_one(ExperimentList)
                (experiments.action_cursor_down if by > 0 else experiments.action_cursor_up)()

    def action_page(self, by: int) -> None:
        if self._pane == "details":
            self._scroll.scroll_relative(y=by * max(1, self._scroll.size.height - 1), animate=False)
        elif self._pane == "runs":
            self.table.move_page(by)

    def action_end(self, by: int) -> None:
        match self._pane:
            case "runs":
                self.table.move(by * float("inf"))
            case "details" if by < 0:
                self._scroll.scroll_home(animate=False)
            case "details":
                self._scroll.scroll_end(animate=False)
            case "experiments":
                experiments = self.query_one(ExperimentList)
                (experiments.action_last if by > 0 else experiments.action_first)()

    def action_sideways(self, by: int) -> None:
        if self._pane == "runs":
            self.table.shift_columns(by)
            self._update_title()
        else:
            self._details.next_section(by)
            self._show_details()

    def action_section(self) -> None:
        self._details.next_section(1)
        self._show_details()

    def action_maximise(self) -> None:
        self.toggle_class("-max")

    def action_out(self) -> None:
        if self.has_class("-max"):
            self.action_maximise()
        elif self._pane != "runs" and self.context.snapshot.runs:
            self._go_to("runs")
        elif self.table_state.filter_text:
            self.filter_bar.clear()

    def action_filter(self) -> None:
        if self.context.snapshot.runs:
            self._enter("runs")
            self.filter_bar.open()

    def on_filter_bar_changed(self, event: "FilterBar.Changed") -> None:
        self.table_state.filter(event.text, time.time())
        self.filter_bar.show_problem(self.table_state.problem)
        if not self.table_state.problem:
            self.on_table_changed()

    def on_table_changed(self) -> None:
        state, settings = self.table_state, self.context.settings
        settings.remember("runs", "columns", list(state.keys))
        settings.remember("runs", "sort", state.sort)
        settings.remember("runs", "downwards", state.downwards)
        settings.remember("runs", "tree", state.is_tree)
        self.table.show()
        self._update_title()
        self._show_details()

    def action_mark(self) -> None:
        if self.table.cursor is not None and self._pane == "runs":
            self.context.workspace.toggle_selected(self.table.cursor)
            self.table.refresh()
            self.table.move(1)
            self.context.publish_workspace()

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one("#details-scroll", VerticalScroll)

    @cached_property
    def _empty_state(self) -> "EmptyState":
        from transformer_playground.tui.runs.first_steps import EmptyState

        empty_state = EmptyState()
        self.query_one("#runs-pane").mount(empty_state)
        return empty_state

    @cached_property
    def _details(self) -> "DetailsLoader":
        # Imported after the first frame.
        from transformer_playground.tui.runs.details_loader import DetailsLoader

        return DetailsLoader(self.context, self._show_details)
