"""What a launch needs, as two lines of the launch form."""

from functools import partial
from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from transformer_playground.terminal import visible_line
from transformer_playground.training.estimate import Estimate
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.launch.estimate import (
    TimedSteps,
    known_estimate,
    needs_text,
    source_text,
)


class EstimateLine(Static):
    """Shows the estimate of a launch from earlier runs, then from timed steps on request.

    Args:
        hint: How to request timed steps.
    """

    def __init__(self, experiments_dir: Path, runs_dir: Path, hint: str) -> None:
        super().__init__("", id="launch-estimate")
        self._folders = experiments_dir, runs_dir
        self._hint = hint
        self._launch: Launch | None = None
        self._count = 1
        self._timed: TimedSteps | None = None
        self._results: dict[Launch, Estimate] = {}

    def follow(self, launch: Launch | None, count: int = 1) -> None:
        """Show the estimate of a new run, or nothing for None; steps of another are cancelled.

        Args:
            launch: The first of the runs.
            count: Number of runs like it.
        """
        if (launch, count) == (self._launch, self._count):
            return
        self._count = count
        self._cancel()
        self._launch = launch
        self.display = launch is not None
        if launch is None:
            return
        if (timed := self._results.get(launch)) is not None:
            self._show(timed)
            return
        self.run_worker(
            partial(self._find, launch),
            group="estimate",
            thread=True,
            exclusive=True,
            exit_on_error=False,
        )

    def measure(self, *, beside: bool) -> None:
        """Time a few steps of the launch; `beside` a run that trains at the same time."""
        if self._launch is None or self._timed is not None:
            return
        if self._launch.branch is not None:
            text = "Steps of a branch cannot be timed, only those of a new run."
            self.app.notify(text, severity="warning", markup=False)
            return
        self._timed = TimedSteps(*self._folders, self._launch)
        self._write("timing a few steps …", "beside a run that trains now" if beside else "")
        self.run_worker(
            partial(self._time, self._launch, self._timed),
            group="timed",
            thread=True,
            exit_on_error=False,
        )

    def on_unmount(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._timed is not None:
            self._timed.cancel()
            self._timed = None

    def _find(self, launch: Launch) -> None:
        found = known_estimate(*self._folders, launch)
        self.app.call_from_thread(self._take_known, launch, found)

    def _take_known(self, launch: Launch, found: Estimate | None) -> None:
        if launch != self._launch or self._timed is not None:
            return
        if found is None:
            self._write("known once the data is prepared", "")
        else:
            self._show(found)

    def _time(self, launch: Launch, steps: TimedSteps) -> None:
        outcome = steps.run()
        if outcome is not None:
            self.app.call_from_thread(self._take_timed, launch, steps, outcome)

    def _take_timed(self, launch: Launch, steps: TimedSteps, outcome: Estimate | str) -> None:
        if steps is not self._timed:
            return
        self._timed = None
        if isinstance(outcome, str):
            self._write("no steps could be timed", outcome)
            return
        self._results[launch] = outcome
        self._show(outcome)

    def _show(self, estimate: Estimate) -> None:
        source = source_text(estimate, context_of(self).name_of)
        is_branch = self._launch is not None and self._launch.branch is not None
        self._write(
            needs_text(estimate, self._count),
            source if estimate.timed_steps or is_branch else f"{source} · {self._hint}",
        )

    def _write(self, needs: str, source: str) -> None:
        label = ("needs".ljust(10), "$text-muted")
        lines = [Content.assemble(label, visible_line(needs))]
        if source:
            lines.append(Content.styled(" " * 10 + visible_line(source), "$text-muted"))
        self.update(Content("\n").join(lines))
