"""Output and exit codes of commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.commands import CONTROL
from transformer_playground.cli.output import note, print_table, run_command, say, say_json
from transformer_playground.errors import DataError, UsageError
from transformer_playground.tables import Column

HOSTILE = "".join(map(chr, range(0xA0))) + "\u202e\u2066"


def test_a_command_without_an_error_keeps_its_exit_code() -> None:
    assert run_command(lambda: 0) == 0
    assert run_command(lambda: 143) == 143


@pytest.mark.parametrize(("error", "code"), [(DataError("no.", "do."), 1), (UsageError("no."), 2)])
def test_an_error_is_printed_with_its_hint(
    error: DataError | UsageError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    assert run_command(command) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["error: no.", *([error.hint] if error.hint else [])]


def test_an_interrupted_command_is_reported_with_exit_code_130(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> int:
        raise KeyboardInterrupt

    assert run_command(command) == 130
    assert capsys.readouterr().err.strip()


def test_a_bug_keeps_its_traceback() -> None:
    def command() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(command)


def test_all_output_is_free_of_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    say_json({HOSTILE: HOSTILE})
    note(HOSTILE)
    print_table([Column("name", [HOSTILE]), Column("what", [HOSTILE])])
    captured = capsys.readouterr()
    for stream in (captured.out, captured.err):
        assert CONTROL.search(stream) is None


def test_json_escapes_text_without_loss(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"text": HOSTILE})
    assert json.loads(capsys.readouterr().out) == {"text": HOSTILE}


def test_a_table_cell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("name", ["two\nlines\tand a tab"])])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_piped_table_does_not_shorten_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("name", ["x" * 100]), Column("number", ["7" * 100], True)])
    out = capsys.readouterr().out
    assert "x" * 100 in out
    assert "7" * 100 in out


# The test run must keep its standard output, so these use child processes.
SPEAK = """\
import sys
from transformer_playground.cli.output import print_table, run_command, say
from transformer_playground.tables import Column
def command():
    for _ in range(2000):
        {statement}
    return 0
sys.exit(run_command(command))
"""


@pytest.mark.parametrize("statement", ["say('x' * 100)", "print_table([Column('a', ['x' * 100])])"])
def test_a_closed_pipe_is_not_an_error(statement: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", SPEAK.format(statement=statement)],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr == b""


def test_output_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    no_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    with (tmp_path / "out").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", no_room + SPEAK.format(statement="say('x')")],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.count(b"\n") == 1


def test_an_encoding_without_some_characters_does_not_end_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPEAK.format(statement="say('\\u2713 caf\\xe9')")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf" in done.stdout


@pytest.mark.parametrize(
    ("closed", "code", "out", "err"),
    [
        ("<&-", 0, b"result\n", b"note\n"),
        ("2>&-", 0, b"result\n", b""),
        ("2>/dev/full", 0, b"result\n", b""),
        ("2>/dev/null >&-", 2, b"", b""),
        (">&-", 2, b"", b"error: Standard output is closed, so nothing was done.\n"),
        ("<&- >&- 2>&-", 2, b"", b""),
    ],
)
def test_closed_streams_end_in_one_sentence_or_are_not_missed(
    closed: str, code: int, out: bytes, err: bytes
) -> None:
    script = """\
import os, sys
from transformer_playground.cli.output import note, run_command, say
def command():
    assert os.open(os.devnull, os.O_RDONLY) > 2
    assert not sys.stdin.isatty()
    note('note')
    say('result')
    return 0
sys.exit(run_command(command))
"""
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr == err or (closed == ">&-" and done.stderr.startswith(err))


# Each command in a process of its own, forked from one that has imported all it needs.
COMMANDS = """\
import os, sys
from pathlib import Path
from transformer_playground import tp_tui
from transformer_playground.cli import main
codes = []
for module in (main, tp_tui):
    for arguments in (["--help"], ["--run", "x"], []):
        child = os.fork()
        if child == 0:
            sys.argv[1:] = arguments
            module.run()
            sys.exit()
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
Path("codes").write_text(" ".join(map(str, codes)))
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_no_command_shows_a_traceback_with_closed_streams(closed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, COMMANDS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr
    codes = (tmp_path / "codes").read_text().split()
    assert len(codes) == 6
    assert set(codes) <= ({"2"} if ">&-" in closed.split() else {"0", "2"})
