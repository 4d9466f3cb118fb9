"""Data view: the prepared dataset of a run or an experiment, as a model is fed with it."""

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import OptionList, Static

from transformer_playground.dataset_views.reading import CHANGED, StepBatch, read_batch
from transformer_playground.dataset_views.source import DataSource
from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.workspace import focus_of
from transformer_playground.tui.data.export import FORMATS, export_parts, parts_of
from transformer_playground.tui.data.jobs import Jobs
from transformer_playground.tui.data.lists import Lists, Results
from transformer_playground.tui.data.measuring import Measuring
from transformer_playground.tui.data.panes import ListPane, SentencePane, TextPane
from transformer_playground.tui.data.places import DataHost, Places
from transformer_playground.tui.data.preparing import Preparing
from transformer_playground.tui.data.service import (
    MOST_AT_ONCE,
    Awaited,
    DataService,
    Target,
    Task,
    counted_tokens,
)
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.panes import PaneDeck

_PANES = ("text", "batch", "vocabulary", "documents", "shared", "hardest")
_LONG_TASKS = ("count", "measure", "find", "prepare")
_HIDDEN_TASKS = ("open", "read", "batch", "find", "count", "await", "settings")
_LOOK_SECONDS = 1.0


class DataView(DataHost):
    """Shows tokens, batches and statistics of a dataset."""

    NAME = "data"
    CSS_PATH: ClassVar[CSSPathType | None] = "data.tcss"
    BINDINGS = bindings_for("data")
    AUTO_FOCUS: ClassVar[str | None] = "#data-text"

    def __init__(self) -> None:
        super().__init__()
        self.target: Target | None = None
        self.source: DataSource | None = None
        self.results = Results()
        self._experiment: tuple[str, str | None] | None = None
        self._problem: str = ""
        self._awaited: Awaited | None = None
        self._step = 1
        self.jobs, self._lists = Jobs(self, self._failed), Lists(self)
        self.places = Places(self)
        self._measuring = Measuring(self, self._lists)
        self._preparing = Preparing(self, self._open_again)
        self._stays_uncounted = False

    def compose_body(self) -> ComposeResult:
        yield Static(id="data-empty", markup=False)
        deck = PaneDeck(
            (
                ("Text", TextPane()),
                ("Batch", ListPane("batch")),
                ("Vocabulary", ListPane("vocabulary")),
                ("Documents", SentencePane("documents")),
                ("Shared lines", ListPane("shared")),
                ("Hardest", ListPane("hardest")),
            ),
            recent=(0, 1, 2, 3, 4, 5),
            first_above=True,
        )
        deck.id = "data-deck"
        yield deck
        yield Static(id="data-task", markup=False)

    def on_mount(self) -> None:
        self.service = DataService(self.context.experiments_dir, self.context.runs_dir)
        self._show_empty()
        self.set_interval(_LOOK_SECONDS, self._look_again)

    def on_screen_resume(self) -> None:
        # The base class refreshes the view, which tries once more to open what it could not.
        self._problem = ""

    def on_screen_suspend(self) -> None:
        # A dialog hides nothing; what the user has asked to be measured goes on.
        if self.app.current_mode != self.NAME:
            self.jobs.cancel(*_HIDDEN_TASKS)

    def on_unmount(self) -> None:
        self.jobs.close()

    @property
    def _deck(self) -> PaneDeck:
        return self.query_one(PaneDeck)

    @property
    def pane(self) -> str:
        """Name of the pane in front."""
        return next(name for name in _PANES if self.query_one(f"#data-{name}").has_class("-rank-0"))

    def refresh_view(self) -> None:
        """Open the dataset of the run in focus if it is not the one that is shown."""
        wanted = self._wanted()
        if wanted == self.target:
            if self.source is None and not self._problem:
                self._open()
            elif self.source is not None and not self.jobs.is_running("open"):
                self._count_if_small()
            return
        self.target = wanted
        self._forget()
        self._show_empty()
        if wanted is not None:
            self._open()

    def _wanted(self) -> Target | None:
        """What the user chose, the run in focus, or the newest; else an experiment."""
        workspace, runs = self.context.workspace, self.context.snapshot.runs
        if self._experiment is not None:
            name, current = self._experiment
            if current == workspace.current:
                return Target("experiment", name)
            self._experiment = None
        run_id = focus_of(workspace, [*runs])
        if run_id is not None:
            return Target("run", run_id)
        known = [each.name for each in self.context.snapshot.experiments]
        if workspace.experiment in known:
            return Target("experiment", str(workspace.experiment))
        return Target("experiment", known[0]) if known else None

    def _forget(self) -> None:
        self.jobs.cancel_all_but("prepare")
        self.source = None
        self.results = Results(sort=self.results.sort)
        self._problem, self._awaited = "", None
        self._step = 1
        self.places.forget()
        self._stays_uncounted = False

    def _open(self) -> None:
        target = self.target
        if target is not None:
            self._problem, self._awaited = "", None
            task = Task(f"opening the dataset of {target.name}")
            self.jobs.start("open", task, partial(self.service.open, target), self._opened)

    def _opened(self, source: DataSource) -> None:
        self.source = source
        self.results.counts = self.service.known_counts(source)
        self._show_empty()
        self._lists.show_all(source, self.results)
        self.places.read_again()
        self.read_batch(self._step)
        self._count_if_small()
        if self.focused is None:
            self._deck.enter()

    def _failed(self, kind: str, error: PlaygroundError) -> None:
        if kind == "open":
            # The hints of a run's dataset are options of commands.
            is_run = self.target is not None and self.target.kind == "run"
            self._problem = error.message if is_run else str(error)
            self._show_empty()
            if self.target is not None:
                work = partial(self.service.awaited, self.target)
                self.jobs.start("await", Task("looking for the dataset"), work, self._await)
        elif error.message == CHANGED:
            self.notify("The dataset was prepared again or removed: opening it.", markup=False)
            self._open_again()
        else:
            if kind == "count":
                self._stays_uncounted = True
            self.notify(visible(str(error)), severity="error", markup=False)

    def _open_again(self) -> None:
        """Open the dataset that has changed, at the same place."""
        split, first = self.places.split, self.places.first
        self._forget()
        self.places.split, self.places.first = split, first
        self._show_empty()
        if self.app.current_mode == self.NAME:
            self._open()

    def _await(self, awaited: Awaited) -> None:
        self._awaited = awaited

    def _look_again(self) -> None:
        """Open the dataset that was missing once it is prepared."""
        if self._awaited is not None and self.is_current and self._awaited.is_worth_a_try:
            self._open()

    def _show_empty(self) -> None:
        empty, is_empty = self.query_one("#data-empty", Static), self.source is None
        empty.display, self._deck.display = is_empty, not is_empty
        if not is_empty:
            return
        key, choose = self.key_hint("everywhere.new"), self.key_hint("data.run")
        if self.target is None:
            text = f"There is no run and no experiment yet.\n\nPress {key} to train one."
        elif self._problem:
            text = (
                f"{visible(self._problem)}\n\n{self.key_hint('data.prepare')} prepares it; {key} "
                f"trains an experiment; {choose} chooses another run or experiment."
            )
        else:
            text = "Opening the dataset …"
        empty.update(Content(text))

    def bring(self, pane: str) -> None:
        """Bring a pane to the front."""
        self._deck.open(_PANES.index(pane))

    def read_batch(self, step: int) -> None:
        """Show what a step draws."""
        source = self.source
        if source is not None and source.config.train.runtime.max_iters:
            work = partial(read_batch, source, step)
            self.jobs.start("batch", Task("drawing a batch"), work, self._show_batch)

    def _show_batch(self, batch: StepBatch) -> None:
        self._step, self.results.batch = batch.step, batch
        if self.source is not None:
            self._lists.show_batch(self.source, self.results)

    def _count_if_small(self) -> None:
        source = self.source
        if source is None or self.results.counts is not None or self._stays_uncounted:
            return
        if counted_tokens(source) <= MOST_AT_ONCE:
            self._measuring.count()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "stop":
            return self.jobs.is_running(*_LONG_TASKS)
        return super().check_action(action, parameters)

    def action_tab(self, by: int) -> None:
        self._deck.tab(by)

    def action_stop(self) -> None:
        self._stays_uncounted = self._stays_uncounted or self.jobs.is_running("count")
        self.jobs.cancel(*_LONG_TASKS)
        self.refresh_bindings()

    def action_out(self) -> None:
        if self.jobs.is_running(*_LONG_TASKS):
            self.action_stop()
        elif self.places.match is not None:
            self.places.leave_match()
        elif self.pane != "text":
            self.bring("text")
            self._deck.enter()

    def action_step(self, by: int) -> None:
        """Show the batch of an earlier or later step."""
        if self.source is not None:
            last = max(1, self.source.config.train.runtime.max_iters)
            self.bring("batch")
            self.read_batch(min(max(1, self._step + by), last))

    def action_sort(self) -> None:
        if self.source is not None:
            self.results.next_sort()
            self.bring("vocabulary")
            self._lists.show_vocabulary(self.source, self.results)

    def action_evaluate(self) -> None:
        """Count what is not counted; else measure tokens, or windows where these are shown."""
        source, pane = self.source, self.pane
        if source is None or self.jobs.is_running("measure"):
            return
        if self.results.counts is None and pane != "hardest":
            self._stays_uncounted = False
            self._measuring.count()
        elif source.run is None:
            key = self.key_hint("data.run")
            self.notify(
                f"An experiment has no model to measure: {key} chooses a run.", markup=False
            )
        elif pane == "hardest":
            self._measuring.windows(source)
        else:
            self._measuring.tokens(source)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go to what the entry of a list is about."""
        event.stop()
        number, results, source = event.option_index, self.results, self.source
        if source is None:
            return
        match self.pane:
            case "batch" if results.batch is not None:
                self.places.show_sequence(results.batch, number)
            case "vocabulary":
                self.places.find(results.rows[number].token)
            case "shared":
                line = results.shared[number]
                self.places.go("train", line.train_token)
            case "hardest" if results.hardest is not None:
                self.places.go("val", results.hardest[number].first)

    def action_run(self) -> None:
        """Choose another run or experiment."""
        context = self.context
        options = [
            (f"run/{run_id}", Content(f"run         {context.name_of(run_id)}"))
            for run_id in context.snapshot.runs
        ] + [
            (f"experiment/{each.name}", Content(f"experiment  {visible(each.name)}"))
            for each in context.snapshot.experiments
        ]
        current = f"{self.target.kind}/{self.target.name}" if self.target else None
        pick = PickScreen("Dataset of", options, current)
        self.app.push_screen(pick, self._choose)

    def _choose(self, chosen: str | None) -> None:
        if chosen is None:
            return
        kind, _, name = chosen.partition("/")
        if kind == "experiment":
            self._experiment = name, self.context.workspace.current
            self.refresh_view()
        else:
            self._experiment = None
            self.context.publish_workspace(current=name, opened=True)

    def action_goto(self) -> None:
        self.places.ask_where("step" if self.pane == "batch" else "token")

    def action_search(self) -> None:
        self.places.ask_text()

    def action_match(self, by: int) -> None:
        self.places.find_again(backwards=by < 0)

    def action_move(self, by: int) -> None:
        self.places.move(by)

    def action_end(self, by: int) -> None:
        self.places.go_to_end(by)

    def action_random(self) -> None:
        self.places.go_anywhere()

    def action_split(self) -> None:
        self.places.other_split()

    def action_inside(self) -> None:
        self.places.look_inside()

    def action_prepare(self) -> None:
        """Prepare the dataset again, or one that is missing."""
        if self.target is not None:
            self._preparing.ask(self.target)

    def action_export(self) -> None:
        source = self.source
        if source is None:
            return
        try:
            parts = parts_of(self.pane, source, self.results, self.places.shown)
        except PlaygroundError as error:
            self.notify(visible(str(error)), severity="warning", markup=False)
            return

        def write(kind: str | None) -> None:
            if kind is not None:
                export_in_worker(self, partial(export_parts, kind, source, parts, Path.cwd()))

        options = [(kind, Content(label)) for kind, label in FORMATS.items()]
        self.app.push_screen(PickScreen("Export as", options, None), write)

    def action_copy(self) -> None:
        text = self.places.text
        if text:
            self.app.copy_to_clipboard(visible(text))
            self.notify("Copied the text of the window.", markup=False)
