"""Sweep view: all sweeps, and the results of one, which fill while its runs finish."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import OptionList, Static

from transformer_playground.formatting import counted
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.naming import setting_headers
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.runs.filter_bar import FilterBar
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.view import View, styled_lines
from transformer_playground.tui.sweep.control import SweepControl
from transformer_playground.tui.sweep.parallel import Ink, parallel_rows
from transformer_playground.tui.sweep.service import (
    FORMATS,
    SweepReader,
    SweepReading,
    SweepResults,
    export_results,
    markdown_text,
)
from transformer_playground.tui.sweep.sweep_list import SweepList
from transformer_playground.tui.sweep.sweep_state import (
    Choice,
    Picture,
    heat_choices,
    read_picture,
    run_of,
)
from transformer_playground.tui.sweep.sweep_text import (
    NO_SWEEPS,
    Tone,
    detail_line,
    effect_lines,
    heat_lines,
    progress_text,
    title_text,
)
from transformer_playground.tui.sweep.table import ConfigurationsTable, FigurePane

_STYLES: dict[Tone | Ink, str] = {
    "plain": "$foreground",
    "muted": "$text-muted",
    "full": "$primary",
    "unsure": "$primary",
    "best": "bold $success",
    "live": "$accent",
    "bad": "$error",
    "text": "$foreground 80%",
    "axis": "$text-muted",
    "poor": "$text-muted",
    "middle": "$primary",
    "good": "$success",
    "current": "bold $accent",
}
# Share of one core that reading may use, so that training keeps the rest.
_MAX_CPU_SHARE = 0.05
_NEEDS_RESULTS = (
    *("open", "filter", "quantity", "export", "copy", "resume", "stop", "first"),
    *("add", "mark_all", "maximise"),
)


class SweepView(View):
    """Reads sweeps while it is shown."""

    NAME = "sweep"
    CSS_PATH: ClassVar[CSSPathType | None] = ["../runs/runs.tcss", "sweep.tcss"]
    BINDINGS = bindings_for("sweep")
    AUTO_FOCUS: ClassVar[str | None] = "#sweep-table"

    def __init__(self) -> None:
        super().__init__()
        self.choice = Choice()
        self.picture = Picture(SweepReading(), self.choice)
        self.readings = 0
        self._is_reading = self._is_outdated = False
        # Time of the monotonic clock.
        self._next_reading = 0.0
        self._shown: tuple[SweepResults | None, Choice] | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(id="sweep-empty", markup=False)
        with Container(id="sweep"):
            yield Static(id="sweep-title", markup=False)
            yield SweepList()
            with Container(id="sweep-results"):
                yield ConfigurationsTable()
                yield FigurePane("effects", "effect on val loss")
                yield FigurePane("heat", "heat map")
                yield FigurePane("parallel", "runs")
        yield FilterBar(self)

    def on_mount(self) -> None:
        context = self.context
        self._reader = SweepReader(context.sweeps_dir, context.experiments_dir, context.runs_dir)
        self.control = SweepControl(context, self.read_again)
        self.query_one("#sweep-empty").display = self.query_one("#sweep").display = False
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())

    @property
    def runs(self) -> Mapping[str, RunInfo]:
        """The runs of the shown sweep, which the filter completes from."""
        states = self.picture.results.states if self.picture.results else ()
        return {each.row.run_id: each.row for each in states if each.row}

    @property
    def table(self) -> ConfigurationsTable:
        return self.query_one(ConfigurationsTable)

    @property
    def sweeps(self) -> SweepList:
        return self.query_one(SweepList)

    def refresh_view(self) -> None:
        """Read the sweeps, unless that was a moment ago."""
        wanted = self.context.workspace.sweep
        if wanted != self.choice.sweep:
            self.choice = Choice(wanted, self.choice.filter_text)
            self.read_again()
        elif time.monotonic() >= self._next_reading:
            self.read_again()

    def read_again(self) -> None:
        """Read the sweeps now, or as soon as the reading that goes on has ended."""
        if self._is_reading:
            self._is_outdated = True
            return
        self._is_reading = True
        read = partial(self._read_in_thread, self.choice)
        self.run_worker(read, group="sweep", thread=True, exit_on_error=False)

    def _read_in_thread(self, choice: Choice) -> None:
        picture, ended = None, dict[str, str]()
        began = time.thread_time()
        try:
            picture = read_picture(self._reader, choice, time.time())
            ended = self.control.processes.take_ended()
        finally:
            spent = time.thread_time() - began
            self.app.call_from_thread(self._take, picture, ended, spent)

    def _take(self, picture: Picture | None, ended: Mapping[str, str], spent: float) -> None:
        self._is_reading = False
        self._next_reading = time.monotonic() + spent / _MAX_CPU_SHARE
        self.control.say_ended(ended)
        if picture is not None:
            self.readings += 1
            self.picture = picture
            if self.is_current:
                self._draw()
        if self._is_outdated:
            self._is_outdated = False
            if self.is_current:
                self.read_again()

    def _draw(self) -> None:
        picture, reading = self.picture, self.picture.reading
        is_empty = not reading.rows
        empty, body = self.query_one("#sweep-empty", Static), self.query_one("#sweep")
        if is_empty:
            new, sweep = self.key_hint("everywhere.new"), self.key_hint("launch.sweep")
            text = visible(picture.fault) or NO_SWEEPS.format(new=new, sweep=sweep)
            empty.update(Content(text))
        was_empty = not body.display
        empty.display, body.display = is_empty, not is_empty
        is_wanted = picture.choice.sweep == self.choice.sweep
        self.sweeps.show(reading.rows, reading.chosen if is_wanted else self.choice.sweep)
        shown = (picture.results, picture.choice)
        if shown != self._shown:
            had_results = self._shown is not None and self._shown[0] is not None
            self._shown = shown
            with self.app.batch_update():
                self._draw_results(picture)
            if had_results != (picture.results is not None):
                self.refresh_bindings()
        if was_empty and not is_empty and self.focused is None:
            self.set_focus(self.table)

    def _draw_results(self, picture: Picture) -> None:
        results = picture.results
        self.query_one("#sweep-title", Static).update(self._title(picture))
        if self.query_one(FilterBar).display:
            self.query_one(FilterBar).show_problem(picture.problem)
        seeds = len(results.sweep.seeds) if results else 1
        effects = results.effects if results else ()
        self._show(
            "effects", lambda width, _: styled_lines(effect_lines(effects, seeds, width), _STYLES)
        )
        self._show("heat", lambda width, _: styled_lines(heat_lines(picture.heat, width), _STYLES))
        title = "heat map"
        if picture.heat is not None:
            headers = setting_headers(picture.heat.keys)
            down, across = (headers[key] for key in picture.heat.keys)
            title = f"val loss: {down} × {across}"
        self.query_one("#sweep-heat").border_title = Content(visible_line(title))
        self.table.show(picture.combinations, results.requested if results else ())
        total, kept = len(results.combinations) if results else 0, len(picture.combinations)
        count = f"{kept:,} of {total:,}" if kept != total else f"{total:,}"
        self.table.border_title = Content(f"configurations · {count}")
        self._draw_current()

    def _draw_current(self) -> None:
        """What depends on the combination under the cursor."""
        picture, current = self.picture, self.table.current
        ids = {each.row.run_id for each in current.states if each.row} if current else set[str]()
        self._show(
            "parallel",
            lambda width, height: (
                styled_lines(
                    parallel_rows(picture.axes, picture.lines, ids, width, height), _STYLES
                )
                if picture.lines
                else Content.styled("No run has finished yet.", _STYLES["muted"])
            ),
        )
        kept = (
            f" · {visible_line(picture.choice.filter_text)}" if picture.choice.filter_text else ""
        )
        self.query_one("#sweep-parallel").border_title = Content(
            f"runs · {len(picture.lines):,} lines{kept}"
        )
        self.table.border_subtitle = Content(detail_line(current, self.context.name_of))

    def _show(self, name: str, draw: Callable[[int, int], Content]) -> None:
        self.query_one(f"#sweep-{name}", FigurePane).show(draw)

    def _title(self, picture: Picture) -> Content:
        """Name, size and progress, then the verdict; or why there is no result."""
        results = picture.results
        if results is None:
            rows = {row.sweep_id: row for row in picture.reading.rows}
            row = rows.get(picture.reading.chosen or "")
            problem = visible(row.problem) if row else ""
            return Content.styled(problem, "$error")
        progress = progress_text(results)
        if self.control.processes.is_running(results.sweep.sweep_id):
            progress += " · trained by a process of this console"
        parts: list[tuple[str, str]] = [
            (title_text(results), "bold"),
            ("\n", ""),
            (visible_line(progress), _STYLES["live" if results.counts["running"] else "plain"]),
        ]
        if results.verdict:
            parts.append((f"\n{visible_line(results.verdict)}", _STYLES["muted"]))
        return Content.assemble(*parts)

    def on_sweep_list_chosen(self, event: SweepList.Chosen) -> None:
        if event.sweep_id != (self.choice.sweep or self.picture.reading.chosen):
            self.context.workspace.sweep = event.sweep_id
            self.choice = Choice(event.sweep_id, self.choice.filter_text)
            self.read_again()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.set_focus(self.table)

    def on_configurations_table_moved(self) -> None:
        self._draw_current()

    @property
    def run_shown(self) -> str | None:
        row = run_of(self.table.current) if self.table.current else None
        return row.run_id if row else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _NEEDS_RESULTS and self.picture.results is None:
            return None
        return super().check_action(action, parameters)

    def action_open(self) -> None:
        """Open a run of the combination under the cursor in Live."""
        run_id = self.run_shown
        if run_id is None:
            self.notify("This configuration has not been trained yet.", markup=False)
            return
        self.context.publish_workspace(current=run_id, opened=True)
        self.app.switch_mode("live")

    def action_mark_all(self) -> None:
        """Select the runs of the combinations that are shown, for the other views."""
        workspace = self.context.workspace
        found = [
            state.row.run_id
            for each in self.picture.combinations
            for state in each.states
            if state.row
        ]
        workspace.selected[:] = found
        self.context.publish_workspace()
        self.notify(f"Selected {counted(len(found), 'run')}.", markup=False)

    def action_filter(self) -> None:
        bar = self.query_one(FilterBar)
        bar.complete()
        self.call_after_refresh(bar.open)

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        self.choice = Choice(self.choice.sweep, event.text, self.choice.heat_keys)
        self.read_again()

    def on_filter_bar_closed(self) -> None:
        self.set_focus(self.table)

    def action_quantity(self) -> None:
        """Choose the settings of the heat map."""
        results = self.picture.results
        found = heat_choices(results) if results else []
        if not found:
            self.notify("A heat map needs two settings that vary.", markup=False)
            return
        headers = setting_headers(results.sweep.keys if results else ())
        options = [
            (f"{down} {across}", Content(visible_line(f"{headers[down]} × {headers[across]}")))
            for down, across in found
        ]
        shown = " ".join(self.picture.heat.keys) if self.picture.heat else None
        self.app.push_screen(PickScreen("Heat map: rows × columns", options, shown), self._set_heat)

    def _set_heat(self, keys: str | None) -> None:
        if keys is not None:
            down, _, across = keys.partition(" ")
            self.choice = Choice(self.choice.sweep, self.choice.filter_text, (down, across))
            self.read_again()

    def action_export(self) -> None:
        options = [(kind, Content(label)) for kind, label in FORMATS.items()]
        self.app.push_screen(PickScreen("Export as", options, None), self._export)

    def _export(self, kind: str | None) -> None:
        results = self.picture.results
        if kind is not None and results is not None:
            export_in_worker(self, partial(export_results, results, kind, Path.cwd()))

    def action_copy(self) -> None:
        if self.picture.results is not None:
            self.app.copy_to_clipboard(visible(markdown_text(self.picture.results)))
            self.notify("Copied the results as Markdown.", markup=False)

    def _shown_sweep(self) -> tuple[SweepFolder, SweepResults] | None:
        """The sweep to act on; None after saying that another one has been chosen."""
        chosen, results = self.picture.reading.chosen, self.picture.results
        if chosen is None or results is None:
            return None
        if self.picture.choice.sweep != self.choice.sweep or self.sweeps.at != chosen:
            self.notify("The chosen sweep is still being read.", markup=False)
            return None
        return SweepFolder(self.context.sweeps_dir / chosen), results

    def action_resume(self) -> None:
        if shown := self._shown_sweep():
            self.control.start(*shown)

    def action_add(self) -> None:
        if shown := self._shown_sweep():
            self.control.add(*shown)

    def action_stop(self) -> None:
        if shown := self._shown_sweep():
            self.control.stop(*shown)

    def action_first(self) -> None:
        current = self.table.current
        if current is not None and (shown := self._shown_sweep()):
            self.control.train_next(shown[0], current)

    def action_pane(self, by: int) -> None:
        chain = [each for each in self.query(".pane") if each.can_focus and each.display]
        focused = self.focused
        place = chain.index(focused) if focused in chain else -by
        self.set_focus(chain[(place + by) % len(chain)])

    def action_maximise(self) -> None:
        body, focused = self.query_one("#sweep"), self.focused
        is_large = not body.has_class("-large")
        for pane in self.query(".pane"):
            pane.set_class(is_large and pane is focused, "-only")
        body.set_class(is_large and focused is not None, "-large")

    def action_out(self) -> None:
        """Restore the panes, else clear the filter."""
        bar = self.query_one(FilterBar)
        if self.query_one("#sweep").has_class("-large"):
            self.action_maximise()
        elif bar.display:
            bar.clear()
            self.set_focus(self.table)
