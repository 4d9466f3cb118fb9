"""Launch actions: choose an experiment or checkpoint, edit the launch, and queue it."""

from functools import partial
from pathlib import Path

from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import bundled_dir, discover, start_experiment
from transformer_playground.experiments.scaffold import find_or_install
from transformer_playground.terminal import visible
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.checkpoints import Choice, choices_of
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.dialogs.preparer import confirm_preparer
from transformer_playground.tui.launch.service import ExperimentChoice, choices
from transformer_playground.tui.launch.view import LaunchScreen, choice_options
from transformer_playground.tui.shared.checkpoint_rows import checkpoint_rows


def new_launch(context: AppContext) -> None:
    """Edit a launch of the experiment under the cursor, or of one chosen from a list."""
    names = [experiment.name for experiment in discover(context.experiments_dir)]
    row = context.snapshot.runs.get(context.workspace.current or "")
    current = context.workspace.experiment or (row.experiment if row else None)
    if current in names or len(names) == 1:
        edit_launch(context, Launch(current if current in names else names[0]))
    else:
        _choose_experiment(context, context.experiments_dir if names else bundled_dir())


def _choose_experiment(context: AppContext, folder: Path) -> None:
    """Choose an experiment of a folder; a bundled one is copied into place."""

    def find() -> None:
        found, start = choices(folder), start_experiment(discover(folder))
        context.app.call_from_thread(show, found, start)

    def show(found: list[ExperimentChoice], start: tuple[str, int] | None) -> None:
        options = choice_options(found, start)
        context.app.push_screen(PickScreen("Train", options, start[0] if start else None), take)

    def take(name: str | None) -> None:
        if name is None:
            return
        try:
            find_or_install(context.experiments_dir, name, notify)
        except UsageError as error:
            context.app.notify(visible(str(error)), severity="error", markup=False)
        else:
            context.refresh_snapshot()
            edit_launch(context, Launch(name))

    def notify(notice: str) -> None:
        context.app.notify(visible(notice), markup=False)

    context.app.run_worker(find, group="launch", thread=True, exclusive=True)


def branch_from_checkpoint(context: AppContext) -> None:
    """Choose a checkpoint of the current run, then edit the launch of a branch from it."""
    row = context.snapshot.runs.get(context.workspace.current or "")
    if row is None or row.experiment is None:
        context.app.notify("Put the cursor on a run first.", severity="warning", markup=False)
        return
    run_id, experiment = row.run_id, row.experiment

    def find() -> None:
        found = choices_of(context.runs_dir, run_id).checkpoints
        context.app.call_from_thread(show, found)

    def show(found: tuple[Choice, ...]) -> None:
        if not found:
            text = f"{context.name_of(run_id)} has no checkpoint to branch from."
            context.app.notify(text, severity="warning", markup=False)
            return
        title = f"Branch from a checkpoint of {context.name_of(run_id)}"
        context.app.push_screen(PickScreen(title, checkpoint_rows(found), None), take)

    def take(checkpoint: str | None) -> None:
        if checkpoint is not None:
            edit_launch(context, Launch(experiment, branch=(run_id, checkpoint)))

    context.app.run_worker(find, group="launch", thread=True, exclusive=True)


def edit_launch(context: AppContext, launch: Launch) -> None:
    """Open the launch form; a confirmed launch is submitted."""

    def take(confirmed: Launch | None) -> None:
        if confirmed is not None:
            submit_launch(context, confirmed)

    form = LaunchScreen(context.experiments_dir, context.runs_dir, launch)
    context.app.push_screen(form, take)


def submit_launch(context: AppContext, launch: Launch) -> None:
    """Queue a launch and switch to the Live view; new code of an experiment is confirmed first."""
    unknown = context.known_preparers.unknown_in(context.experiments_dir, context.runs_dir, launch)
    confirm_preparer(context, unknown, partial(_submit, context, launch))


def _submit(context: AppContext, launch: Launch) -> None:
    job = context.training.submit(launch)
    waits = context.training.active is not None or len(context.training.waiting) > 1
    text = f"{'Queued' if waits else 'Started'} {context.name_of(job.name)}."
    context.app.notify(visible(text), markup=False)
    context.publish_workspace(current=job.run_id)
    context.app.switch_mode("live")
