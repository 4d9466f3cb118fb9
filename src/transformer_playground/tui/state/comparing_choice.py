"""Choosing runs within a comparison, so that what is compared changes by that one run only."""

from transformer_playground.tui.state.workspace import Workspace


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
