"""Opens the export form on a run."""

from transformer_playground.tui.core.checkpoints import Choices, choices_of
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.export.form_state import ExportForm
from transformer_playground.tui.export.view import ExportScreen


def export_model(context: AppContext, run_id: str) -> None:
    """Open the form; the checkpoints of the run are read in a thread before."""

    def find() -> None:
        context.app.call_from_thread(_open, context, choices_of(context.runs_dir, run_id))

    context.app.run_worker(find, group="export-form", thread=True, exclusive=True)


def _open(context: AppContext, choices: Choices) -> None:
    run_id = choices.run_id
    if not choices.checkpoints:
        text = f"{context.name_of(run_id)} has no checkpoint to export."
        context.app.notify(text, severity="warning", markup=False)
        return
    form = ExportForm(choices.checkpoints)
    context.app.push_screen(ExportScreen(run_id, form, context.exports.active_of(run_id)))
