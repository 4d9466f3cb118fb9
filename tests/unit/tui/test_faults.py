"""A fault that was not foreseen is told wherever the console works in a thread."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.training.launch import Launch
from transformer_playground.tui.data.jobs import Jobs
from transformer_playground.tui.data.service import Task
from transformer_playground.tui.launch import checks, sweep_form
from transformer_playground.tui.launch.checks import LaunchChecks
from transformer_playground.tui.launch.rate_screen import RateScreen
from transformer_playground.tui.launch.sweep_form import SweepFormScreen
from transformer_playground.tui.launch.sweep_form_state import SweepFields
from transformer_playground.tui.live.controls import LiveControls
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.shared.export import export_in_worker
from transformer_playground.tui.shared.work import result_or_error

FAULT = "IndexError: list index out of range"


class Panic(BaseException):
    """As a library in Rust raises it."""


def fail(*_: object, **__: object) -> None:
    raise IndexError("list index out of range")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UsageError("No.", "Yes."), "No. Yes."),
        (MemoryError(), "The test failed: there is not enough memory."),
        (OSError(28, "No space left", "x"), "The test failed: No space left (x)."),
        (ValueError("odd."), "The test failed: ValueError: odd."),
        (Panic(), "The test failed: Panic."),
    ],
)
def test_every_fault_becomes_a_sentence(error: BaseException, sentence: str) -> None:
    def work() -> int:
        raise error

    found = result_or_error("The test", work)

    assert isinstance(found, PlaygroundError)
    assert str(found) == sentence
    assert result_or_error("The test", lambda: 7) == 7


@pytest.fixture
def owner() -> MagicMock:
    """A widget whose threads end at once."""
    owner = MagicMock(is_attached=True)
    owner.app = owner
    owner.call_from_thread = lambda answer: answer()
    bodies: list[Callable[[], None]] = []
    owner.run_worker = lambda body, **_: bodies.append(body)

    def end_work() -> None:
        bodies.pop()()

    owner.end_work = end_work
    return owner


def told(owner: MagicMock) -> str:
    """What the user was told last."""
    text: str = owner.notify.call_args.args[0]
    return text


@pytest.mark.parametrize("kind", ["open", "read", "find"])
def test_work_of_the_data_view_that_fails_is_not_called_done(owner: MagicMock, kind: str) -> None:
    failed, done = MagicMock(), MagicMock()

    Jobs(owner, failed).start(kind, Task("searching"), fail, done)
    owner.end_work()

    done.assert_not_called()
    assert failed.call_args.args[0] == kind
    assert str(failed.call_args.args[1]) == f"Searching failed: {FAULT}."


def test_passages_that_cannot_be_searched_are_told(owner: MagicMock) -> None:
    owner.views, owner._passages, owner._loaded = [owner.chosen], {}, {0: MagicMock()}
    owner._finder.find = fail
    owner._take_passages = lambda *found: SamplePanes._take_passages(owner, *found)

    SamplePanes.action_verbatim(owner)
    owner.end_work()

    assert told(owner) == f"Searching the training text failed: {FAULT}."


def test_n_grams_that_cannot_be_counted_are_told_and_counted_again(owner: MagicMock) -> None:
    owner._is_counting, owner.poller.frame.focus = False, None
    owner._count_ngrams = fail
    owner._counted = lambda error: LiveControls._counted(owner, error)

    LiveControls.action_ngram(owner)
    owner.end_work()

    assert told(owner) == f"Counting n-grams failed: {FAULT}."
    assert not owner._is_counting


def test_a_launch_that_cannot_be_checked_has_a_problem(
    owner: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "check_plan", fail)
    monkeypatch.setattr(checks, "preview", fail)
    monkeypatch.setattr(checks, "get_current_worker", MagicMock())
    launch, answers = Launch("tiny"), MagicMock()
    form = LaunchChecks(owner, Path("experiments"), Path("runs"))

    form.check(launch, answers)
    owner.end_work()
    form.preview(launch, None, answers)
    owner.end_work()

    (_, checked), shown = (call.args[0] for call in answers.call_args_list)
    assert checked == shown.problem == f"The check of the launch failed: {FAULT}."


def test_a_sweep_that_cannot_be_checked_has_a_problem(
    owner: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_form, "check_sweep", fail)
    monkeypatch.setattr(sweep_form, "context_of", MagicMock())
    owner._fields, owner._wants_to_write = SweepFields("", "", "", ""), False
    owner._show = lambda *found: SweepFormScreen._show(owner, *found)

    SweepFormScreen._check(owner)
    owner.end_work()

    owner._show_problem.assert_called_with(f"The check of the sweep failed: {FAULT}.")


def test_a_range_test_that_fails_says_so(owner: MagicMock) -> None:
    owner._test.run = fail
    owner._ended = lambda found: RateScreen._ended(owner, found)

    RateScreen.on_mount(owner)
    owner.end_work()

    owner._show.assert_called_with(f"The range test failed: {FAULT}.")


def test_a_file_that_cannot_be_written_is_told(owner: MagicMock) -> None:
    def export() -> Path:
        raise IndexError("list index out of range")

    export_in_worker(owner, export)
    owner.end_work()

    assert told(owner) == f"Writing the file failed: {FAULT}."
