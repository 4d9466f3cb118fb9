"""Watch over all runs in training, and the list of what it raised."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.runs.metrics import tail_offset

if TYPE_CHECKING:
    from transformer_playground.runs.alerts import Alert
    from transformer_playground.runs.fields import RunInfo
    from transformer_playground.runs.series import RunSeries

MOST_ALERTS = 200
"""Alerts in the list; the oldest ones are dropped."""

_LEAST_INTERVAL = 5.0
# Share of one core.
_MAX_LOAD = 0.01
# Bytes of a file that are read when its run is first seen: some thousand rows.
_TAIL = 1 << 20
# A run that is watched for long is read anew from its tail, so that memory stays bounded.
_MOST_ROWS = 20_000


class AlertWatch:
    """Reads the newest rows of the runs in training; blocks, so call it in a thread.

    Args:
        runs_dir: Folder of the runs, whose disk is watched too.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._watched: dict[str, RunSeries] = {}
        # Time of the monotonic clock.
        self._next = 0.0

    def check(self, runs: "Mapping[str, RunInfo]") -> "tuple[Alert, ...]":
        """The alerts of runs in training, and of those that ended since; none before it is time.

        The same ones are returned again and again: see `AlertLog`.
        """
        if time.monotonic() < self._next:
            return ()
        began = time.thread_time()
        found = self._check(runs)
        spent = time.thread_time() - began
        self._next = time.monotonic() + max(_LEAST_INTERVAL, spent / _MAX_LOAD)
        return found

    def _check(self, runs: "Mapping[str, RunInfo]") -> "tuple[Alert, ...]":
        # Imported by the first check, after the first frame.
        from transformer_playground.runs.alerts import alerts_of, disk_alert

        training = {run_id for run_id, row in runs.items() if row.state == "running"}
        alerts: list[Alert] = []
        for run_id in sorted(training | (self._watched.keys() & runs.keys())):
            series = self._series(run_id)
            series.poll()
            alerts += alerts_of(run_id, series)
        self._watched = {
            run_id: series
            for run_id, series in self._watched.items()
            if run_id in training and series.rows < _MOST_ROWS
        }
        disk = disk_alert(self._runs_dir)
        return (*alerts, *([disk] if disk else []))

    def _series(self, run_id: str) -> "RunSeries":
        from transformer_playground.runs.folder import RunFolder
        from transformer_playground.runs.series import RunSeries

        known = self._watched.get(run_id)
        if known is None:
            path = RunFolder(self._runs_dir / run_id).metrics_path
            known = self._watched[run_id] = RunSeries(path, tail_offset(path, _TAIL))
        return known


@dataclass
class AlertLog:
    """Alerts that were raised, each of them once; dismissed ones do not come back.

    Only the application's own thread changes it.
    """

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

    def dismiss_all(self) -> None:
        """Empty the list."""
        self._dismissed.update(self._raised)
        self._raised.clear()

    @property
    def alerts(self) -> "tuple[Alert, ...]":
        """The alerts of the list, the newest first."""
        return tuple(reversed(self._raised.values()))
