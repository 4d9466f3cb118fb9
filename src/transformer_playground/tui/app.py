"""The console: owner of training, of what the views share, and of the settings."""

import asyncio
import contextlib
import gc
import importlib
import signal
import sys
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.command import Provider
from textual.driver import Driver
from textual.screen import Screen
from textual.signal import Signal
from textual.timer import Timer

from transformer_playground.errors import ConfigError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import bindings_for, check_keymap
from transformer_playground.tui.core.job_queue import TrainingQueue, Update, describe, ending
from transformer_playground.tui.core.snapshot import Snapshot, look
from transformer_playground.tui.core.workspace import Workspace
from transformer_playground.tui.settings import (
    Settings,
    load_settings,
    save_settings,
    settings_path,
)
from transformer_playground.tui.themes import THEMES, LastingStylesheet

if TYPE_CHECKING:
    from rich.console import RenderableType

    from transformer_playground.tui.launch.service import Choice
    from transformer_playground.tui.sample.service import SamplingService

# Python's default of 5 ms is what a key press may wait for while training computes in Python.
_SWITCH_INTERVAL = 0.001
_DRAIN_SECONDS = 0.1
_FRAME_SECONDS = 0.01
# Below 60 x 16 a view says only that; two panes from 100 columns, three from 140.
_WIDTHS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide"), (140, "-broad")]
_HEIGHTS = [(0, "-flat"), (16, "-low"), (30, "-tall")]


def _view(name: str) -> Screen[None]:
    # Imported when first shown: the first frame needs one of them.
    module = importlib.import_module(f"transformer_playground.tui.{name}.view")
    view: type[Screen[None]] = getattr(module, f"{name.title()}View")
    return view()


def _commands() -> type[Provider]:
    # Imported when the palette is first opened.
    from transformer_playground.tui.palette import ConsoleCommands

    return ConsoleCommands


class Console(App[int], inherit_bindings=False):
    """The dashboard over `experiments/` and `runs/`.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
    """

    TITLE = "Transformer Playground"
    CSS_PATH = "console.tcss"
    COMMANDS: ClassVar = {_commands}
    # The footer sets this key apart at its end, where no other key pushes it out.
    COMMAND_PALETTE_BINDING = "question_mark"
    BINDINGS = bindings_for("everywhere")
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        name: partial(_view, name) for name in ("runs", "live", "sample", "compare")
    }
    DEFAULT_MODE = "runs"
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        super().__init__()
        self.experiments_dir, self.runs_dir = experiments_dir, runs_dir
        self.training = TrainingQueue(experiments_dir, runs_dir)
        self.workspace = Workspace()
        self.snapshot = Snapshot()
        self.has_looked = False
        self.activity = ""
        self._next_look: Timer | None = None
        self.settings = Settings()
        # The user's keys that are valid: id of a binding -> keys.
        self.keymap: dict[str, str] = {}
        self._may_save = True
        # What views follow: a new snapshot, a new choice of runs, what training did, a word on it.
        self.catalog_changed: Signal[Snapshot] = Signal(self, "catalog")
        self.choice_changed: Signal[Workspace] = Signal(self, "choice")
        self.training_changed: Signal[list[Update]] = Signal(self, "training")
        self.activity_changed: Signal[str] = Signal(self, "activity")
        for theme in THEMES:
            self.register_theme(theme)
        self._complaints = self._load_settings()
        # Made when the theme is known: other colours would have it read again.
        self.stylesheet = LastingStylesheet(variables=self.get_css_variables())

    @cached_property
    def sampling(self) -> "SamplingService":
        """One for all views: it keeps the models that were sampled from."""
        # Imported by the first view that samples.
        from transformer_playground.tui.sample.service import SamplingService

        return SamplingService(self.runs_dir)

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice, made to outlive its terminal where that can be lost."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from transformer_playground.tui.driver import TerminalDriver

        return TerminalDriver

    def on_mount(self) -> None:
        """Tell what is wrong with the settings, be ready to train, and heed signals."""
        sys.setswitchinterval(_SWITCH_INTERVAL)
        if self._complaints:
            text = visible("\n".join(self._complaints))
            self.notify(text, title="Settings", severity="warning", markup=False)
        self.run_worker(self.training.work, group="training", thread=True, exit_on_error=False)
        self._heed_signals()

    def on_ready(self) -> None:
        """Go on when the first frame, which a thread writes, has had time to reach the terminal."""
        self.set_timer(_FRAME_SECONDS, self._begin)

    def _begin(self) -> None:
        """Look around, and listen to what trains."""
        if not gc.isenabled():
            # The command has put it off. What is here now stays to the end: no need to go through.
            gc.freeze()
            gc.enable()
        self.look_around()
        self.set_interval(_DRAIN_SECONDS, self._drain)

    def _heed_signals(self) -> None:
        """A console that is told to end, or whose window closes, saves what trains first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Only the main thread of a process is told of signals.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self._leave_at_once, 128 + number)

    def _leave_at_once(self, code: int) -> None:
        self.training.close()
        self.set_interval(_DRAIN_SECONDS, partial(self._leave_when_saved, code))

    def _drain(self) -> None:
        """Publish what training did since the last time."""
        updates = self.training.drain()
        if not updates:
            return
        with self.batch_update():
            self.training_changed.publish(updates)
            self._say(describe(self.training, self.snapshot.runs))
        for update in updates:
            self._tell_of(update)

    def _tell_of(self, update: Update) -> None:
        """Say when a run ends or fails, and look at its files when it begins or ends."""
        job = update.job
        if update.news in ("started", "trained"):
            self.look_around()
        if update.news != "ended":
            return
        self.notify(
            visible(ending(job)),
            title=visible_line(job.name),
            severity="error" if job.state == "failed" else "information",
            markup=False,
        )
        if self.settings.bell:
            self.bell()

    def _say(self, activity: str) -> None:
        if activity != self.activity:
            self.activity = activity
            self.activity_changed.publish(activity)

    def look_around(self) -> None:
        """Refresh the snapshot in a thread; the next look follows by itself."""
        self.run_worker(self._look, group="look", thread=True, exclusive=True, exit_on_error=False)

    def _look(self) -> None:
        snapshot = look(self.experiments_dir, self.runs_dir)
        self.call_from_thread(self._take, snapshot)

    def _take(self, snapshot: Snapshot) -> None:
        self.snapshot, self.has_looked = snapshot, True
        # A run that is about to begin has no folder yet, but may be chosen.
        jobs = [job.run_id for job in self.training.jobs if job.run_id and not job.has_ended]
        self.workspace.keep_only([*snapshot.runs, *jobs])
        self.catalog_changed.publish(snapshot)
        if self._next_look is not None:
            # Whoever asked for a look in between must not start a second chain of looks.
            self._next_look.stop()
        self._next_look = self.set_timer(snapshot.next_look, self.look_around)

    def choose(self, *, current: str | None = None) -> None:
        """Publish a change of the workspace; `current` puts the cursor on a run first."""
        if current is not None:
            self.workspace.current = current
        self.choice_changed.publish(self.workspace)

    def action_view(self, name: str) -> None:
        """Go to a view."""
        self.switch_mode(name)

    def action_launch(self) -> None:
        """Ask what to train: the experiment under the cursor, or one of a list."""
        from transformer_playground.experiments.discovery import discover

        names = [experiment.name for experiment in discover(self.experiments_dir)]
        current = self.snapshot.runs.get(self.workspace.current or "")
        at_hand = self.workspace.experiment or (current.experiment if current else None)
        if at_hand in names or len(names) == 1:
            self.ask_launch(Launch(at_hand if at_hand in names else names[0]))
        elif names:
            self.run_worker(self._list_experiments, group="launch", thread=True, exclusive=True)
        else:
            text = f"No experiments in {self.experiments_dir}. Make one: tp new my_experiment"
            self.notify(visible(text), severity="warning", markup=False)

    def _list_experiments(self) -> None:
        from transformer_playground.tui.launch.service import choices

        found = choices(self.experiments_dir)
        self.call_from_thread(self._pick_experiment, found)

    def _pick_experiment(self, found: "list[Choice]") -> None:
        from transformer_playground.tui.dialogs.pick import PickScreen
        from transformer_playground.tui.launch.view import choice_options

        def take(name: str | None) -> None:
            if name is not None:
                self.ask_launch(Launch(name))

        self.push_screen(PickScreen("Train", choice_options(found), None), take)

    def action_branch(self) -> None:
        """Branch a new run off a checkpoint of the current one."""
        from transformer_playground.tui.launch.branch import branch_off

        branch_off(self)

    def ask_launch(self, launch: Launch) -> None:
        """Show the launch form; what it closes with is trained."""
        from transformer_playground.tui.launch.view import LaunchScreen

        self.push_screen(LaunchScreen(self.experiments_dir, self.runs_dir, launch), self.launch)

    def launch(self, launch: Launch | None) -> None:
        """Put a launch into the queue and go to where it can be watched."""
        if launch is None:
            return
        job = self.training.submit(launch)
        waits = self.training.active is not None or len(self.training.waiting) > 1
        words = f"{job.name} is {'queued' if waits else 'on its way'}."
        self.notify(visible(words), markup=False)
        self.choose(current=job.run_id)
        self.action_view("live")

    def action_keys(self) -> None:
        """Show every key."""
        from transformer_playground.tui.dialogs.help import KeysScreen
        from transformer_playground.tui.shared.view import View

        here = self.screen.NAME if isinstance(self.screen, View) else None
        self.push_screen(KeysScreen(self.keymap, here))

    def action_leave(self) -> None:
        """Quit; while something trains or waits, ask first."""
        if self.training.active is None and not self.training.waiting:
            self.exit(0)
            return
        from transformer_playground.tui.core.job_queue import question_before_leaving
        from transformer_playground.tui.dialogs.base import ConfirmScreen

        question, yes = question_before_leaving(self.training)
        answers = (("quit", yes), ("stay", "Stay"))
        self.push_screen(ConfirmScreen(question, answers), self._leave_if_confirmed)

    def _leave_if_confirmed(self, answer: str | None) -> None:
        if answer == "quit":
            job = self.training.active
            if job is None or not job.is_reporting:
                self._say("saving …")
            self.training.close()
            self.set_interval(_DRAIN_SECONDS, self._leave_when_saved)

    def _leave_when_saved(self, code: int = 0) -> None:
        if not any(worker.group == "training" and worker.is_running for worker in self.workers):
            self.exit(code)

    def exit(
        self,
        result: int | None = None,
        return_code: int = 0,
        message: "RenderableType | None" = None,
    ) -> None:
        """Leave once each view stands: one that is being built would miss parts of itself."""
        if self._is_building:
            again = partial(self.exit, result, return_code, message)
            self.set_timer(_DRAIN_SECONDS, again)
        else:
            super().exit(result, return_code, message)

    @property
    def _is_building(self) -> bool:
        for mode in self.MODES:
            # Only modes that were shown have screens.
            with contextlib.suppress(KeyError):
                if not all(screen.is_mounted for screen in self.get_screen_stack(mode)):
                    return True
        return False

    def on_unmount(self) -> None:
        """However the console ends, training saves and its thread ends with it."""
        self.training.close()
        self.save_settings()

    def _load_settings(self) -> list[str]:
        """Take over what the settings file says; return what is wrong with it."""
        complaints: list[str] = []
        try:
            self.settings = load_settings(settings_path())
        except ConfigError as error:
            self._may_save = False
            complaints.append(str(error))
        keymap, problems = check_keymap(self.settings.keys)
        self.keymap = keymap
        self.set_keymap(keymap)
        theme = self.settings.theme
        if theme is not None and theme not in self.available_themes:
            problems.append(f"There is no theme {theme}.")
            theme = None
        self.set_reactive(Console.theme, theme or THEMES[0].name)
        return complaints + problems

    def use_theme(self, name: str) -> None:
        """Change the colours, and remember them when the console closes."""
        self.theme = name

    def action_theme(self) -> None:
        """Change between dark and light."""
        names = [theme.name for theme in THEMES]
        at = names.index(self.theme) if self.theme in names else -1
        self.use_theme(names[(at + 1) % len(names)])

    def open_run(self, run_id: str) -> None:
        """Watch a run."""
        self.choose(current=run_id)
        self.action_view("live")

    def save_settings(self) -> None:
        """Write what is to be remembered; a disk that refuses is no reason to stop."""
        if not self._may_save:
            return
        self.settings.theme = self.theme
        try:
            save_settings(settings_path(), self.settings)
        except (OSError, ConfigError) as error:
            self.log(f"settings not saved: {error}")
