"""Watch over all runs in training, and the list of what it raised."""

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformer_playground.runs.alerts import Alert
    from transformer_playground.runs.fields import RunInfo
    from transformer_playground.runs.series import RunSeries
    from transformer_playground.tui.core.run_tails import RunTails

MOST_ALERTS = 200
"""Alerts in the list; the oldest ones are dropped."""
RECENT = 86_400.0
"""Seconds before the start of the console in which a failure of a run is still an alert."""

_LEAST_INTERVAL = 5.0
# Share of one core.
_MAX_LOAD = 0.01
# Bytes of a file that are read when its run is first seen: some thousand rows.
_TAIL = 1 << 20


class AlertWatch:
    """Reads the newest rows of the runs in training; blocks, so call it in a thread.

    Args:
        runs_dir: Folder of the runs, whose disk is watched too.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._tails: RunTails | None = None
        self._examined: dict[str, _Examined] = {}
        self._is_checking = threading.Lock()
        # Unix time.
        self._began = time.time()
        # Time of the monotonic clock.
        self._next = 0.0

    def check(self, runs: "Mapping[str, RunInfo]") -> "tuple[Alert, ...]":
        """The alerts of runs in training, and of those that ended since; none before it is time.

        A run that failed between two checks is one of them, although none saw it in training.

        None either while another thread checks. The same ones are returned again and again: see
        `AlertLog`.
        """
        if time.monotonic() < self._next or not self._is_checking.acquire(blocking=False):
            return ()
        try:
            began = time.thread_time()
            found = self._check(runs)
            spent = time.thread_time() - began
            self._next = time.monotonic() + max(_LEAST_INTERVAL, spent / _MAX_LOAD)
            return found
        finally:
            self._is_checking.release()

    def _check(self, runs: "Mapping[str, RunInfo]") -> "tuple[Alert, ...]":
        # Imported by the first check, after the first frame.
        from transformer_playground.runs.alerts import alerts_of, disk_alert
        from transformer_playground.tui.core.run_tails import RunTails

        tails = self._tails = self._tails or RunTails(self._runs_dir, _TAIL)
        training = {run_id for run_id, row in runs.items() if row.state == "running"}
        missed = {
            run_id
            for run_id, row in runs.items()
            if row.state == "failed" and (row.updated or 0.0) >= self._began
        } - self._examined.keys()
        alerts: list[Alert] = []
        for run_id in sorted(training | missed | (set(tails.run_ids) & runs.keys())):
            series = tails.read(run_id)
            examined = self._examined.setdefault(run_id, _Examined())
            alerts += examined.new_of(alerts_of(run_id, series), series)
        tails.keep_only(training)
        disk = disk_alert(self._runs_dir)
        return (*alerts, *([disk] if disk else []))

    def earlier_failures(
        self, runs: "Mapping[str, RunInfo]", dismissed: "Mapping[str, float]"
    ) -> "tuple[Alert, ...]":
        """The alerts of runs that failed within a day before the watch began, oldest first.

        Args:
            runs: All runs by id.
            dismissed: Run id -> Unix time at which its failure was dismissed.
        """
        from transformer_playground.runs.alerts import failed_alert

        failed = [
            (row.updated, row)
            for row in runs.values()
            if row.state == "failed"
            and row.updated is not None
            and max(self._began - RECENT, dismissed.get(row.run_id, 0.0)) < row.updated
            and row.updated < self._began
        ]
        failed.sort(key=lambda each: each[0])
        return tuple(
            failed_alert(row.run_id, row.summary.step, at, row.problem)
            for at, row in failed[-MOST_ALERTS:]
        )


class _Examined:
    """How far the rows of a run had been examined when they were read again from a later tail.

    Without the rows before the tail a condition that lasts seems to begin in it, at another step,
    and would be raised again after it was dismissed.
    """

    def __init__(self) -> None:
        # Weak, so that the rows are freed once nobody reads them.
        self._series: weakref.ref[RunSeries] | None = None
        self._newest: int | None = None
        self._until: int | None = None

    def new_of(self, alerts: "Sequence[Alert]", series: "RunSeries") -> "Sequence[Alert]":
        """The alerts without those that begin where earlier rows had been examined.

        Args:
            alerts: All of the series.
        """
        if self._series is None or self._series() is not series:
            self._series, self._until = weakref.ref(series), self._newest
        steps = [series.newest(event, "step") for event in ("train", "eval")]
        self._newest = max((int(step) for step in steps if step is not None), default=None)
        if self._until is None or self._newest is None:
            return alerts
        # A run that was resumed from an earlier checkpoint trains the steps after it again.
        self._until = until = min(self._until, self._newest)
        first_rise = _first_possible_rise(series)
        return [
            alert
            for alert in alerts
            if alert.step is None
            or alert.kind == "failed"
            or (
                alert.step >= until
                and (alert.kind, alert.step) != ("validation rising", first_rise)
            )
        ]


def _first_possible_rise(series: "RunSeries") -> int | None:
    """Step at which the first evaluations of a tail raise an alert: they may have risen before."""
    import numpy as np

    from transformer_playground.runs.alerts import RISES

    losses, steps = series.column("eval", "val_loss"), series.column("eval", "step")
    compared = steps[np.isfinite(losses) & series.same_windows()]
    return int(compared[RISES]) if len(compared) > RISES else None


@dataclass
class AlertLog:
    """Alerts that were raised, each of them once; dismissed ones do not come back.

    Only the application's own thread changes it.

    Attributes:
        on_dismiss: Called with those that the user dismisses.
    """

    on_dismiss: "Callable[[Sequence[Alert]], object]" = lambda _: None
    _raised: "dict[object, Alert]" = field(default_factory=dict)
    _dismissed: set[object] = field(default_factory=set)

    def add(self, alerts: "Iterable[Alert]") -> "tuple[Alert, ...]":
        """Raise alerts; returns those that are new."""
        new = []
        for alert in alerts:
            if alert.key not in self._raised and alert.key not in self._dismissed:
                self._raised[alert.key] = alert
                new.append(alert)
        while len(self._raised) > MOST_ALERTS:
            self._dismissed.add(self._raised.pop(next(iter(self._raised))).key)
        return tuple(new)

    def dismiss(self, alert: "Alert") -> None:
        """Take an alert off the list."""
        if self._raised.pop(alert.key, None) is not None:
            self._dismissed.add(alert.key)
            self.on_dismiss((alert,))

    def dismiss_all(self) -> None:
        """Empty the list."""
        self._dismissed.update(self._raised)
        alerts = self.alerts
        self._raised.clear()
        self.on_dismiss(alerts)

    @property
    def alerts(self) -> "tuple[Alert, ...]":
        """The alerts of the list, the newest first."""
        return tuple(reversed(self._raised.values()))
