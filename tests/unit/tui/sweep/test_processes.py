"""Processes that the console starts to train sweeps."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.tui.sweep import processes
from transformer_playground.tui.sweep.processes import SweepProcesses


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepProcesses:
    """Processes whose command is the content of the sweep's file."""
    monkeypatch.setattr(processes, "tp_command", stand_in(tmp_path))
    return SweepProcesses(tmp_path, tmp_path)


def stand_in(folder: Path) -> Callable[[Sequence[str]], list[str]]:
    """A command that runs a file as Python."""

    def command(arguments: Sequence[str]) -> list[str]:
        assert list(arguments[:2]) == ["sweep", "run"]
        return [sys.executable, "-I", str(folder / arguments[2] / "sweep.toml")]

    return command


def folder(root: Path, code: str) -> SweepFolder:
    """A sweep with this code."""
    found = SweepFolder(root / "s")
    found.root.mkdir(exist_ok=True)
    found.spec_path.write_text(code)
    return found


def end(started: SweepProcesses) -> dict[str, str]:
    """What is said once the process has ended."""
    started._processes["s"].process.wait()
    return started.take_ended()


def test_what_a_process_prints_goes_to_the_log_of_the_sweep(
    started: SweepProcesses, tmp_path: Path
) -> None:
    found = folder(tmp_path, "print('one')")
    started.start(found)

    assert end(started) == {"s": ""}
    started.start(found)
    assert end(started) == {"s": ""}
    assert found.log_path.read_text() == "one\none\n"
    assert started.take_ended() == {}
    assert not started.is_running("s")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            "print('error: no data'); print('Prepare it.'); raise SystemExit(2)",
            "no data Prepare it.",
        ),
        ("raise SystemExit(1)", ""),
        ("raise SystemExit(143)", ""),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_a_failure_is_said_with_its_reason(
    started: SweepProcesses, tmp_path: Path, code: str, problem: str
) -> None:
    found = folder(tmp_path, code)
    # Of an earlier process.
    found.log_path.write_text("error: old\n")
    started.start(found)

    assert end(started) == {"s": problem}


def test_a_sweep_is_trained_by_one_process_even_if_it_is_started_twice_at_once(
    started: SweepProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = folder(tmp_path, "import time; time.sleep(60)")
    command = stand_in(tmp_path)
    second: list[object] = []

    def again_meanwhile(arguments: Sequence[str]) -> list[str]:
        second.extend((started.is_running("s"), started.start(found)))
        return command(arguments)

    monkeypatch.setattr(processes, "tp_command", again_meanwhile)

    assert started.start(found)
    assert second == [True, False]
    process = started._processes["s"].process
    assert not started.start(found)
    assert started._processes["s"].process is process
    process.send_signal(signal.SIGKILL)
    end(started)
    assert not started.is_running("s")


def test_a_process_is_in_a_session_of_its_own(started: SweepProcesses, tmp_path: Path) -> None:
    started.start(folder(tmp_path, "import time; time.sleep(60)"))
    process = started._processes["s"].process

    assert started.is_running("s")
    assert os.getsid(process.pid) == process.pid
    process.send_signal(signal.SIGKILL)
    assert "SIGKILL" in end(started)["s"]


def test_a_log_that_cannot_be_written_is_one_sentence(
    started: SweepProcesses, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="s cannot be trained"):
        started.start(SweepFolder(tmp_path / "gone" / "s"))
    assert not started.is_running("s")
