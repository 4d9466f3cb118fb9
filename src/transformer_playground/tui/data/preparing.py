"""Preparing the dataset of the Data view again, from its texts and settings as they are now."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.files import display_path
from transformer_playground.terminal import visible, visible_line
from transformer_playground.training.launch import ResolvedLaunch
from transformer_playground.tui.data.places import DataHost
from transformer_playground.tui.data.service import Target, Task
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.dialogs.preparer import confirm_preparer

if TYPE_CHECKING:
    from transformer_playground.data.prepare import PrepareReport

_Found = tuple[ResolvedLaunch, Path | None]


class Preparing:
    """Asks, and prepares a dataset in a thread that goes on while other datasets are shown.

    Args:
        view: The view.
        prepared: Called when a dataset is complete.
    """

    def __init__(self, view: DataHost, prepared: Callable[[], None]) -> None:
        self._view, self._prepared = view, prepared

    def ask(self, target: Target) -> None:
        """Prepare the dataset of a run or an experiment, after a confirmation if there is one."""
        view = self._view
        if view.jobs.is_running("prepare"):
            key = view.key_hint("data.stop")
            view.notify(f"A dataset is being prepared: {key} stops it.", markup=False)
            return
        is_there = view.source is not None

        def find() -> _Found:
            resolved = view.service.preparation(target)
            return resolved, view.context.known_preparers.unknown_of(resolved)

        task = Task("reading the settings")
        view.jobs.start("settings", task, find, partial(self._confirm, is_there=is_there))

    def _confirm(self, found: _Found, *, is_there: bool) -> None:
        resolved, preparer = found
        start = partial(self._start, resolved)
        if not is_there:
            # Nothing is lost.
            confirm_preparer(self._view.context, preparer, start)
            return

        def on_answer(answer: str | None) -> None:
            if answer == "prepare":
                confirm_preparer(self._view.context, preparer, start)

        answers = (("prepare", "Prepare again"), ("cancel", "Cancel"))
        self._view.app.push_screen(ConfirmScreen(_question(resolved), answers), on_answer)

    def _start(self, resolved: ResolvedLaunch) -> None:
        if self._view.jobs.is_running("prepare"):
            # The key was pressed twice.
            return
        task = Task(f"preparing {resolved.experiment.name}", is_long=True)
        work = partial(self._view.service.prepare, resolved, task)
        self._view.jobs.start("prepare", task, work, partial(self._done, resolved))

    def _done(self, resolved: ResolvedLaunch, report: "PrepareReport | None") -> None:
        if report is None:
            return
        view = self._view
        for note in report.notes:
            view.notify(visible(note), severity="warning", markup=False)
        name = visible_line(resolved.experiment.name)
        view.notify(
            f"Prepared {name}: {report.train_tokens:,} training and {report.val_tokens:,} "
            f"validation tokens, vocabulary {report.vocab_size:,}.",
            markup=False,
        )
        self._prepared()


def _question(resolved: ResolvedLaunch) -> str:
    prepare = resolved.loaded.config.prepare
    return (
        f"Prepare the data of {resolved.experiment.name} again, from "
        f"{display_path(prepare.raw_dir)}? The new files replace those in "
        f"{display_path(prepare.dataset_dir)} when they are complete. If the text or the settings "
        "have changed, runs of the old files can no longer be resumed or evaluated."
    )
