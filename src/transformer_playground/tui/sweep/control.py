"""Control of sweeps: start, stop, and what is trained next."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError
from transformer_playground.formatting import counted, duration_text
from transformer_playground.sweeps.additions import add_to_sweep, parse_addition
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.results import Combination, values_text
from transformer_playground.sweeps.runner import stop_sweep
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.terminal import visible, visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.dialogs.edit_text import EditTextScreen
from transformer_playground.tui.dialogs.preparer import confirm_preparer
from transformer_playground.tui.shared.work import answer_in_thread
from transformer_playground.tui.sweep.processes import SweepProcesses
from transformer_playground.tui.sweep.service import SweepResults, train_next
from transformer_playground.tui.sweep.sweep_text import addition_hint

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel


def _is_trained(name: str) -> str:
    return f"{name} is being trained by a process of this console."


class SweepControl:
    """Starts processes that train sweeps, and asks any process by files in the sweep's folder.

    Args:
        context: The console's context.
        changed: Called in the application's own thread when a request has been made.
    """

    def __init__(self, context: AppContext, changed: Callable[[], None]) -> None:
        self._context, self._changed = context, changed
        self.processes = SweepProcesses(context.experiments_dir, context.runs_dir)
        # Sweeps whose code is being checked before they start.
        self._checking: set[str] = set()

    def start(self, folder: SweepFolder, results: SweepResults) -> None:
        """Train what is left, in a process that outlives the console."""
        name = visible_line(folder.root.name)
        if folder.root.name in self._checking or self.processes.is_running(folder.root.name):
            self._notify(_is_trained(name))
        elif not results.counts["open"]:
            self._notify(f"{name}: no run is left to train.")
        elif results.counts["running"]:
            question = (
                f"Another process trains {name}. Train it by a second one side by side? They share"
                " the CPU."
            )
            self._ask(question, (("start", "Train"),), lambda _: self._check(folder, results.sweep))
        else:
            self._check(folder, results.sweep)

    def _check(self, folder: SweepFolder, sweep: Sweep) -> None:
        """Ask before code of the experiment runs that is new on this machine."""
        context = self._context
        launch = Launch(sweep.experiment, sweep.settings, config=sweep.config)
        self._checking.add(folder.root.name)

        def find() -> Path | None:
            return context.known_preparers.unknown_in(
                context.experiments_dir, context.runs_dir, launch
            )

        def ask(unknown: Path | PlaygroundError | None) -> None:
            self._checking.discard(folder.root.name)
            if isinstance(unknown, PlaygroundError):
                self._notify(str(unknown), "error")
            else:
                start = partial(self._start, folder)
                confirm_preparer(context, unknown, partial(self._work, "Starting the sweep", start))

        what = f"Starting {folder.root.name}"
        answer_in_thread(context.app, what, find, ask, group="sweep-control")

    def _start(self, folder: SweepFolder) -> str:
        if not self.processes.start(folder):
            return _is_trained(folder.root.name)
        return f"Training {folder.root.name}. It goes on when the console is closed."

    def stop(self, folder: SweepFolder, results: SweepResults) -> None:
        """Stop all processes that train a sweep, now or after the run of each."""
        name = visible_line(folder.root.name)
        question = (
            f"Stop {name}? No further run is started, by any process. A run in training saves a"
            " checkpoint and can be resumed, or ends first."
        )
        answers = (("now", "Save and stop"), ("later", "After this run"))

        def stop(answer: str) -> str:
            finish = answer == "later"
            asked = stop_sweep(folder, results.sweep, self._context.runs_dir, finish_runs=finish)
            runs = (
                f"; asked {len(asked)} run{'s' if len(asked) > 1 else ''} to stop" if asked else ""
            )
            return f"{folder.root.name} starts no further run{runs}."

        self._ask(
            question,
            answers,
            lambda answer: self._work("Stopping the sweep", partial(stop, answer)),
        )

    def add(self, folder: SweepFolder, results: SweepResults) -> None:
        """Ask for values, seeds or runs that are added to a sweep."""
        context, sweep = self._context, results.sweep

        def write(text: str) -> str:
            addition = parse_addition(text)
            planned = add_to_sweep(folder, addition, context.experiments_dir, context.runs_dir)
            left = sum(each.state == "open" for each in planned.states)
            cost, time = f"{counted(left, 'run')} to train", planned.seconds
            return f"{next(planned.lines())}; {cost}" + (
                "" if time is None else f", about {duration_text(time)}"
            )

        def take(text: str | None) -> None:
            if text is not None:
                self._work("Adding to the sweep", partial(write, text))

        screen = EditTextScreen(
            f"Add to {folder.root.name}",
            "",
            lambda text: parse_addition(text).to(sweep),
            addition_hint(sweep),
            does="adds",
        )
        context.app.push_screen(screen, take)

    def train_next(self, folder: SweepFolder, combination: Combination) -> None:
        """Train the waiting runs of a combination before all others."""

        def request() -> str:
            count = train_next(folder, combination.states)
            runs = f" ({count} runs)" if count > 1 else ""
            return f"Next: {values_text(combination.values) or folder.root.name}{runs}."

        self._work("Changing the order", request)

    def say_ended(self, ended: Mapping[str, str]) -> None:
        """Say which processes have ended, and why if they could not train."""
        for name, problem in ended.items():
            text = (
                f"{name}: {problem}" if problem else f"The process that trained {name} has ended."
            )
            self._notify(text, "error" if problem else "information")

    def _ask(
        self, question: str, answers: tuple[tuple[str, str], ...], then: Callable[[str], None]
    ) -> None:
        def take(answer: str | None) -> None:
            if answer not in (None, "cancel"):
                then(answer)

        screen = ConfirmScreen(question, (*answers, ("cancel", "Cancel")))
        self._context.app.push_screen(screen, take)

    def _work(self, what: str, do: Callable[[], str]) -> None:
        """Do something in a thread, and say what has been done or why not."""

        def said(text: str | PlaygroundError) -> None:
            self._notify(str(text), "error" if isinstance(text, PlaygroundError) else "information")
            self._changed()

        answer_in_thread(self._context.app, what, do, said, group="sweep-control")

    def _notify(self, text: str, severity: "SeverityLevel" = "information") -> None:
        self._context.app.notify(visible(text), severity=severity, markup=False)
