"""READMEs of experiments, bundled and new: the same sections, and true commands and settings."""

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from transformer_playground.cli.main import build_app
from transformer_playground.cli.options import with_resume_default
from transformer_playground.config.reference import schema_index
from transformer_playground.experiments.discovery import bundled_dir, discover, load_experiment
from transformer_playground.experiments.scaffold import Template, scaffold

SECTIONS = [
    "Overview",
    "Data",
    "Method/Model",
    "Environment",
    "How to Run",
    "Config Highlights",
    "Outputs",
    "Troubleshooting",
    "Notes",
]
TEMPLATES: tuple[Template, ...] = get_args(Template)
BUNDLED = [experiment.name for experiment in discover(bundled_dir())]
KEYS = {".".join(key) for key in schema_index()}
TABLES = {key.split(".")[0] for key in KEYS}
# `table.key` or `table.key = value`
QUOTED = re.compile(r"`([a-z_]+\.[a-z0-9_.]+)( = [^`]+)?`")


@pytest.fixture(params=[*BUNDLED, *(f"new {template}" for template in TEMPLATES)])
def readme(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The README of one experiment."""
    name: str = request.param
    if not name.startswith("new "):
        return bundled_dir() / name / "README.md"
    template = next(each for each in TEMPLATES if name.endswith(each))
    scaffold(tmp_path, "mine", template)
    return tmp_path / "mine" / "README.md"


def text_of(readme: Path) -> str:
    return readme.read_text(encoding="utf-8")


def commands(readme: Path) -> list[list[str]]:
    """The words of each `tp` command of the README, in a code block or within a sentence."""
    text = text_of(readme).replace("\\\n", " ")
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    lines = [*blocks.splitlines(), *re.findall(r"`(tp \S+ [^`\n]+)`", text)]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("tp ")]


def overrides(words: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(words) if option == "--set"]


def value_at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def test_sections_follow_the_blueprint(readme: Path) -> None:
    text = text_of(readme)
    assert text.startswith(f"# {readme.parent.name}\n\n## Overview\n")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == SECTIONS
    bodies = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]
    assert all(body.strip() for body in bodies)


def test_commands_exist_with_their_options_and_name_this_experiment(readme: Path) -> None:
    group: Any = typer.main.get_command(build_app())
    found = commands(readme)
    assert ["loop", readme.parent.name] in found
    for words in found:
        command = group.commands[words[0]]
        command.make_context(words[0], with_resume_default(words[1:]))
        if words[0] == "records":
            assert words[1:3] == ["run", readme.parent.name.removeprefix("shakespeare_char_")]
        elif words[0] not in {"compare", "report"}:
            assert words[1].partition("@")[0] == readme.parent.name


def test_overrides_in_commands_are_valid_settings(readme: Path) -> None:
    for words in commands(readme):
        load_experiment(readme.parent.parent, readme.parent.name, None, overrides(words), {})


def test_quoted_settings_exist_with_the_quoted_values(readme: Path) -> None:
    _, loaded = load_experiment(readme.parent.parent, readme.parent.name, None, (), {})
    highlights = text_of(readme).split("## Config Highlights")[1].split("\n## ")[0]
    quoted = [match for match in QUOTED.findall(highlights) if match[0] in KEYS]
    assert quoted
    for key, value in quoted:
        if value:
            stated = tomllib.loads(f"value{value}".replace("\\|", "|"))["value"]
            actual = value_at(loaded.config, key)
            # A list of one name may be written as the name.
            assert actual == (tuple(stated) if isinstance(stated, list) else stated) or (
                actual == (stated,)
            ), key


def test_no_setting_is_named_that_does_not_exist(readme: Path) -> None:
    names = {name for name, _ in QUOTED.findall(text_of(readme))}
    names.discard("prepare.py")
    assert {name for name in names if name.split(".")[0] in TABLES} <= KEYS


def test_links_lead_to_files_of_the_project(readme: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", text_of(readme)):
        assert (readme.parent / target).exists(), target


def test_a_new_readme_has_no_placeholder_left(tmp_path: Path) -> None:
    for template in TEMPLATES:
        scaffold(tmp_path, f"my_{template}", template)
        text = text_of(tmp_path / f"my_{template}" / "README.md")
        assert "$" not in text
        assert f"Made from the template `{template}`" in text
