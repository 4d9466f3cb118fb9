"""The console opens without reading options where only folders are named."""

from pathlib import Path

import pytest

from transformer_playground.cli.app import run_app
from transformer_playground.tui import options
from transformer_playground.tui.main import folders_alone


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--runs-dir", "elsewhere"],
        ["--runs-dir=elsewhere"],
        ["--runs-dir", "a=b", "--experiments-dir", "x y"],
        ["--runs-dir=a=b"],
        ["--runs-dir", "first", "--runs-dir", "second"],
    ],
    ids=" ".join,
)
def test_folders_alone_are_read_as_the_options_read_them(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Path, Path]] = []

    def take(experiments_dir: Path, runs_dir: Path) -> int:
        opened.append((experiments_dir, runs_dir))
        return 0

    monkeypatch.setattr(options, "open_console", take)
    assert run_app(options.app, arguments) == 0
    assert opened == [folders_alone(arguments)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--run", "tiny"],
        ["--web"],
        ["--runs-dir"],
        ["--runs-dir="],
        ["--runs-dir", "--web"],
        ["--runs", "elsewhere"],
        ["elsewhere"],
        ["--runs-dir", "a", "--set", "x=1"],
        ["--"],
    ],
    ids=" ".join,
)
def test_anything_else_is_left_to_the_options(arguments: list[str]) -> None:
    assert folders_alone(arguments) is None
