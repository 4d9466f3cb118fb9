"""Checks of a launch in a worker thread: a list of values may stand for 200 runs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from textual.screen import Screen
from textual.worker import Worker, get_current_worker

from transformer_playground.errors import PlaygroundError
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.service import Preview, check_name, preview
from transformer_playground.tui.launch.variants import Plan, check_plan, plan_of
from transformer_playground.tui.shared.work import answer_in_thread

_Result = TypeVar("_Result")
_AT_ONCE = 8


class LaunchChecks:
    """Checks for one form; of several requests of a kind only the newest is answered.

    Args:
        screen: The form.
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
    """

    def __init__(
        self, screen: Screen[tuple[Launch, ...]], experiments_dir: Path, runs_dir: Path
    ) -> None:
        self._screen = screen
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._newest: dict[str, Worker[None]] = {}

    def plan(self, launch: Launch) -> Plan:
        """The runs of a launch."""
        return plan_of(launch, self._runs_dir)

    def names(self, launch: Launch, show: Callable[[tuple[Plan, str]], None]) -> None:
        """Show the runs of a launch, and why one of them cannot have its id; empty if all can.

        The folder of runs may be on a slow disk.
        """
        work = partial(self._names, launch)
        self._start("names", work, show, lambda problem: (Plan(), problem))

    def problem_at_once(self, launch: Launch) -> str:
        """Why one of the first runs is not valid, whatever their ids; empty if all are.

        The values of the last override vary fastest, so that is what is checked. All runs are
        checked in the preview, and before they are trained.
        """
        plan = self.plan(replace(launch, run_id=None))
        few = replace(plan, launches=plan.launches[:_AT_ONCE])
        return check_plan(self._experiments_dir, self._runs_dir, few)

    def preview(self, launch: Launch, like: str | None, show: Callable[[Preview], None]) -> None:
        """Show the preview of the first run, with what is wrong with any of them."""
        work = partial(self._preview, launch, like)
        self._start("preview", work, show, lambda problem: Preview(problem=problem))

    def check(self, launch: Launch, answer: Callable[[tuple[Plan, str]], None]) -> None:
        """Answer with the runs and why one of them cannot be launched; empty if all can."""
        work = partial(self._check, launch)
        self._start("check", work, answer, lambda problem: (Plan(), problem))

    def _preview(self, launch: Launch, like: str | None) -> Preview:
        plan = self.plan(replace(launch, run_id=None))
        first = plan.launches[0] if plan.launches else launch
        found = preview(self._experiments_dir, self._runs_dir, first, like)
        if len(plan.launches) > 1 and not found.problem:
            found = replace(found, problem=self._problem(plan))
        return found

    def _names(self, launch: Launch) -> tuple[Plan, str]:
        plan = self.plan(launch)
        names = (each.run_id for each in plan.launches if each.run_id)
        problems = (check_name(self._runs_dir, name) for name in names)
        return plan, plan.problem or next(filter(None, problems), "")

    def _check(self, launch: Launch) -> tuple[Plan, str]:
        plan = self.plan(launch)
        return plan, self._problem(plan)

    def _problem(self, plan: Plan) -> str:
        worker = get_current_worker()
        return check_plan(
            self._experiments_dir, self._runs_dir, plan, lambda: not worker.is_cancelled
        )

    def _start(
        self,
        kind: str,
        work: Callable[[], _Result],
        answer: Callable[[_Result], None],
        problem: Callable[[str], _Result],
    ) -> None:
        def deliver(found: _Result | PlaygroundError) -> None:
            if self._newest.get(kind) is worker and self._screen.is_attached:
                answer(problem(str(found)) if isinstance(found, PlaygroundError) else found)

        worker = answer_in_thread(
            self._screen, "The check of the launch", work, deliver, group=kind, exclusive=True
        )
        self._newest[kind] = worker
