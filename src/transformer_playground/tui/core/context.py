"""Application context: state that all views share, and signals that announce its changes."""

from collections import deque
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.signal import Signal
from textual.timer import Timer

from transformer_playground.formatting import counted
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.alert_watch import AlertLog, AlertWatch
from transformer_playground.tui.core.snapshot import Snapshot, next_snapshot
from transformer_playground.tui.core.workspace import Workspace
from transformer_playground.tui.settings import Settings

if TYPE_CHECKING:
    from transformer_playground.runs.alerts import Alert
    from transformer_playground.runs.naming import RunNames
    from transformer_playground.training.launch import Launch
    from transformer_playground.tui.core.dismissed_failures import DismissedFailures
    from transformer_playground.tui.core.exports import Exports
    from transformer_playground.tui.core.job_queue import TrainingQueue, Update
    from transformer_playground.tui.core.known_preparers import KnownPreparers
    from transformer_playground.tui.core.sampling import SamplingService


MOST_NOTICES = 10
"""Number of notices that are kept for the list."""

# Cells of a short name, the most that one has at the end of its line.
_SHORT_NAME = 24


class Notice(NamedTuple):
    """A notice that was shown; `text` is safe to print."""

    time: float
    severity: str
    text: str


class LaunchRequested(Message):
    """Request to open the launch form."""

    def __init__(self, launch: "Launch") -> None:
        super().__init__()
        self.launch = launch


class AppContext:
    """State shared by the views; only the application's own thread changes it.

    Attributes:
        has_snapshot: Whether they have been listed at all.
        keymap: The user's valid keys, id of a binding -> keys.
        activity: One line about running and queued training, at the top right.
    """

    def __init__(
        self, app: App[int], experiments_dir: Path, runs_dir: Path, sweeps_dir: Path
    ) -> None:
        self.app = app
        self.experiments_dir, self.runs_dir = experiments_dir, runs_dir
        self.sweeps_dir = sweeps_dir
        self.workspace = Workspace()
        self.snapshot = Snapshot()
        self.has_snapshot = False
        self.settings = Settings()
        self.keymap: dict[str, str] = {}
        self.activity = ""
        self.notices: deque[Notice] = deque(maxlen=MOST_NOTICES)
        self.alerts = AlertLog(self._remember_dismissed)
        self.snapshot_changed: Signal[Snapshot] = Signal(app, "snapshot")
        self.workspace_changed: Signal[Workspace] = Signal(app, "workspace")
        self.training_changed: Signal[list[Update]] = Signal(app, "training")
        self.activity_changed: Signal[str] = Signal(app, "activity")
        self.alerts_changed: Signal[AlertLog] = Signal(app, "alerts")
        # The last result of `short_names`, which each drawing asks for.
        self._short_names: tuple[RunNames | None, tuple[str, ...], dict[str, str]] = None, (), {}
        self._next_refresh: Timer | None = None
        self._alert_watch = AlertWatch(runs_dir)

    @cached_property
    def known_preparers(self) -> "KnownPreparers":
        from transformer_playground.tui.core.known_preparers import KnownPreparers

        return KnownPreparers()

    @cached_property
    def _dismissed_failures(self) -> "DismissedFailures":
        # Imported by the first listing, after the first frame.
        from transformer_playground.tui.core.dismissed_failures import DismissedFailures

        return DismissedFailures(self.runs_dir)

    @cached_property
    def training(self) -> "TrainingQueue":
        # Imported after the first frame.
        from transformer_playground.tui.core.job_queue import TrainingQueue

        return TrainingQueue(self.experiments_dir, self.runs_dir, self.known_preparers.unknown_of)

    @cached_property
    def sampling(self) -> "SamplingService":
        """One service for all views, because it caches loaded models."""
        # Imported by the first view that samples.
        from transformer_playground.tui.core.sampling import SamplingService

        return SamplingService(self.runs_dir)

    @cached_property
    def exports(self) -> "Exports":
        # Imported by the first export.
        from transformer_playground.tui.core.exports import Exports

        return Exports(self.experiments_dir, self.runs_dir)

    def name_of(self, run_id: str) -> str:
        """What to call a run: its settings, or the name that the user gave it; safe to print."""
        names = self.snapshot.names
        return visible_line(names.label(run_id) if names else run_id)

    def short_names(self, run_ids: "Iterable[str]") -> dict[str, str]:
        """Names for little room, by what differs among only these runs; safe to print."""
        ids = tuple(run_ids)
        known = self.snapshot.names
        if known is None or len(ids) < 2:
            return {run_id: self.name_of(run_id) for run_id in ids}
        if self._short_names[:2] != (known, ids):
            own = known.among(ids)
            names = {run_id: visible_line(own.short(run_id, _SHORT_NAME)) for run_id in ids}
            self._short_names = known, ids, names
        return self._short_names[2]

    @property
    def is_dark(self) -> bool:
        return self.app.current_theme.dark

    def refresh_snapshot(self) -> None:
        """List experiments and runs in a thread, now and again after a while."""
        self.app.run_worker(
            self._list, group="snapshot", thread=True, exclusive=True, exit_on_error=False
        )

    def _list(self) -> None:
        is_first = not self.has_snapshot
        snapshot = next_snapshot(self.experiments_dir, self.runs_dir, self.snapshot)
        self.app.call_from_thread(self._set_snapshot, snapshot)
        if is_first:
            dismissed = self._dismissed_failures.times()
            failures = self._alert_watch.earlier_failures(snapshot.runs, dismissed)
            self.app.call_from_thread(self._list_failures, failures)
        alerts = self._alert_watch.check(snapshot.runs)
        if alerts:
            self.app.call_from_thread(self.raise_alerts, alerts)

    def _set_snapshot(self, snapshot: Snapshot) -> None:
        problem = snapshot.problem
        if problem is not None and problem != self.snapshot.problem:
            self.app.notify(visible(problem), severity="error", markup=False)
        self.snapshot, self.has_snapshot = snapshot, True
        # A run that is about to start has no folder yet, but may be selected.
        jobs = [job.run_id for job in self.training.jobs if job.run_id and not job.has_ended]
        self.workspace.keep_only([*snapshot.runs, *jobs])
        self.snapshot_changed.publish(snapshot)
        if self._next_refresh is not None:
            # A refresh on request must not start a second series of timers.
            self._next_refresh.stop()
        self._next_refresh = self.app.set_timer(snapshot.next_refresh, self.refresh_snapshot)

    def raise_alerts(self, alerts: "Iterable[Alert]") -> None:
        """Put alerts on the list, each once, and say the newest in the line of notices."""
        new = self.alerts.add(alerts)
        if not new:
            return
        newest = new[-1]
        name = f"{self.name_of(newest.run_id)}: " if newest.run_id else ""
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        self.app.notify(f"{name}{newest.text}{more}", severity="warning", markup=False)
        self.alerts_changed.publish(self.alerts)

    def _list_failures(self, failures: "Sequence[Alert]") -> None:
        """Put failures from before the start on the list, and say how many in one notice."""
        if self.alerts.add(failures):
            key = key_hint("everywhere.alerts", self.keymap)
            lists = "shows it" if len(failures) == 1 else "lists them"
            count = counted(len(failures), "run")
            self.app.notify(f"{count} failed within the last day; {key} {lists}.", markup=False)
            self.alerts_changed.publish(self.alerts)

    def _remember_dismissed(self, alerts: "Sequence[Alert]") -> None:
        failed = [each.run_id for each in alerts if each.kind == "failed" and each.run_id]
        if failed:
            remember = partial(self._dismissed_failures.add, failed)
            self.app.run_worker(remember, group="dismissed", thread=True, exit_on_error=False)

    def publish_workspace(self, *, current: str | None = None, opened: bool = False) -> None:
        """Announce a change of the workspace.

        Args:
            current: Move the cursor to this run first.
            opened: Whether that run also gets the focus of all views, because the user chose it.
        """
        if current is not None:
            self.workspace.move_to(current)
            if opened:
                self.workspace.opened = current
        self.workspace_changed.publish(self.workspace)

    def set_activity(self, activity: str) -> None:
        if activity != self.activity:
            self.activity = activity
            self.activity_changed.publish(activity)


class _HasContext(Protocol):
    context: AppContext


def context_of(node: MessagePump) -> AppContext:
    """The context of the application that a widget or screen belongs to."""
    return cast("_HasContext", node.app).context
