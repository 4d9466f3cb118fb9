"""Workspace: the current run, the selected runs and the baseline, and their colour slots."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

SLOTS = 30
"""Number of runs with a glyph and colour of their own."""


@dataclass
class Workspace:
    """Selection that all views share; only the application's own thread changes it.

    Attributes:
        current: The run under the cursor of the table.
        selected: Selected runs in the order of their selection.
        opened: The run that the user opened or chose in a view, until the cursor moves on.
        training: The run that this console trains.
        sweep: The sweep in the view of sweeps; None for the newest.
    """

    current: str | None = None
    selected: list[str] = field(default_factory=list)
    baseline: str | None = None
    opened: str | None = None
    training: str | None = None
    experiment: str | None = None
    sweep: str | None = None
    _last_trained: str | None = None
    _slots: dict[str, int] = field(default_factory=dict)

    def chosen(self) -> list[str]:
        """Runs in charts and comparisons: the baseline, then the selected or else current ones."""
        others = self.selected or ([self.current] if self.current else [])
        first = [self.baseline] if self.baseline else []
        return first + [run_id for run_id in others if run_id != self.baseline]

    def live_runs(self) -> list[str]:
        """Runs in the live view: the chosen ones, the opened one and the one in training."""
        also = [run_id for run_id in (self.opened, self.training) if run_id]
        return list(dict.fromkeys([*self.chosen(), *also]))

    def move_to(self, run_id: str | None) -> None:
        """Move the cursor to a run."""
        self.current, self.opened = run_id, None

    def follow_training(self, run_id: str | None) -> None:
        """Give the focus of the live view to the run that now trains; None if none does.

        The focus stays on the run that has ended until the next one begins, and on another run
        that the user has opened.
        """
        if run_id == self.training:
            return
        before, self.training = self._last_trained, run_id
        self._last_trained = run_id or before
        if self.opened in (None, before):
            self.opened = None if run_id else before

    def toggle_selected(self, run_id: str) -> None:
        if run_id in self.selected:
            self.selected.remove(run_id)
        else:
            self.selected.append(run_id)

    def toggle_baseline(self, run_id: str) -> None:
        self.baseline = None if self.baseline == run_id else run_id

    def keep_only(self, known: Iterable[str]) -> None:
        known = set(known)
        self.selected = [run_id for run_id in self.selected if run_id in known]
        self._slots = {run_id: slot for run_id, slot in self._slots.items() if run_id in known}
        if self.baseline not in known:
            self.baseline = None
        if self.current not in known:
            self.current = None
        if self.opened not in known:
            self.opened = None

    def rename(self, old: str, new: str) -> None:
        """Keep a run's selection and slot under its new name."""
        self.selected = [new if run_id == old else run_id for run_id in self.selected]
        self.baseline = new if self.baseline == old else self.baseline
        self.current = new if self.current == old else self.current
        self.opened = new if self.opened == old else self.opened
        if old in self._slots:
            self._slots[new] = self._slots.pop(old)

    def slot(self, run_id: str) -> int | None:
        """Index of a run's colour and glyph, stable while the live view shows the run.

        None beyond `SLOTS` runs: more glyphs would be hard to distinguish.
        """
        coloured = dict.fromkeys(self.live_runs())
        if run_id not in coloured:
            return None
        self._slots = {known: slot for known, slot in self._slots.items() if known in coloured}
        free = sorted(set(range(SLOTS)) - set(self._slots.values()))
        waiting = (candidate for candidate in coloured if candidate not in self._slots)
        self._slots.update(zip(list(islice(waiting, len(free))), free, strict=False))
        return self._slots.get(run_id)


def runs_to_show(workspace: Workspace, known: Sequence[str]) -> tuple[str, ...]:
    """The chosen runs and the one in training, else the newest run.

    Args:
        known: All runs, newest first.
    """
    return tuple(workspace.live_runs() or known[:1])


def run_in_focus(shown: Sequence[str], workspace: Workspace) -> str | None:
    """The first of these that is shown: opened, in training, under the cursor, the last shown."""
    candidates = [workspace.opened, workspace.training, workspace.current, *reversed(shown)]
    return next((run_id for run_id in candidates if run_id in shown), None)


def focus_of(workspace: Workspace, known: Sequence[str]) -> str | None:
    """The run that every view of one run shows: `run_in_focus` of those that have a folder.

    Args:
        known: All runs with a folder, newest first. A run that is about to start has none yet.
    """
    shown = [run_id for run_id in runs_to_show(workspace, known) if run_id in known]
    return run_in_focus(shown or known[:1], workspace)


def pin(workspace: Workspace, run_id: str) -> None:
    """Toggle the baseline of a comparison; every compared run stays in it."""
    _select_all_chosen(workspace)
    workspace.toggle_baseline(run_id)


def toggle(workspace: Workspace, run_id: str) -> None:
    """Add a run to the comparison, or remove it."""
    is_compared = run_id in workspace.chosen()
    _select_all_chosen(workspace)
    if workspace.baseline == run_id:
        workspace.toggle_baseline(run_id)
    if is_compared == (run_id in workspace.selected):
        workspace.toggle_selected(run_id)
    if is_compared and workspace.current == run_id:
        # The run under the cursor is compared when none is selected.
        workspace.current = None


def _select_all_chosen(workspace: Workspace) -> None:
    # A run compared only because the cursor is on it would vanish with the next selection.
    for run_id in workspace.chosen():
        if run_id not in workspace.selected:
            workspace.toggle_selected(run_id)
