"""Model view: the modules of a model, what they cost, and how their weights move."""

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.types import CSSPathType
from textual.widgets import Static

from transformer_playground.files import modified
from transformer_playground.runs.folder import RunFolder
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.model.choices import (
    NOTHING,
    checkpoint_options,
    other_options,
    subject_here,
    subject_id,
    subject_of,
    subject_options,
    suggested,
)
from transformer_playground.tui.model.details_state import facts, module_lines
from transformer_playground.tui.model.export import FORMATS, export_model, model_markdown
from transformer_playground.tui.model.reading import (
    Ask,
    PinnedCheckpoints,
    Reading,
    Shown,
    Subject,
)
from transformer_playground.tui.model.service import ModelReader
from transformer_playground.tui.model.table_state import (
    QUANTITIES,
    Quantity,
    TableState,
    quantity_named,
)
from transformer_playground.tui.model.tree_state import Folds
from transformer_playground.tui.model.tree_table import ModuleTable
from transformer_playground.tui.runs.details_pane import line_content
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.view import View

# Weights are counted only when the cursor rests, not for each module that it passes.
_REST_SECONDS = 0.15
_NEEDS_MODEL = ("fold", "fold_all", "details", "quantity", "copy", "export", "turn")
_NOTHING = "No runs and no experiments yet.\n\n{} trains a run."

_READING = "Reading the model. The first one takes some seconds."


class ModelView(View):
    """Shows one model, or two side by side; everything is read in a worker thread."""

    NAME = "model"
    CSS_PATH: ClassVar[CSSPathType | None] = "model.tcss"
    BINDINGS = bindings_for("model")
    AUTO_FOCUS: ClassVar[str | None] = "#model-table"

    def __init__(self) -> None:
        super().__init__()
        self.shown: Shown | None = None
        self._state = TableState(Shown(Ask(Subject("")), Reading(Subject(""))))
        self._folds = Folds()
        self._quantity: Quantity = "update"
        # What the user picked here, and what the rest of the console was at then.
        self._picked: tuple[Subject, Subject | None] | None = None
        self._pinned = PinnedCheckpoints()
        self._other: Subject | None = None
        self._measured_large: set[str] = set()
        self._shows_details: bool | None = None
        self._number = 0
        self._working: Ask | None = None
        self._done: tuple[Ask, object] | None = None
        self._rest: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(id="model-empty", markup=False)
        with Container(id="model"):
            yield Static(id="model-facts", markup=False)
            with Horizontal(id="model-panes"):
                with Container(id="model-tree", classes="pane"):
                    yield ModuleTable(self._folds)
                with VerticalScroll(id="model-details", classes="pane"):
                    yield Static(id="model-details-text", markup=False)

    def on_mount(self) -> None:
        context = self.context
        self._reader = ModelReader(context.experiments_dir, context.runs_dir)
        kept = context.settings.remembered("model", "quantity", "update")
        self._quantity = quantity_named(kept)

    @property
    def table(self) -> ModuleTable:
        return self.query_one(ModuleTable)

    @property
    def is_reading(self) -> bool:
        return self._working is not None

    def on_screen_suspend(self) -> None:
        """End what is being read, and free the models; a dialog on top changes nothing."""
        if self.app.current_mode == self.NAME:
            return
        self._number += 1
        self._done = None
        self._reader.release()

    def refresh_view(self) -> None:
        """Read what is wanted now, unless that is known or under way."""
        ask = self._ask()
        is_empty = ask is None
        self.query_one("#model-empty").display = is_empty
        self.query_one("#model").display = not is_empty
        if ask is None:
            self._number += 1
            self.shown = None
            text = _NOTHING.format(self.key_hint("everywhere.new"))
            self.query_one("#model-empty", Static).update(Content(text))
            return
        if self._working is not None:
            if ask != self._working:
                # It ends at its next step, and what is wanted then is read.
                self._number += 1
            return
        files = self._files(ask)
        if (ask, files) != self._done:
            self._start(ask, files)

    def _start(self, ask: Ask, files: object) -> None:
        self._number += 1
        self._working, self._done = ask, (ask, files)
        if self.shown is None:
            self.query_one("#model-facts", Static).update(Content(_READING))
        work = partial(self._work, self._number, ask)
        self.run_worker(work, group="model", thread=True, exit_on_error=False)

    def _work(self, number: int, ask: Ask) -> None:
        try:
            self._reader.work(
                ask,
                lambda shown: self.app.call_from_thread(self._show, number, shown),
                lambda: number == self._number,
            )
        finally:
            self.app.call_from_thread(self._end, number)

    def _end(self, number: int) -> None:
        self._working = None
        if number != self._number:
            self._done = None
            if self.is_current:
                self.refresh_view()

    def _show(self, number: int, shown: Shown) -> None:
        if number == self._number and shown != self.shown:
            self.shown = shown
            self._draw()

    def _files(self, ask: Ask) -> object:
        """What tells that there is something new to read: not each new row of the metrics."""
        subjects = (each for each in (ask.subject, ask.other) if each is not None and each.is_run)
        runs = [RunFolder(self.context.runs_dir / each.name) for each in subjects]
        return [(modified(run.checkpoints), modified(run.config_path)) for run in runs]

    def _ask(self) -> Ask | None:
        subject = self._subject()
        if subject is None:
            return None
        names = {subject.name, self._other.name if self._other else ""}
        row = self.table.row
        return Ask(
            subject,
            self._other,
            row.name if row is not None and self._has_details else None,
            measures_large=bool(names & self._measured_large),
            threads=1 if self.context.training.is_computing else None,
        )

    def _subject(self) -> Subject | None:
        here = subject_here(self.context)
        if self._picked is not None and self._picked[1] != here:
            self._picked = None
        subject = here if self._picked is None else self._picked[0]
        return None if subject is None else self._pinned.of(subject)

    @property
    def _has_details(self) -> bool:
        if self._shows_details is None:
            return self.has_class("-broad")
        return self._shows_details

    def on_resize(self) -> None:
        if self.shown is not None:
            self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            return
        self.set_class(self._has_details, "-details")
        self._state = TableState(shown, self._quantity)
        lines = facts(shown, self.key_hint("model.measure"))
        self.query_one("#model-facts", Static).update(line_content(lines))
        self.table.show(self._state)
        pane = self.query_one("#model-tree")
        pane.border_title = Content(self._title(shown))
        pane.border_subtitle = Content("" if shown.is_complete else "measuring …")
        self._draw_details()
        self.refresh_bindings()

    def _title(self, shown: Shown) -> str:
        readings = [shown.reading, *([shown.other] if shown.other else [])]
        return " | ".join(self._name_of(each, shown) for each in readings)

    def _name_of(self, reading: Reading, shown: Shown) -> str:
        subject = reading.subject
        if not subject.is_run:
            return visible_line(f"experiment {subject.name} · not trained")
        step = reading.step
        when = f" · step {step:,}" if step is not None else ""
        if reading.chosen is not None and not when:
            when = f" · {reading.chosen}"
        if shown.is_complete and not when:
            when = " · no checkpoint"
        return visible_line(f"{self.context.name_of(subject.name)}{when}")

    def _draw_details(self) -> None:
        row = self.table.row
        if not self._has_details:
            return
        pane = self.query_one("#model-details")
        width = max(20, pane.content_size.width - 1)
        lines = module_lines(self._state, row, width) if row is not None else []
        self.query_one("#model-details-text", Static).update(line_content(lines))

    def on_module_table_highlighted(self) -> None:
        self._draw_details()
        if self._has_details:
            if self._rest is not None:
                self._rest.stop()
            self._rest = self.set_timer(_REST_SECONDS, self._when_resting)

    def _when_resting(self) -> None:
        if self.is_current:
            self.refresh_view()

    def on_module_table_folded(self) -> None:
        self.action_fold()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _NEEDS_MODEL and not self._state.tree.rows:
            return None
        if action == "measure":
            shown = self.shown
            return shown is not None and any(
                each is not None and each.is_waiting for each in (shown.reading, shown.other)
            )
        return super().check_action(action, parameters)

    def action_step(self, by: int) -> None:
        self.table.move(by)

    def action_page(self, by: int) -> None:
        self.table.move_page(by)

    def action_end(self, by: int) -> None:
        self.table.move_to_end(by)

    def action_fold(self) -> None:
        """Fold or unfold the module."""
        row = self.table.row
        if row is not None:
            self._folds.set(row, folded=not self._folds.is_folded(row))
            self.table.show(self._state)

    def action_turn(self, by: int) -> None:
        """Unfold the module, or fold it; fold again to go to the module around it."""
        row = self.table.row
        if row is None:
            return
        is_open = row.has_children and not self._folds.is_folded(row)
        if by > 0 and is_open:
            self.table.move(1)
        elif by < 0 and not is_open:
            self.table.move_out()
        else:
            self._folds.set(row, folded=by < 0)
            self.table.show(self._state)

    def action_fold_all(self, folded: bool) -> None:
        self._folds.set_all(folded=folded)
        self.table.show(self._state)

    def action_details(self) -> None:
        """Show or hide the module's details with a histogram of its weights."""
        self._shows_details = not self._has_details
        self._draw()
        self.refresh_view()

    def action_measure(self) -> None:
        ask = self._ask()
        if ask is not None:
            self._measured_large |= {each.name for each in (ask.subject, ask.other) if each}
            self.refresh_view()

    def action_quantity(self) -> None:
        """Choose what the small curves show."""
        options = [(key, Content(title)) for key, title in QUANTITIES.items()]
        pick = PickScreen("Curves over the checkpoints", options, self._quantity)
        self.app.push_screen(pick, self._choose_quantity)

    def _choose_quantity(self, key: str | None) -> None:
        if key is not None:
            self._quantity = quantity_named(key)
            self.context.settings.remember("model", "quantity", key)
            self._draw()

    def action_pick_run(self) -> None:
        """Choose the run or experiment to look at."""
        current = self._subject()
        chosen = subject_id(current) if current else None
        pick = PickScreen("Run or experiment", subject_options(self.context), chosen)
        self.app.push_screen(pick, self._pick)

    def _pick(self, chosen: str | None) -> None:
        if chosen is not None:
            self._picked = subject_of(chosen), subject_here(self.context)
            self.refresh_view()

    def action_focus_run(self, by: int) -> None:
        """Look at the next run."""
        runs, subject = [*self.context.snapshot.runs], self._subject()
        if runs:
            at = runs.index(subject.name) if subject and subject.name in runs else -1
            self._picked = Subject(runs[(at + by) % len(runs)]), subject_here(self.context)
            self.refresh_view()

    def action_pick_checkpoint(self) -> None:
        reading = self.shown.reading if self.shown else None
        if reading is not None and reading.found:
            pick = PickScreen("Checkpoint", checkpoint_options(reading), reading.chosen)
            self.app.push_screen(pick, partial(self._choose_checkpoint, reading))

    def _choose_checkpoint(self, reading: Reading, name: str | None) -> None:
        if name is not None and self._pinned.pin(reading, name, self._subject()):
            self.refresh_view()

    def action_scrub(self, by: int) -> None:
        """Go to an earlier or later checkpoint."""
        reading = self.shown.reading if self.shown else None
        found = [each.checkpoint for each in reading.found] if reading else []
        if reading is not None and reading.chosen in found:
            place = min(max(0, found.index(reading.chosen) + by), len(found) - 1)
            self._choose_checkpoint(reading, found[place])

    def action_beside(self) -> None:
        """Choose what the model is compared with."""
        reading = self.shown.reading if self.shown else None
        options = other_options(self.context, reading, is_compared=self._other is not None)
        current = subject_id(self._other) if self._other else suggested(self.context, reading)
        self.app.push_screen(PickScreen("Compare with", options, current), self._compare)

    def _compare(self, chosen: str | None) -> None:
        if chosen is not None:
            self._other = None if chosen == NOTHING else subject_of(chosen)
            self.refresh_view()

    def action_copy(self) -> None:
        if self.shown is not None:
            text = model_markdown(self._state, self._title(self.shown))
            self.app.copy_to_clipboard(visible(text))
            self.notify("Copied the table as Markdown.", markup=False)

    def action_export(self) -> None:
        options = [(kind, Content(label)) for kind, label in FORMATS.items()]
        self.app.push_screen(PickScreen("Export as", options, None), self._export)

    def _export(self, kind: str | None) -> None:
        if kind is not None and self.shown is not None:
            title = self._title(self.shown)
            export_in_worker(self, partial(export_model, kind, self._state, title, Path.cwd()))

    def action_out(self) -> None:
        """Hide the details that were opened, else end the comparison."""
        if self._has_details and not self.has_class("-broad"):
            self.action_details()
        elif self._other is not None:
            self._compare(NOTHING)
