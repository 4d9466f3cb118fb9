"""Help, and commands that are wrong before anything is looked at."""

from pathlib import Path

import pytest

from transformer_playground.cli.main import app, run_app
from transformer_playground.tp_tui import application

VERBS = (
    "prepare",
    "train",
    "sample",
    "generate",
    "loop",
    "runs",
    "experiments",
    "new",
    "tensorboard",
)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, [verb, "--help"]) == 0
    captured = capsys.readouterr()
    assert f"tp {verb}" in captured.out
    assert captured.err == ""


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, ["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in VERBS)


def test_the_console_s_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(application(), ["--help"]) == 0
    out = capsys.readouterr().out
    assert "tp-tui" in out
    assert "--run" in out


@pytest.mark.parametrize(
    ("words", "said"),
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
def test_wrong_usage_is_one_sentence_and_where_to_look(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(app, words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert "--help" in captured.err


def test_an_empty_folder_lists_the_bundled_experiments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(app, ["experiments", "--experiments-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "shakespeare_char_fast" in captured.out
    copy = ["new", "mine", "--from", "shakespeare", "--experiments-dir", str(tmp_path)]
    assert run_app(app, copy) == 0
    capsys.readouterr()
    assert run_app(app, ["experiments", "--experiments-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("mine")
    assert "shakespeare_char_fast" not in captured.out
    assert "bundled, copied on first use: " in captured.err


def test_a_template_and_a_source_exclude_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["new", "x", "--from", "shakespeare", "--template", "char"]
    assert run_app(app, [*words, "--experiments-dir", str(tmp_path)]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
