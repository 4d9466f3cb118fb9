"""Help texts of all commands, and usage errors."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from transformer_playground.cli.app import run_app
from transformer_playground.cli.main import build_app, main
from transformer_playground.tp_tui import application

APPLICATIONS = {"tp": build_app(), "tp-tui": application()}


def walk_commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk_commands((*path, name), child)


COMMANDS = {
    " ".join(path): command
    for name, root in APPLICATIONS.items()
    for path, command in walk_commands((name,), typer.main.get_command(root))
}
PARAMETERS = [
    pytest.param(parameter, id=f"{path} {parameter.name}")
    for path, command in COMMANDS.items()
    for parameter in command.params
]


def test_the_walk_finds_subcommands_options_and_arguments() -> None:
    assert {"tp", "tp runs", "tp runs tag", "tp-tui"} <= COMMANDS.keys()
    names = {parameter.id for parameter in PARAMETERS}
    assert {"tp tensorboard port", "tp runs tag changes", "tp report temperature"} <= names


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_option_and_argument_has_a_help_text(parameter: Any) -> None:
    assert (parameter.help or "").strip()


NUMBERS = [
    pytest.param(command, parameter, id=f"{path} {parameter.name}")
    for path, command in COMMANDS.items()
    for parameter in command.params
    if parameter.type_descriptor.annotation is float
]


def test_the_walk_finds_numbers_with_a_fraction() -> None:
    assert {"tp sample temperature", "tp records run minutes"} <= {each.id for each in NUMBERS}


@pytest.mark.parametrize(("command", "parameter"), NUMBERS)
def test_every_number_is_finite(command: Any, parameter: Any) -> None:
    for text in ("nan", "inf", "-inf", "1e400"):
        with pytest.raises(typer.BadParameter, match=r"not a finite number|greater than or equal"):
            parameter.process_value(typer.Context(command), text)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_prints_its_help(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS[path].help
    name, *arguments = path.split()
    assert run_app(APPLICATIONS[name], [*arguments, "--help"]) == 0
    captured = capsys.readouterr()
    assert f"Usage: {path}" in captured.out
    assert captured.err == ""
    # A summary that is too long for its line is cut off.
    lines = captured.out.splitlines()[1:]
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_of_a_group_lists_its_commands(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *arguments = path.split()
    run_app(APPLICATIONS[name], [*arguments, "--help"])
    out = capsys.readouterr().out
    assert all(f"  {child}" in out for child in getattr(COMMANDS[path], "commands", {}))


@pytest.mark.parametrize("name", [path for path in COMMANDS if re.fullmatch(r"tp [\w-]+", path)])
def test_a_command_that_is_loaded_alone_has_the_same_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = name.removeprefix("tp ")
    run_app(build_app(), [command, "--help"])
    of_all = capsys.readouterr().out
    run_app(build_app(command), [command, "--help"])
    assert capsys.readouterr().out == of_all
    assert f"Usage: {name}" in of_all


@pytest.mark.parametrize("name", [path for path in COMMANDS if re.fullmatch(r"tp runs.*", path)])
def test_a_command_on_runs_that_is_loaded_alone_has_the_same_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*name.split()[1:], "--help"]
    run_app(build_app(), arguments)
    of_all = capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out == of_all
    assert f"Usage: {name}" in of_all


def test_the_help_that_is_shown_at_once_names_every_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_app(build_app(), ["--help"])
    of_all = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == of_all


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frobnicate"], "frobnicate"),
        (["train", "--bogus"], "--bogus"),
        (["train", "a", "b"], "b"),
        (["sample"], "EXP|RUN"),
        (["generate"], "--run-id"),
        (["new"], "NAME"),
        (["train", "--set"], "--set"),
        (["tensorboard", "--port", "0"], "--port"),
        (["tensorboard", "--port", "many"], "--port"),
    ],
)
def test_wrong_usage_gives_one_sentence_and_the_help_command(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert expected in captured.err
    assert "--help" in captured.err


def test_an_empty_folder_lists_the_bundled_experiments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["experiments", "--experiments-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "shakespeare_char_fast" in captured.out
    copy = ["new", "mine", "--from", "shakespeare", "--experiments-dir", str(tmp_path)]
    assert main(copy) == 0
    capsys.readouterr()
    assert main(["experiments", "--experiments-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("transformer_playground.cli.experiments.is_terminal", lambda: True)
    assert main(["experiments", "--experiments-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("mine")
    assert "shakespeare_char_fast" not in captured.out
    assert "bundled, copied on first use: " in captured.err


def test_a_template_and_a_source_exclude_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["new", "x", "--from", "shakespeare", "--template", "char"]
    assert main([*words, "--experiments-dir", str(tmp_path)]) == 2
    assert "mutually exclusive" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_version_is_that_of_the_package(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(APPLICATIONS[name], ["--version"]) == 0
    assert (
        capsys.readouterr().out == f"transformer-playground {version('transformer-playground')}\n"
    )
