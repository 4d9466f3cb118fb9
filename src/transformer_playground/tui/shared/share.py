"""Sharing the selected runs as one HTML file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.files import timestamped, write_new_file
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.shared.export import export_in_worker

if TYPE_CHECKING:
    from textual.widget import Widget


def share_runs(owner: "Widget", context: AppContext) -> None:
    """Write the compared runs, or else the current one, to a new file of the current folder."""
    known = context.snapshot.runs
    run_ids = tuple(run_id for run_id in context.workspace.chosen() if run_id in known)
    if not run_ids:
        owner.notify("Put the cursor on a run first.", severity="warning", markup=False)
        return
    export_in_worker(owner, partial(_write, context.runs_dir, run_ids, Path.cwd()))


def _write(runs_dir: Path, run_ids: tuple[str, ...], folder: Path) -> Path:
    # Imported when it is first needed.
    from transformer_playground.runs.folder import open_run
    from transformer_playground.sharing.page import write_page

    runs = [open_run(runs_dir, run_id) for run_id in run_ids]
    return write_new_file(folder, timestamped("share"), "html", lambda path: write_page(path, runs))
