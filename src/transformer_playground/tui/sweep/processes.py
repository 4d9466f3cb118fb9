"""Processes that the console has started to train sweeps, and which outlive it."""

import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from transformer_playground.errors import UsageError, translate_os_errors
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.tui.core.tp_process import Ended, tp_command

# Bytes of the end of the log in which the reason of a failure is looked for.
_TAIL = 1 << 16
# Exit code of a sweep in which runs have failed, which its counts say.
_RUNS_FAILED = 1


@dataclass(frozen=True)
class _Process:
    """A process and where its part of the log begins."""

    process: subprocess.Popen[bytes]
    folder: SweepFolder
    begins: int


@dataclass
class SweepProcesses:
    """Starts `tp sweep run`, one process for each sweep, and notices when it ends.

    All methods may be called from any thread.
    """

    experiments_dir: Path
    runs_dir: Path
    _processes: dict[str, _Process] = field(default_factory=dict)
    _starting: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_running(self, sweep_id: str) -> bool:
        """Whether a process of this console trains the sweep."""
        with self._lock:
            return self._is_running(sweep_id)

    def _is_running(self, sweep_id: str) -> bool:
        found = self._processes.get(sweep_id)
        return sweep_id in self._starting or (found is not None and found.process.poll() is None)

    def start(self, folder: SweepFolder) -> bool:
        """Train what is left of a sweep; what the process prints goes to the log of the sweep.

        Returns:
            Whether a process was started: not if one of this console trains the sweep.

        Raises:
            UsageError: No process can be started, or no log can be written.
        """
        name = folder.root.name
        with self._lock:
            if self._is_running(name):
                return False
            self._starting.add(name)
        try:
            started = self._open(folder)
            with self._lock:
                self._processes[name] = started
        finally:
            with self._lock:
                self._starting.discard(name)
        return True

    def _open(self, folder: SweepFolder) -> _Process:
        arguments = ["sweep", "run", folder.root.name, "--sweeps-dir", str(folder.root.parent)]
        arguments += ["--experiments-dir", str(self.experiments_dir)]
        arguments += ["--runs-dir", str(self.runs_dir)]
        with (
            translate_os_errors(UsageError, f"{folder.root.name} cannot be trained"),
            folder.log_path.open("ab") as log,
        ):
            begins = log.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                tp_command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # It goes on when the console or its terminal is closed.
                start_new_session=True,
            )
        return _Process(process, folder, begins)

    def take_ended(self) -> dict[str, str]:
        """Sweeps whose process has ended since the last call, with the error if there was one."""
        with self._lock:
            ended = {
                name: each
                for name, each in self._processes.items()
                if each.process.poll() is not None
            }
            for name in ended:
                del self._processes[name]
        return {name: _problem(each) for name, each in ended.items()}


def _problem(ended: _Process) -> str:
    """The error message of a process; empty if it has done what it was asked to."""
    code = ended.process.returncode
    if code == 0:
        return ""
    try:
        with ended.folder.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(ended.begins, size - _TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    found = Ended(code, "", tuple(line for line in lines if line.strip()))
    if code in (_RUNS_FAILED, 128 + 2, 128 + 15) and not found.has_error:
        return ""
    return f"{found.problem or f'exit code {code}'} {found.hint}".strip()
