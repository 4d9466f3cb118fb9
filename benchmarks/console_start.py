"""Time from the command to the console's first frame, against a bare Textual app. Goal: 1.5x.

Both run as child processes at a terminal of their own, in turn, until their words are on the
screen. The bare app is one `Static`; the console opens over a folder with a few runs.
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

from transformer_playground.runs.layout import create_run

BARE = """\
from textual.app import App
from textual.widgets import Static

class Bare(App):
    def compose(self):
        yield Static("bare textual app")

Bare().run()
"""
PATIENCE_SECONDS = 60.0


def first_frame(command: Sequence[str], words: bytes, folder: Path) -> float:
    """Seconds until a command has written `words` to its terminal.

    Raises:
        SystemExit: It ended, or took far too long, without them.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = str(folder / "config")
    began = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while words not in written:
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise SystemExit(f"{command[0]}: no first frame in {PATIENCE_SECONDS:.0f} s")
            try:
                written += os.read(ours, 1 << 16)
            except OSError as error:
                raise SystemExit(f"{command[0]} ended before its first frame") from error
        return time.perf_counter() - began
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        os.close(ours)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(arguments.runs):
            create_run(folder / "runs", f"tiny-{number}", {"experiment": "tiny", "config": {}})
        (folder / "experiments").mkdir()
        bare = [sys.executable, "-c", BARE]
        console = [str(Path(sys.executable).parent / "tp-tui")]
        sides = {"bare": (bare, b"bare textual app"), "console": (console, b"4 Compare")}
        times: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(arguments.rounds + 1):
            for side, (command, words) in sides.items():
                spent = first_frame(command, words, folder)
                # The first round fills the file cache.
                if number:
                    times[side].append(spent)
    medians = {side: statistics.median(spent) for side, spent in times.items()}
    for side, median in medians.items():
        low, high = min(times[side]), max(times[side])
        print(f"{side:8} {median:6.2f} s  ({low:.2f} to {high:.2f})")
    ratio = medians["console"] / medians["bare"]
    print(f"{ratio:.2f}x")
    figures = {f"{side}_s": round(median, 3) for side, median in medians.items()}
    print(
        json.dumps(
            {"benchmark": "console_start", **figures, "ratio": round(ratio, 2), "goal_ratio": 1.5}
        )
    )


if __name__ == "__main__":
    main()
