"""The runs view: experiments, the table of runs, and the details of what is selected."""

import time
from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList

from transformer_playground.runs.fields import FIELDS, RunInfo, setting_keys
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import LaunchRequested
from transformer_playground.tui.core.jobs import Update, with_jobs
from transformer_playground.tui.core.snapshot import RowReader, Snapshot
from transformer_playground.tui.runs.actions import RunActions
from transformer_playground.tui.runs.details_pane import RunDetails, SectionBar
from transformer_playground.tui.runs.experiment_list import EmptyState, ExperimentList
from transformer_playground.tui.runs.filter_bar import FilterBar
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.runs.table_state import (
    DEFAULT_COLUMNS,
    DEFAULT_SORT,
    RunsTableState,
)
from transformer_playground.tui.settings import Settings

if TYPE_CHECKING:
    from transformer_playground.tui.runs.details_loader import DetailsFeed

Pane = Literal["runs", "details", "experiments"]
_VAST = 170
# Rows of runs in training are read again at most so often.
_READ_SECONDS = 0.25
_PANES: tuple[Pane, ...] = ("runs", "details", "experiments")


class RunsView(RunActions):
    """Runs and experiments."""

    NAME = "runs"
    CSS_PATH = "runs.tcss"
    BINDINGS = bindings_for("runs")
    AUTO_FOCUS: ClassVar[str | None] = "RunsTable"

    def compose_body(self) -> ComposeResult:
        """Experiments, runs and details; how they lie depends on the room."""
        self.table_state = RunsTableState()
        self._grown: set[str] = set()
        self._rows = RowReader(self.context.runs_dir)
        self._settings: Settings | None = None
        self._seen: Snapshot | None = None
        self._current: str | None = None
        self._pane: Pane = "runs"
        with Container(id="runs-body"):
            yield ExperimentList()
            with Container(id="runs-main"):
                with Vertical(id="runs-pane", classes="pane"):
                    yield FilterBar(id="filter")
                    yield RunsTable(self.table_state, self.context.workspace)
                    yield EmptyState()
                yield RunDetails()

    def on_mount(self) -> None:
        """Follow training too."""
        super().on_mount()
        self.context.training_changed.subscribe(self, self._take_updates)
        self._go_to("runs")

    def on_resize(self) -> None:
        """Put the details at the right where the table keeps enough room."""
        self.set_class(self.size.width >= _VAST, "-vast")
        self.call_after_refresh(self._title)

    # What there is, and what has become of it.

    def refresh_view(self) -> None:
        """Show the newest snapshot; nothing is drawn where nothing has changed."""
        self._take_settings()
        if not self.context.has_snapshot:
            # What is not known yet must not look as if there were nothing.
            self._title()
            return
        snapshot = self.context.snapshot
        now = time.time()
        is_new = snapshot is not self._seen
        rearranged = False
        if is_new:
            rearranged = self.table_state.take(self._up_to_date(snapshot.runs), now)
        if self.table_state.baseline != self.context.workspace.baseline:
            self.table_state.baseline = self.context.workspace.baseline
            self.table_state.arrange(now)
            rearranged = True
        if rearranged or self._seen is None:
            self.table.show()
        else:
            self.table.show_changes()
        self._follow_cursor()
        if is_new:
            self._take_snapshot(snapshot)
        self._title()
        self._show_details()

    def _take_settings(self) -> None:
        """Take over what is remembered, once the settings have been read."""
        settings, state = self.context.settings, self.table_state
        if settings is self._settings:
            return
        self._settings = settings
        keys = settings.remembered("runs", "columns", list(DEFAULT_COLUMNS))
        state.sort = settings.remembered("runs", "sort", DEFAULT_SORT)
        state.downwards = settings.remembered("runs", "downwards", False)
        state.choose_columns([key for key in keys if isinstance(key, str)], time.time())

    def _follow_cursor(self) -> None:
        """Go to the run that another view, or a command, has chosen."""
        current = self.context.workspace.current
        if current == self._current:
            return
        if current is None or self.table.put_cursor(current):
            # One that is not listed yet, such as a restored run, is gone to when it is.
            self._current = current

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        is_first = self._seen is None or (not self._seen.runs and not self._seen.experiments)
        self._seen = snapshot
        self._feed.look(snapshot.experiments, self._show_experiments)
        self._show_experiments()
        is_empty = not snapshot.runs
        self.set_class(not snapshot.experiments, "-no-experiments")
        self.set_class(is_empty, "-no-runs")
        if is_empty:
            self.query_one(EmptyState).show(
                experiments=len(snapshot.experiments),
                experiments_dir=self.context.experiments_dir,
                problem=snapshot.problem,
            )
            if is_first and snapshot.experiments:
                self._go_to("experiments")

    def _take_updates(self, updates: list[Update]) -> None:
        """Show the states of jobs at once, and read what their runs' files have gained."""
        if not self.is_current:
            self._seen = None
            return
        known = self.context.snapshot.runs
        touched = {update.job.run_id for update in updates if update.job.run_id} & known.keys()
        self._show_rows(touched)
        if touched and not self._grown:
            self.set_timer(_READ_SECONDS, self._read_grown)
        self._grown |= touched

    def _read_grown(self) -> None:
        runs = self.context.snapshot.runs
        rows, self._grown = [runs[each] for each in self._grown if each in runs], set()
        self.run_worker(partial(self._read_rows, rows), thread=True, exit_on_error=False)

    def _read_rows(self, rows: list[RunInfo]) -> None:
        self._rows.read(rows)
        self.app.call_from_thread(self._show_rows, {row.run_id for row in rows})

    def _show_rows(self, run_ids: Iterable[str]) -> None:
        if not self.is_current:
            return
        runs = self.context.snapshot.runs
        rows = self._up_to_date({each: runs[each] for each in run_ids if each in runs})
        changed = [each for each, row in rows.items() if self.table_state.replace(row)]
        if changed:
            self.table.show_changes()
        if self.table.cursor in changed:
            self._show_details()

    def _up_to_date(self, runs: Mapping[str, RunInfo]) -> dict[str, RunInfo]:
        return with_jobs(self._rows.newest(runs), self.context.training.jobs)

    def _show_experiments(self) -> None:
        self.query_one(ExperimentList).show(self.context.snapshot.experiments, self._feed.facts)
        if self._pane == "experiments":
            self._show_details()

    def _show_details(self) -> None:
        if not self.context.has_snapshot:
            return
        pane = self.query_one(RunDetails)
        if self._pane == "experiments" or (self._pane == "details" and self._of_experiment):
            self._feed.show_experiment(pane, self.query_one(ExperimentList).current)
            return
        row = self.row()
        workspace = self.context.workspace
        baseline = self.table_state.runs.get(workspace.baseline) if workspace.baseline else None
        self._feed.show_run(pane, row, baseline)

    def _title(self) -> None:
        state = self.table_state
        shown, total = len(state.order), len(state.runs)
        count = f"{total}" if shown == total else f"{shown} of {total}"
        pane = self.query_one("#runs-pane")
        pane.border_title = Content(f"Runs {count}" if total else "Runs")
        left, right = self.table.hidden_columns if shown else (0, 0)
        marked = len(self.context.workspace.marked)
        parts = [f"{marked} marked"] if marked else []
        parts += [f"←{left}"] if left else []
        parts += [f"{right} more →"] if right else []
        pane.border_subtitle = Content(" · ".join(parts))

    # Panes.

    def on_runs_table_highlighted(self, event: RunsTable.Highlighted) -> None:
        """Let all views know of the run under the cursor."""
        if event.run_id != self.context.workspace.current:
            self._current = self.context.workspace.current = event.run_id
            self.context.publish_workspace()

    def on_runs_table_header_clicked(self, event: RunsTable.HeaderClicked) -> None:
        """Sort by that column."""
        self.table_state.sort_by(event.key, time.time())
        self._rearranged()

    def on_runs_table_opened(self) -> None:
        """Watch what was clicked twice."""
        self.action_open()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the experiment under the cursor."""
        if self._pane == "experiments":
            self.context.workspace.experiment = event.option_id
            self._show_details()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Ask how to train it."""
        if event.option_id is not None:
            self.post_message(LaunchRequested(Launch(event.option_id)))

    def on_section_bar_picked(self, event: SectionBar.Picked) -> None:
        """Show that section."""
        self._feed.choose(event.name)
        self._show_details()

    def on_descendant_focus(self) -> None:
        """A pane that was clicked is the one that keys go to."""
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
        self._of_experiment = self._pane == "experiments"
        self._pane = pane
        # On a narrow screen only the pane in use has room.
        for each in _PANES:
            self.set_class(each == pane, f"-at-{each}")
        is_about_experiment = pane == "experiments" or (pane == "details" and self._of_experiment)
        self.context.workspace.experiment = (
            self.query_one(ExperimentList).current if is_about_experiment else None
        )
        self._show_details()

    _of_experiment = False

    def action_pane(self, by: int) -> None:
        """Go to another pane."""
        panes = _PANES if self.context.snapshot.runs else ("experiments", "details")
        place = panes.index(self._pane) if self._pane in panes else 0
        self._go_to(panes[(place + by) % len(panes)])

    def action_move(self, by: int) -> None:
        """Move in the pane in use."""
        match self._pane:
            case "runs":
                self.table.move(by)
            case "details":
                self._scroll.scroll_relative(y=by, animate=False)
            case "experiments":
                experiments = self.query_one(ExperimentList)
                (experiments.action_cursor_down if by > 0 else experiments.action_cursor_up)()

    def action_page(self, by: int) -> None:
        """Move by a page."""
        if self._pane == "details":
            self._scroll.scroll_relative(y=by * max(1, self._scroll.size.height - 1), animate=False)
        elif self._pane == "runs":
            self.table.move_page(by)

    def action_end(self, by: int) -> None:
        """Go to an end."""
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
        """Other columns, or another section."""
        if self._pane == "runs":
            self.table.shift_columns(by)
            self._title()
        else:
            self._feed.step(by)
            self._show_details()

    def action_section(self) -> None:
        """The next section of the details."""
        self._feed.step(1)
        self._show_details()

    def action_out(self) -> None:
        """One layer out: to the table, then without the filter."""
        if self._pane != "runs" and self.context.snapshot.runs:
            self._go_to("runs")
        elif self.table_state.filter_text:
            self.query_one(FilterBar).clear()

    # The table.

    def action_filter(self) -> None:
        """Write a filter."""
        if self.context.snapshot.runs:
            self._enter("runs")
            self.query_one(FilterBar).open()

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Filter while typing."""
        self.table_state.filter(event.text, time.time())
        self.query_one(FilterBar).show_problem(self.table_state.problem)
        if not self.table_state.problem:
            self._rearranged()

    def on_filter_bar_left(self) -> None:
        """Back to the table."""
        self.table.focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.table_state.sort_by_next(time.time())
        self._rearranged()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.table_state.sort_by(self.table_state.sort, time.time())
        self._rearranged()

    def action_columns(self) -> None:
        """Choose columns."""
        from transformer_playground.tui.runs.column_picker import ColumnsScreen

        settings = sorted(setting_keys(self.table_state.runs.values()))
        known = [("progress", "share of the steps, as a bar")]
        known += [(key, field.header) for key, field in FIELDS.items() if key != "run"]
        known += [(key, key) for key in settings]
        self.app.push_screen(ColumnsScreen(known, self.table_state.keys), self._take_columns)

    def _take_columns(self, keys: list[str] | None) -> None:
        if keys is not None:
            self.table_state.choose_columns(keys, time.time())
            self._rearranged()

    def _rearranged(self) -> None:
        state, settings = self.table_state, self.context.settings
        settings.remember("runs", "columns", list(state.keys))
        settings.remember("runs", "sort", state.sort)
        settings.remember("runs", "downwards", state.downwards)
        self.table.show()
        self._title()
        self._show_details()

    def action_mark(self) -> None:
        """Mark the run, and go on to the next."""
        if self.table.cursor is not None and self._pane == "runs":
            self.context.workspace.toggle_mark(self.table.cursor)
            self.table.refresh()
            self.table.move(1)
            self.context.publish_workspace()

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one("#details-scroll", VerticalScroll)

    @cached_property
    def _feed(self) -> "DetailsFeed":
        # Imported by the first look, which comes after the first frame.
        from transformer_playground.tui.runs.details_loader import DetailsFeed

        return DetailsFeed(self.context, self._show_details)
