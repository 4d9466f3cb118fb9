"""The Textual application of the console: views, signals, settings and exit."""

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import App
from textual.command import Provider
from textual.driver import Driver
from textual.screen import Screen

from transformer_playground.errors import ConfigError
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for, check_keymap
from transformer_playground.tui.contrast import readable_variables
from transformer_playground.tui.core.context import AppContext, LaunchRequested, Notice
from transformer_playground.tui.core.input_order import InputOrder, KeyFollower
from transformer_playground.tui.settings import (
    load_settings,
    save_settings,
    settings_path,
)
from transformer_playground.tui.shared.job_control import has_job_control
from transformer_playground.tui.shared.view import VIEWS
from transformer_playground.tui.themes import THEMES, CachedStylesheet

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.notifications import SeverityLevel

    from transformer_playground.tui.core.job_queue import Update

# Seconds that a thread waits at most for another one that runs Python: 5 ms by default. Training
# calls kernels one by one and would wait for each while the console draws, and a key press while
# training runs Python.
_SWITCH_INTERVAL = 0.00005
_DRAIN_SECONDS = 0.1
_FRAME_SECONDS = 0.03
_NOTICE_SIGNS = {"information": "", "warning": "! ", "error": "✗ "}
# Below 60 x 16 only a notice is shown; two panes from 100 columns, three from 140.
_WIDTHS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide"), (140, "-broad")]
_HEIGHTS = [(0, "-flat"), (16, "-low"), (30, "-tall")]


def _view(name: str) -> Screen[None]:
    # Imported when first shown: the first frame needs only one of them.
    module = importlib.import_module(f"transformer_playground.tui.{name}.view")
    view: type[Screen[None]] = getattr(module, f"{name.title()}View")
    return view()


def _commands() -> type[Provider]:
    # Imported when the palette is first opened.
    from transformer_playground.tui.palette import ConsoleCommands

    return ConsoleCommands


class Console(App[int], inherit_bindings=False):
    """The dashboard of experiments and runs."""

    TITLE = "Transformer Playground"
    CSS_PATH = "console.tcss"
    COMMANDS: ClassVar = {_commands}
    # The key bar shows this key at its end, where other keys cannot displace it.
    COMMAND_PALETTE_BINDING = "question_mark"
    BINDINGS = bindings_for("everywhere")
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        name: partial(_view, name) for _, name, _ in VIEWS
    }
    DEFAULT_MODE = "runs"
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    def __init__(
        self, experiments_dir: Path, runs_dir: Path, sweeps_dir: Path = SWEEPS_DIR
    ) -> None:
        super().__init__()
        self.context = AppContext(self, experiments_dir, runs_dir, sweeps_dir)
        self._input_order = InputOrder(self, super().on_event)
        self._may_save = True
        for theme in THEMES:
            self.register_theme(theme)
        self._settings_problems = self._load_settings()
        # Created when the theme is known: other colours would make Textual parse it again.
        self.stylesheet = CachedStylesheet(variables=self.get_css_variables())

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice, extended for a lost terminal and for a server that has ended."""
        chosen = super().get_driver_class()
        match chosen.__name__:
            case "LinuxDriver":
                from transformer_playground.tui.driver import TerminalDriver

                return TerminalDriver
            case "WebDriver":
                from transformer_playground.tui.web_driver import ServedDriver

                return ServedDriver
            case _:
                return chosen

    def get_css_variables(self) -> dict[str, str]:
        self.theme_variables = readable_variables(super().get_css_variables())
        return self.theme_variables

    async def on_event(self, event: events.Event) -> None:
        """Handle input events in order; all others as Textual does."""
        is_input = isinstance(event, (events.InputEvent, events.Paste))
        if is_input and not event.is_forwarded:
            await self._input_order.put(event)
        else:
            await super().on_event(event)

    async def on_key_follower(self, follower: KeyFollower) -> None:
        await self._input_order.on_follower(follower)

    def on_mount(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        if self._settings_problems:
            text = visible("\n".join(self._settings_problems))
            self.notify(text, title="Settings", severity="warning", markup=False)
        self._handle_signals()

    def on_ready(self) -> None:
        # A thread writes the first frame: give it time to reach the terminal.
        self.set_timer(_FRAME_SECONDS, self._start)

    def _start(self) -> None:
        if not gc.isenabled():
            # The entry point disabled it. Objects alive now live until exit: never scan them.
            gc.freeze()
            gc.enable()
        self.context.refresh_snapshot()
        self.run_worker(
            self.context.training.work, group="training", thread=True, exit_on_error=False
        )
        self.set_interval(_DRAIN_SECONDS, self._drain)

    def _handle_signals(self) -> None:
        """Save running training before a signal or a closed terminal ends the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Only the main thread of a process may handle signals.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self._exit_on_signal, 128 + number)

    def _exit_on_signal(self, code: int) -> None:
        self.context.training.close()
        self.set_interval(_DRAIN_SECONDS, partial(self._exit_when_saved, code))

    def _drain(self) -> None:
        """Publish the training updates since the last call."""
        context = self.context
        updates = context.training.drain()
        if not updates:
            return
        from transformer_playground.tui.core.job_text import activity_text

        active = context.training.active
        context.workspace.follow_training(active.run_id if active else None)
        with self.batch_update():
            context.training_changed.publish(updates)
            text = activity_text(context.training, context.snapshot.runs, context.name_of)
            context.set_activity(text)
        for update in updates:
            self._handle_update(update)

    def _handle_update(self, update: "Update") -> None:
        job = update.job
        if update.kind in ("started", "trained"):
            self.context.refresh_snapshot()
        if update.kind != "ended":
            return
        from transformer_playground.tui.core.job_text import job_label, outcome_text

        self.notify(
            visible(outcome_text(job)),
            title=job_label(job, self.context.name_of),
            severity="error" if job.state == "failed" else "information",
            markup=False,
        )
        if self.context.settings.bell:
            self.bell()

    def action_view(self, name: str) -> None:
        self.switch_mode(name)

    def action_launch(self) -> None:
        from transformer_playground.tui.launch.actions import new_launch

        new_launch(self.context)

    @property
    def _run_shown(self) -> str | None:
        from transformer_playground.tui.shared.view import View

        screen = self.screen
        return screen.run_shown if isinstance(screen, View) else self.context.workspace.current

    def action_again(self) -> None:
        from transformer_playground.tui.launch.actions import train_again

        train_again(self.context, self._run_shown)

    def action_share(self) -> None:
        from transformer_playground.tui.shared.share import share_runs

        share_runs(self.screen, self.context)

    def action_branch(self) -> None:
        from transformer_playground.tui.launch.actions import branch_from_checkpoint

        branch_from_checkpoint(self.context, self._run_shown)

    def on_launch_requested(self, event: LaunchRequested) -> None:
        from transformer_playground.tui.launch.actions import edit_launch

        edit_launch(self.context, event.launch)

    def action_keys(self) -> None:
        from transformer_playground.tui.dialogs.help import KeysScreen
        from transformer_playground.tui.shared.view import View

        here = self.screen.NAME if isinstance(self.screen, View) else None
        self.push_screen(KeysScreen(self.context.keymap, here))

    def action_suspend_console(self) -> None:
        """Return to the shell, as Ctrl-Z does elsewhere; in raw mode the terminal does not."""
        # A served console has no shell either, and its driver cannot be suspended.
        if self._driver is not None and self._driver.can_suspend and has_job_control():
            os.kill(os.getpid(), signal.SIGTSTP)
        else:
            self.notify("There is no shell to return to.", markup=False)

    def action_notices(self) -> None:
        from transformer_playground.tui.dialogs.notices import NoticesScreen

        self.push_screen(NoticesScreen(list(self.context.notices)))

    def action_queue(self) -> None:
        from transformer_playground.tui.dialogs.queue import QueueScreen

        self.push_screen(QueueScreen(self.context))

    def action_alerts(self) -> None:
        from transformer_playground.tui.dialogs.alerts import AlertsScreen

        screen = AlertsScreen(self.context.alerts, self.context.name_of)
        self.push_screen(screen, self._leave_alerts)

    def _leave_alerts(self, run_id: str | None) -> None:
        """Some may have been dismissed; go to the chosen run."""
        self.context.alerts_changed.publish(self.context.alerts)
        if run_id in self.context.snapshot.runs:
            self.context.publish_workspace(current=run_id)
            self.context.workspace.opened = run_id
            self.switch_mode("live")

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: "SeverityLevel" = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a notice in the line above the key bar; the last ones are kept for the list."""
        text = " ".join(f"{title}: {message}".split()) if title else " ".join(message.split())
        self.context.notices.append(Notice(time.time(), severity, text))
        super().notify(
            f"{_NOTICE_SIGNS[severity]}{text}", severity=severity, timeout=timeout, markup=markup
        )

    def action_leave(self) -> None:
        """Quit; confirm first while a run trains, waits or is exported."""
        training = self.context.training
        export = self.context.exports.active
        if training.active is None and not training.waiting and export is None:
            self.exit(0)
            return
        from transformer_playground.tui.core.job_text import quit_question
        from transformer_playground.tui.dialogs.base import ConfirmScreen

        exported = export.run_id if export else None
        question, yes = quit_question(training, exported, self.context.name_of)
        answers = (("quit", yes), ("cancel", "Cancel"))
        self.push_screen(ConfirmScreen(question, answers), self._exit_if_confirmed)

    def _exit_if_confirmed(self, answer: str | None) -> None:
        if answer == "quit":
            job = self.context.training.active
            if job is not None and not job.is_reporting:
                self.context.set_activity("saving …")
            self.context.training.close()
            self.set_interval(_DRAIN_SECONDS, self._exit_when_saved)

    def _exit_when_saved(self, code: int = 0) -> None:
        if not any(worker.group == "training" and worker.is_running for worker in self.workers):
            self.exit(code)

    def exit(
        self,
        result: int | None = None,
        return_code: int = 0,
        message: "RenderableType | None" = None,
    ) -> None:
        """Exit once every view is mounted: a view that is still composing would fail."""
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
        # Also after an unexpected exit, training saves and its thread ends.
        self.context.training.close()
        self.context.exports.close()
        self._save_settings()

    def _load_settings(self) -> list[str]:
        """Apply the settings file; return its errors."""
        problems: list[str] = []
        try:
            self.context.settings = load_settings(settings_path())
        except ConfigError as error:
            self._may_save = False
            problems.append(str(error))
        # Saving would overwrite what the user has yet to correct.
        self._may_save &= not self.context.settings.problems
        problems += self.context.settings.problems
        self.context.keymap, invalid = check_keymap(self.context.settings.keys)
        problems += invalid
        self.set_keymap(self.context.keymap)
        theme = self.context.settings.theme
        if theme is not None and theme not in self.available_themes:
            self._may_save = False
            problems.append(f"There is no theme {theme}.")
            theme = None
        self.set_reactive(Console.theme, theme or THEMES[0].name)
        return problems

    def action_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]

    def _save_settings(self) -> None:
        if not self._may_save:
            return
        self.context.settings.theme = self.theme
        try:
            save_settings(settings_path(), self.context.settings)
        except (OSError, ConfigError) as error:
            self.log(f"settings not saved: {error}")
