"""Time to the first frame of the console against a minimal Textual app. Goal: at most 1.3x.

Both run as child processes in alternating rounds, each with its own terminal, until the expected
texts are on the screen: for the console those of the header and of the key bar, so that the frame
is complete. The minimal app is one `Static`; the console opens a folder with a few runs. Bytecode
is cached for both, as in an installed program.
"""

import argparse
import fcntl
import json
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from transformer_playground.runs.folder import create_run

BARE = """\
from textual.app import App
from textual.widgets import Static

class Bare(App):
    def compose(self):
        yield Static("bare textual app")

Bare().run()
"""
PATIENCE_SECONDS = 60.0
_GOAL_RATIO = 1.3


def first_frame(
    command: Sequence[str], words: Sequence[bytes], folder: Path
) -> tuple[float, float]:
    """Wall and CPU seconds until a command has written all `words` to its terminal.

    Raises:
        SystemExit: The command ended or timed out before.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = str(folder / "config")
    environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while not all(word in written for word in words):
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise SystemExit(f"{command[0]}: no first frame in {PATIENCE_SECONDS:.0f} s")
            try:
                written += os.read(ours, 1 << 16)
            except OSError as error:
                raise SystemExit(f"{command[0]} ended before its first frame") from error
        elapsed = time.perf_counter() - began
    finally:
        child.send_signal(signal.SIGKILL)
        # The times of an ended process are exact; those of a running one are in ticks of 10 ms.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        os.close(ours)
    return elapsed, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(arguments.runs):
            create_run(folder / "runs", f"tiny-{number}", {"experiment": "tiny", "config": {}})
        (folder / "experiments").mkdir()
        bare = [sys.executable, "-c", BARE]
        console = [str(Path(sys.executable).parent / "tp-tui")]
        sides = {
            "bare": (bare, (b"bare textual app",)),
            "console": (console, (b"4 Compare", b" keys")),
        }
        clock: dict[str, list[float]] = {side: [] for side in sides}
        cpu: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(arguments.rounds + 1):
            for side, (command, words) in sides.items():
                elapsed, computed = first_frame(command, words, folder)
                # The first round fills the file cache and writes the bytecode.
                if number:
                    clock[side].append(elapsed)
                    cpu[side].append(computed)
    figures: dict[str, float] = {}
    for name, times in (("clock", clock), ("cpu", cpu)):
        medians = {side: statistics.median(spent) for side, spent in times.items()}
        for side, median in medians.items():
            low, high = min(times[side]), max(times[side])
            print(f"{name:6} {side:8} {median:6.2f} s  ({low:.2f} to {high:.2f})")
            figures[f"{side}_{name}_s"] = round(median, 3)
        figures[f"{name}_ratio"] = round(medians["console"] / medians["bare"], 2)
        print(f"{name:6} {figures[f'{name}_ratio']:.2f}x")
    print(json.dumps({"benchmark": "console_start", **figures, "goal_ratio": _GOAL_RATIO}))


if __name__ == "__main__":
    main()
