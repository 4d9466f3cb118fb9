"""Children answer, crash or hang; the caller sees which."""

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from mutation.pool import Answer, Task, run_tasks


def _run(*tasks: Task) -> dict[Any, Answer]:
    return {answer.name: answer for answer in run_tasks(tasks, workers=2)}


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise SystemExit(3)


def test_each_task_is_answered_whatever_becomes_of_its_child() -> None:
    answers = _run(
        Task("value", lambda: ["a", None], 30),
        Task("large", lambda: "x" * 1_000_000, 30),
        Task("crash", _crash, 30),
        Task("raise", _raise, 30),
    )
    assert answers["value"].value == ["a", None]
    assert len(answers["large"].value) == 1_000_000
    assert [answers[name].value for name in ("crash", "raise")] == [None, None]
    assert not any(answer.timed_out for answer in answers.values())


def test_a_child_that_hangs_is_killed_with_its_own_children(tmp_path: Path) -> None:
    def hang() -> None:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(600)
        (tmp_path / "pid").write_text(str(grandchild))
        time.sleep(600)

    answer = _run(Task("hang", hang, 30, wall_seconds=1.0))["hang"]
    assert answer.timed_out
    assert answer.value is None
    grandchild = int((tmp_path / "pid").read_text())
    # A killed process takes a moment to end; init, its parent now, may not have waited for it yet.
    deadline = time.monotonic() + 60
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_child_that_computes_too_long_is_killed_however_patient_the_clock_is() -> None:
    def spin() -> None:
        while True:
            pass

    def wait() -> str:
        time.sleep(1.2)
        return "done"

    answers = _run(Task("spin", spin, 1, wall_seconds=600), Task("wait", wait, 1, wall_seconds=600))
    assert answers["spin"].timed_out
    assert not answers["wait"].timed_out
    assert answers["wait"].value == "done"


def test_a_child_writes_its_temporary_files_to_a_folder_that_goes_with_it() -> None:
    def write() -> str:
        Path(folder := tempfile.mkdtemp()).joinpath("file").write_text("x")
        return folder

    folder = Path(_run(Task("write", write, 30))["write"].value)
    assert folder.parent.name.startswith("mutant-")
    assert not folder.parent.exists()


def test_no_child_is_left_when_the_caller_stops_early() -> None:
    # Earlier tests of this process may have started children of their own.
    before = set(psutil.Process().children())
    answers = run_tasks(
        [Task("quick", os.getpid, 30), Task("slow", lambda: time.sleep(600), 900)], 2
    )
    assert next(answers).name == "quick"
    assert set(psutil.Process().children()) > before
    answers.close()
    assert set(psutil.Process().children()) == before
