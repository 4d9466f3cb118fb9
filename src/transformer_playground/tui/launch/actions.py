"""Launch actions: choose an experiment or checkpoint, edit the launch, and queue it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.experiments.discovery import bundled_dir, discover, start_experiment
from transformer_playground.experiments.scaffold import find_or_install
from transformer_playground.terminal import visible
from transformer_playground.training.branching import longer_time, longer_training
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.checkpoints import Choice, choices_of
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.job_text import job_label
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.dialogs.preparer import confirm_preparer
from transformer_playground.tui.launch.choice_rows import choice_options
from transformer_playground.tui.launch.service import ExperimentChoice, choices, launch_again
from transformer_playground.tui.launch.view import LaunchScreen
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


def branch_from_checkpoint(context: AppContext, run_id: str | None) -> None:
    """Choose a checkpoint of a run, then edit the launch of a branch from it."""
    row = context.snapshot.runs.get(run_id or "")
    if row is None or row.experiment is None:
        context.app.notify("Put the cursor on a run first.", severity="warning", markup=False)
        return
    parent, experiment = row.run_id, row.experiment

    def find() -> None:
        found = choices_of(context.runs_dir, parent).checkpoints
        context.app.call_from_thread(show, found)

    steps: list[Choice] = []

    def show(found: tuple[Choice, ...]) -> None:
        steps[:] = found
        if not found:
            text = f"{context.name_of(parent)} has no checkpoint to branch from."
            context.app.notify(text, severity="warning", markup=False)
            return
        title = f"Branch from a checkpoint of {context.name_of(parent)}"
        context.app.push_screen(PickScreen(title, checkpoint_rows(found), None), take)

    def take(checkpoint: str | None) -> None:
        if checkpoint is not None:
            step = next((each.step for each in steps if checkpoint in each.names), None)
            longer = longer_training(step, row.max_iters) + longer_time(step, row)
            edit_launch(context, Launch(experiment, longer, branch=(parent, checkpoint)))

    context.app.run_worker(find, group="launch", thread=True, exclusive=True)


def train_again(context: AppContext, run_id: str | None) -> None:
    """Edit a launch with the settings of a run."""
    row = context.snapshot.runs.get(run_id or "")
    if row is None:
        context.app.notify("Put the cursor on a run first.", severity="warning", markup=False)
        return
    try:
        launch = launch_again(context.experiments_dir, context.runs_dir, row.run_id)
    except PlaygroundError as error:
        context.app.notify(visible(str(error)), severity="error", markup=False)
    else:
        edit_launch(context, launch, like=row.run_id)


def edit_launch(context: AppContext, launch: Launch, like: str | None = None) -> None:
    """Open the launch form; confirmed launches are submitted.

    Args:
        context: The console's context.
        launch: What the form begins with.
        like: Run that the launch repeats.
    """

    def take(confirmed: tuple[Launch, ...] | None) -> None:
        if confirmed:
            submit_launch(context, *confirmed)

    form = LaunchScreen(context.experiments_dir, context.runs_dir, launch, like)
    context.app.push_screen(form, take)


def submit_launch(context: AppContext, first: Launch, *others: Launch) -> None:
    """Queue launches and switch to the Live view; new code of an experiment is confirmed first."""
    unknown = context.known_preparers.unknown_in(context.experiments_dir, context.runs_dir, first)
    confirm_preparer(context, unknown, partial(_submit, context, (first, *others)))


def _submit(context: AppContext, launches: Sequence[Launch]) -> None:
    job, *others = [context.training.submit(launch) for launch in launches]
    waits = context.training.active is not None or len(context.training.waiting) > len(launches)
    text = f"{'Queued' if waits else 'Started'} {job_label(job, context.name_of)}"
    if others:
        text += f" and {len(others)} more" if waits else f" and queued {len(others)} more"
    context.app.notify(visible(f"{text}."), markup=False)
    context.publish_workspace(current=job.run_id)
    context.app.switch_mode("live")
