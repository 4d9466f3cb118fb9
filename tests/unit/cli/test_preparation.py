"""Display of a preparation."""

import io

import pytest

from transformer_playground.cli.preparation import PreparationDisplay
from transformer_playground.data.progress import Progress

HALF = Progress("Encoding", 50, 100, 1.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_terminal_has_one_line_that_is_redrawn_and_removed(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with PreparationDisplay() as display:
        display.note("Reading a.txt")
        # A short preparation shows none.
        display.progress(Progress("Encoding", 10, 100, 1.0))
        clock[0] = 0.5
        display.progress(HALF)
        # Too soon to be seen.
        display.progress(Progress("Encoding", 51, 100, 1.0))
        clock[0] = 1.0
        display.progress(Progress("Encoding", 75, 100, 1.0))
        display.note("Done")

    lines = screen.getvalue().split("\r\x1b[2K")
    assert lines[0] == "Reading a.txt\n"
    assert [line.split(",")[0] for line in lines[1:3]] == ["Encoding: 50%", "Encoding: 75%"]
    assert lines[3:] == ["Done\n"]


def test_a_line_of_progress_never_wraps(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "20")
    with PreparationDisplay() as display:
        clock[0] = 0.5
        display.progress(HALF)

    assert "Encoding" in screen.getvalue()
    assert all(len(line) < 20 for line in screen.getvalue().split("\r\x1b[2K"))


def test_a_log_has_a_line_every_few_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with PreparationDisplay() as display:
        for second in range(30):
            clock[0] = float(second)
            display.progress(HALF)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("Encoding: 50%") for line in lines)
