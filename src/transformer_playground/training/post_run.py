"""Post-run artifacts: the loss plot, a small report and exports, made when training ends.

Plot and report are limited to a small fraction of the training time; a failure is not raised.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.runs.folder import RunFolder, reports_folder
from transformer_playground.training.exports import make_exports
from transformer_playground.training.sinks.text import LogFileSink

# Fraction of the run's training time that both may take together.
BUDGET_SHARE = 0.05
# A generous estimate, including the import of the plotting library.
PLOT_SECONDS = 1.5
# Enough for a few hundred samples.
_MAX_REPORT_SECONDS = 120.0


@dataclass(frozen=True)
class Artifacts:
    """Paths of the files written, and a warning for each failure.

    `exports` are the folders of exports; a failed one is in `failures`, since it was asked for.
    """

    paths: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    exports: tuple[Path, ...] = ()
    failures: tuple[str, ...] = ()


def make_artifacts(
    run: RunFolder, config: ExperimentConfig, *, wall_time: float, stopped: bool
) -> Artifacts:
    """Write the loss plot, the report and the exports of a run, as settings and time allow.

    Plot and report have a time budget; exports, which must be asked for, have none.

    Errors become warnings of the result; none is raised.

    Args:
        run: A run whose training has just ended without an error.
        config: Source of `train.runtime.auto_plot`, `auto_report` and `[export]`.
        wall_time: Training time in seconds.
        stopped: Whether a user stopped the run and is waiting: then only the plot is made.
    """
    settings = config.train.runtime
    job = _PostRun(run, budget=BUDGET_SHARE * wall_time)
    if settings.auto_plot:
        job.attempt("loss plot", "tp plot-loss", PLOT_SECONDS, job.plot)
    if settings.auto_report and not stopped:
        from transformer_playground.report.quick import MIN_SECONDS

        job.attempt("report", "tp report", MIN_SECONDS, job.report)
    exports, failures = ([], []) if stopped else make_exports(run, config, job.log)
    return Artifacts(tuple(job.paths), tuple(job.warnings), tuple(exports), tuple(failures))


class _PostRun:
    """Tracks the time budget and collects the results."""

    def __init__(self, run: RunFolder, budget: float) -> None:
        self._run, self._deadline = run, time.monotonic() + budget
        self.paths: list[Path] = []
        self.warnings: list[str] = []

    def attempt(
        self, what: str, command: str, min_seconds: float, make: Callable[[float], Path | None]
    ) -> None:
        """Call `make` with the seconds left, unless that is less than `min_seconds`."""
        command = f"{command} --run-id {self._run.run_id}"
        seconds = self._deadline - time.monotonic()
        if seconds < min_seconds:
            self.log(f"no {what}: the run was too short; create it with: {command}")
            return
        try:
            path = make(seconds)
        except Exception as error:  # noqa: BLE001 - a trained run must not fail for a plot
            self._warn(f"the {what} was not made: {error} Try: {command}")
            return
        if path is not None:
            self.paths.append(path)
            self.log(f"{what}: {path.relative_to(self._run.root)}")

    def plot(self, _seconds: float) -> Path:
        from transformer_playground.plots.loss_curves import PlotRequest
        from transformer_playground.plots.loss_plot import FILE_NAME, plot_loss

        return plot_loss([self._run], PlotRequest(reports_folder(self._run) / FILE_NAME)).path

    def report(self, seconds: float) -> Path | None:
        from transformer_playground.report.quick import quick_report

        seconds = min(seconds, _MAX_REPORT_SECONDS)
        return quick_report(self._run, seconds=seconds, notify=self._warn)

    def _warn(self, sentence: str) -> None:
        self.warnings.append(sentence)
        self.log(f"warning: {sentence}")

    def log(self, line: str) -> None:
        """Append a line to the run's log."""
        # A finished run must not fail because of its log.
        with contextlib.suppress(OSError):
            log = LogFileSink(self._run.log_path)
            with contextlib.closing(log):
                log.write(line)
