"""The console at a terminal of its own: killed, told to end, its window closed."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from builders.commands import (
    CONFIG,
    PATIENCE_SECONDS,
    TP,
    TP_TUI,
    Ended,
    Project,
    in_process,
    make_project,
)
from builders.terminals import AtTerminal
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.status import read_writer

LONG = CONFIG.replace("max_iters = 20", "max_iters = 1000000")


@pytest.fixture
def long_project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", LONG)


def training_console(project: Project) -> tuple[AtTerminal, RunFolder]:
    """A console that trains, once its run has a checkpoint."""
    terminal = AtTerminal(project, program=TP_TUI, config=project.root / "config")
    terminal.read_until(1, after="4 Compare")
    terminal.type("n")
    terminal.read_until(1, after="Train")
    terminal.type("\x1b[15~")
    wait_for_checkpoint(terminal, project)
    return terminal, project.runs[0]


def read_new(terminal: AtTerminal, text: str, seen: int | None = None) -> None:
    """Wait until the terminal shows a text after the first `seen` characters, or after now."""
    start = len(terminal.output) if seen is None else seen
    terminal.read_while(lambda: text not in terminal.output[start:])


def wait_for_progress(terminal: AtTerminal, run: RunFolder) -> None:
    reached = newest_step(run)
    terminal.read_while(lambda: newest_step(run) == reached)


def wait_for_checkpoint(terminal: AtTerminal, project: Project) -> None:
    terminal.read_while(
        lambda: not any(list(run.checkpoints.glob("*.json")) for run in project.runs)
    )


def newest_step(run: RunFolder) -> int:
    """How far the checkpoint to resume from has come."""
    info = newest_valid(run.checkpoints).info
    assert info is not None
    return info.step


def after_the_screen(output: str) -> list[str]:
    """The lines that a console leaves on the terminal."""
    text = output.rpartition("\x1b[?1049l")[2]
    return [line for line in re.sub("\x1b[^a-zA-Z]*[a-zA-Z]", "", text).splitlines() if line]


def pasted(project: Project, command: str) -> Ended:
    """What a command line does in a shell."""
    path = f"{TP.parent}{os.pathsep}{os.environ['PATH']}"
    return project.child("sh", "-c", command, environ={"PATH": path})


def test_a_console_in_which_nothing_was_trained_leaves_nothing_on_the_terminal(
    long_project: Project,
) -> None:
    terminal = AtTerminal(long_project, program=TP_TUI, config=long_project.root / "config")
    terminal.read_until(1, after="4 Compare")
    terminal.type("q")
    code, output = terminal.wait()
    assert code == 0
    assert after_the_screen(output) == []


@pytest.mark.parametrize(
    ("number", "saves"),
    [(signal.SIGKILL, False), (signal.SIGTERM, True), (signal.SIGHUP, True)],
    ids=["kill", "term", "hangup"],
)
def test_a_console_that_is_ended_leaves_a_run_that_goes_on(
    long_project: Project,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    saves: bool,
) -> None:
    terminal, run = training_console(long_project)
    terminal.signal(number)
    code, output = terminal.wait()
    assert "Traceback" not in output
    assert code == (128 + number if saves else -number)
    assert (read_writer(run) is None) == saves
    reached = newest_step(run)
    further = f"train.runtime.max_iters={reached + 3}"
    if number == signal.SIGTERM:
        (line,) = after_the_screen(output)
        said, command = line.split(" Resume it with: ")
        assert said == f"Saved {run.run_id} at step {reached:,}."
        ended = pasted(long_project, f"{command} --set {further}")
    else:
        words = ("train", "tiny", "--resume", run.run_id, "--set", further)
        ended = in_process(long_project, capsys, *words)
    assert ended.code == 0, ended.err
    assert newest_step(run) == reached + 3


@pytest.mark.parametrize("is_told", [True, False])
def test_a_console_whose_window_is_gone_saves_and_ends(
    long_project: Project, is_told: bool
) -> None:
    terminal, run = training_console(long_project)
    terminal.close_window(is_told=is_told)
    assert terminal.wait_for_end() in {0, 128 + signal.SIGHUP, -signal.SIGHUP}
    assert read_writer(run) is None
    assert newest_valid(run.checkpoints).path.is_file()


def test_a_shell_with_job_control_suspends_and_continues_the_console_while_it_trains(
    long_project: Project,
) -> None:
    shell = ["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"]
    terminal = AtTerminal(
        long_project, *shell, program=Path("setsid"), config=long_project.root / "config"
    )
    terminal.type(f"PS1='ready> '; {TP_TUI}\r")
    terminal.read_until(1, after="4 Compare")
    terminal.type("n")
    terminal.read_until(1, after="run id")
    terminal.type("\x1b[15~")
    wait_for_checkpoint(terminal, long_project)
    run = long_project.runs[0]
    for _ in range(2):
        terminal.type("\x1a")
        read_new(terminal, "Stopped")
        # In the background it trains on, and leaves the terminal alone.
        seen = len(terminal.output)
        terminal.type("bg\r")
        wait_for_progress(terminal, run)
        assert "\x1b[?1049h" not in terminal.output[seen:]
        seen = len(terminal.output)
        terminal.type("fg\r")
        # Everything is drawn again, also what training does not change.
        for part in ("2 Live", "samples", "keys"):
            read_new(terminal, part, seen)
    terminal.type("q")
    terminal.read_until(1, after="Cancel")
    terminal.type("\r")
    terminal.read_until(1, after="Resume it with: ")
    terminal.type("exit\r")
    code, output = terminal.wait()
    assert code == 0
    assert "Traceback" not in output
    assert read_writer(run) is None


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGSTOP, "signal"), (signal.SIGTSTP, "key")]
)
def test_suspending_and_resuming_changes_nothing(
    long_project: Project, number: signal.Signals, ending: str
) -> None:
    terminal, run = training_console(long_project)
    for pause in (0, 0, 0.01, 0.1, 0.3, 0, 0.5):
        terminal.signal(number)
        terminal.wait_until_stopped()
        terminal.signal(signal.SIGCONT)
        time.sleep(pause)
        terminal.read_what_is_there()
    reached = newest_step(run)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while newest_step(run) == reached:
        assert time.monotonic() < deadline, "training does not continue"
        terminal.read_what_is_there()
    if ending == "key":
        terminal.type("q")
        terminal.read_until(1, after="Cancel")
        terminal.type("\r")
    else:
        terminal.signal(signal.SIGTERM)
    code, output = terminal.wait()
    assert "Traceback" not in output
    assert "poll" not in output
    assert code == (0 if ending == "key" else 128 + signal.SIGTERM)
    assert read_writer(run) is None
