"""What the user has chosen: the current run, marked runs, the baseline; and how runs look."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SLOTS = 6


@dataclass
class Workspace:
    """Choices that all views share; only the console's own thread changes it.

    Attributes:
        current: The run under the cursor, or None.
        marked: Marked runs in the order of marking.
        baseline: The run that others are measured against, or None.
        experiment: The experiment under the cursor, or None.
    """

    current: str | None = None
    marked: list[str] = field(default_factory=list)
    baseline: str | None = None
    experiment: str | None = None
    _slots: dict[str, int] = field(default_factory=dict)

    def chosen(self) -> list[str]:
        """The runs that charts and comparisons show: the baseline, then marked or current ones."""
        others = self.marked or ([self.current] if self.current else [])
        first = [self.baseline] if self.baseline else []
        return first + [run_id for run_id in others if run_id != self.baseline]

    def toggle_mark(self, run_id: str) -> None:
        """Mark a run, or take its mark away."""
        if run_id in self.marked:
            self.marked.remove(run_id)
        else:
            self.marked.append(run_id)

    def toggle_baseline(self, run_id: str) -> None:
        """Pin a run as the baseline, or unpin it."""
        self.baseline = None if self.baseline == run_id else run_id

    def keep_only(self, known: Iterable[str]) -> None:
        """Forget runs that are gone."""
        known = set(known)
        self.marked = [run_id for run_id in self.marked if run_id in known]
        self._slots = {run_id: slot for run_id, slot in self._slots.items() if run_id in known}
        if self.baseline not in known:
            self.baseline = None
        if self.current not in known:
            self.current = None

    def rename(self, old: str, new: str) -> None:
        """Carry every choice over to a run's new name."""
        self.marked = [new if run_id == old else run_id for run_id in self.marked]
        self.baseline = new if self.baseline == old else self.baseline
        self.current = new if self.current == old else self.current
        if old in self._slots:
            self._slots[new] = self._slots.pop(old)

    def slot(self, run_id: str) -> int | None:
        """The number of a chosen run's colour and glyph, stable while it stays chosen.

        None beyond the sixth: more colours could not be told apart.
        """
        chosen = self.chosen()
        if run_id not in chosen:
            return None
        self._slots = {known: slot for known, slot in self._slots.items() if known in chosen}
        for candidate in chosen:
            free = sorted(set(range(SLOTS)) - set(self._slots.values()))
            if candidate not in self._slots and free:
                self._slots[candidate] = free[0]
        return self._slots.get(run_id)


def pin(workspace: Workspace, run_id: str) -> None:
    """Measure against this run, or against the first marked one again; every run stays."""
    _mark_all(workspace)
    workspace.toggle_baseline(run_id)


def toggle(workspace: Workspace, run_id: str) -> None:
    """Add a run to the comparison, or leave it out."""
    is_compared = run_id in workspace.chosen()
    _mark_all(workspace)
    if workspace.baseline == run_id:
        workspace.toggle_baseline(run_id)
    if is_compared == (run_id in workspace.marked):
        workspace.toggle_mark(run_id)
    if is_compared and workspace.current == run_id:
        # The run under the cursor is compared when none is marked.
        workspace.current = None


def _mark_all(workspace: Workspace) -> None:
    """What is compared because the cursor is on it would be gone after the next mark."""
    for run_id in workspace.chosen():
        if run_id not in workspace.marked:
            workspace.toggle_mark(run_id)
