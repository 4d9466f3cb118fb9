"""What a run makes of itself when training ends: its loss plot and a small report.

Both are extras. They cost at most a small share of the time that the run has trained, and a run
that cannot have them is none the worse: the reason goes to the run's log.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.config.train import RuntimeConfig
from transformer_playground.runs.layout import RunFolder
from transformer_playground.training.sinks.lines import LogFileSink

# Share of the run's training time that both may take together.
BUDGET_SHARE = 0.05
# What a plot takes where the plotting library has to be loaded first, with room to spare.
PLOT_SECONDS = 1.5
# A report draws a few hundred samples and no more, however long the run was.
_LONGEST_REPORT = 120.0


@dataclass(frozen=True)
class Artifacts:
    """What was made, and a sentence for each thing that should have been made and was not."""

    paths: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()


def make_artifacts(
    run: RunFolder, settings: RuntimeConfig, *, wall_time: float, stopped: bool
) -> Artifacts:
    """Draw the loss plot of a run and report on it, if its settings and its budget allow.

    Args:
        run: A run whose training has just ended in good order.
        settings: Its `auto_plot` and `auto_report`.
        wall_time: Seconds that it has trained for.
        stopped: Whether someone asked it to stop and waits: then it makes the plot only.

    Returns:
        What was made. Nothing that goes wrong is raised.
    """
    making = _Making(run, budget=BUDGET_SHARE * wall_time)
    if settings.auto_plot:
        making.plot()
    if settings.auto_report and not stopped:
        making.report()
    return Artifacts(tuple(making.paths), tuple(making.remarks))


class _Making:
    """Keeps the time and what came of it."""

    def __init__(self, run: RunFolder, budget: float) -> None:
        self._run, self._budget, self._began = run, budget, time.monotonic()
        self.paths: list[Path] = []
        self.remarks: list[str] = []

    @property
    def _left(self) -> float:
        return self._budget - (time.monotonic() - self._began)

    def plot(self) -> None:
        command = f"tp plot-loss --run-id {self._run.run_id}"
        if self._left < PLOT_SECONDS:
            self._log(f"no loss plot: the run was too short for it; make it with: {command}")
            return
        self._attempt("loss plot", command, self._plotted)

    def report(self) -> None:
        command = f"tp report --run-id {self._run.run_id}"
        self._attempt("report", command, lambda: self._reported(command))

    def _plotted(self) -> Path:
        from transformer_playground.analysis.plot import FILE_NAME, PlotRequest, plot_loss

        return plot_loss([self._run], PlotRequest(self._run.reports / FILE_NAME)).path

    def _reported(self, command: str) -> Path | None:
        from transformer_playground.analysis.report_quick import MIN_SECONDS, quick_report

        seconds = min(self._left, _LONGEST_REPORT)
        if seconds < MIN_SECONDS:
            self._log(f"no report: the run was too short for it; make it with: {command}")
            return None
        return quick_report(self._run, seconds=seconds, notify=self._remark)

    def _attempt(self, what: str, command: str, make: Callable[[], Path | None]) -> None:
        try:
            path = make()
        except Exception as error:  # noqa: BLE001 - a trained run must not fail for want of extras
            self._remark(f"the {what} was not made: {error} Try: {command}")
            return
        if path is not None:
            self.paths.append(path)
            self._log(f"{what}: {path.relative_to(self._run.root)}")

    def _remark(self, sentence: str) -> None:
        self.remarks.append(sentence)
        self._log(f"warning: {sentence}")

    def _log(self, line: str) -> None:
        try:
            log = LogFileSink(self._run.log_path)
            try:
                log.write(line)
            finally:
                log.close()
        except OSError:
            # The log is for reading later; what was made or not made shows without it, too.
            return
