"""The import contract names every module of the console that must not import Textual."""

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
