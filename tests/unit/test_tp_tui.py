"""`tp-tui` opens the console without Typer where only folders are named."""

from pathlib import Path

import pytest

from transformer_playground import tp_tui
from transformer_playground.cli.app import run_app


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--runs-dir", "elsewhere"],
        ["--runs-dir=elsewhere"],
        ["--runs-dir", "a=b", "--experiments-dir", "x y"],
        ["--runs-dir=a=b"],
        ["--sweeps-dir", "elsewhere"],
        ["--runs-dir", "first", "--runs-dir", "second"],
    ],
    ids=" ".join,
)
def test_folders_alone_are_parsed_as_typer_parses_them(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Path, ...]] = []

    def take(*folders: Path) -> int:
        opened.append(folders)
        return 0

    monkeypatch.setattr(tp_tui, "open_console", take)
    assert run_app(tp_tui.application(), arguments) == 0
    assert opened == [tp_tui.parse_folders(arguments)]


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
def test_anything_else_is_left_to_typer(arguments: list[str]) -> None:
    assert tp_tui.parse_folders(arguments) is None
