"""What the console's driver writes to a real terminal when everything in a project is hostile."""

import re
import time
from pathlib import Path

from builders.commands import PATIENCE_SECONDS, TP_TUI
from builders.hostile import harm_in, hostile_project
from builders.terminals import AtTerminal

# What the toolkit writes: moves, colours, modes, questions; and the shape of the pointer.
CSI = re.compile(r"\x1b\[[0-9;:?<>=]*[ !$]?[@-~]")
POINTER = re.compile(r"\x1b\]22;[a-z-]+\x07")
BELL = "\x07"
ROUND = ("4", "2", "t", "3", "1", "G", "v", "v", "v", "v", "g", " ", " ", " ", "4", "1")


def rings(output: str) -> int:
    """How often it rang."""
    return POINTER.sub("", output).count(BELL)


def settle(terminal: AtTerminal) -> None:
    """Take what it writes until it has written nothing new for a moment."""
    before = -1
    while len(terminal.output) != before:
        before = len(terminal.output)
        terminal.read_what_is_there()


def test_the_driver_writes_no_sequence_but_its_own_and_rings_when_a_run_ends(
    tmp_path: Path,
) -> None:
    project = hostile_project(tmp_path / "project", runs=30)
    config = project.root / "config"
    config.mkdir()
    (config / "console.toml").write_text("bell = true\n")
    terminal = AtTerminal(project, columns=140, program=TP_TUI, config=config)
    terminal.read_until(1, after="run-0")
    for key in ROUND:
        terminal.type(key)
        settle(terminal)
    assert not rings(terminal.output)
    terminal.type("n")
    terminal.read_until(1, after="Train")
    terminal.type("\x1b[15~")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not rings(terminal.output):
        assert time.monotonic() < deadline, terminal.output[-2000:]
        terminal.read_what_is_there()
    terminal.type("\x11")
    code, output = terminal.wait()
    assert code == 0
    assert rings(output) == 1
    sequences = CSI.findall(output)
    assert "[red]" in output, "too tame to show anything"
    assert not [each for each in sequences if "31337" in each or each == "\x1b[6n"]
    # The screen is given back once, at the very end.
    assert sequences.count("\x1b[?1049l") == 1
    rest = CSI.sub("", POINTER.sub("", output)).replace("\r\n", "\n").replace(BELL, "")
    harm = harm_in(rest)
    assert harm is None, f"{harm} near {rest[:200]!r}"
