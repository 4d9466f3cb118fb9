"""Rules for the modules of the console that no tool checks."""

import re
import tomllib
from pathlib import Path

import transformer_playground.tui

ROOT = Path(__file__).parents[3]


def test_every_state_and_service_is_under_the_contract_without_textual() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (listed,) = [
        set(contract["source_modules"])
        for contract in contracts["contracts"]
        if contract["name"] == "State and services of the console import no Textual"
    ]
    package = Path(transformer_playground.tui.__path__[0])
    wanted = {
        ".".join(("transformer_playground.tui", *path.relative_to(package).with_suffix("").parts))
        for path in package.rglob("*.py")
        if path.stem in {"state", "service"} or path.stem.endswith("_state")
    }
    assert len(wanted) > 4
    assert wanted <= listed


def test_no_handler_calls_that_of_its_base_class_which_textual_calls_too() -> None:
    package = Path(transformer_playground.tui.__path__[0])
    calls = [
        (path.name, found)
        for path in package.rglob("*.py")
        for found in re.findall(r"super\(\)\.on_(?!event)\w+", path.read_text())
    ]
    assert calls == []
