"""The command that prepares a run's dataset again, from the run's record."""

from pathlib import Path
from typing import Any

import pytest

from transformer_playground.experiments.recorded import recorded_prepare_command


def record(experiment: Any = "mine", **provenance: str) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "config": {"prepare": {"val_fraction": 0.2, "doc_separator": "\n", "vocab_size": 9}},
        "provenance": {key.replace("__", "."): origin for key, origin in provenance.items()},
    }


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (record(), "tp prepare mine"),
        (record(model__n_layer="experiments/mine/config.toml"), "tp prepare mine"),
        (record(model__n_layer="experiments/default_config.toml"), "tp prepare mine"),
        (record(model__n_layer="mine.toml"), "tp prepare --config mine.toml"),
        (record(model__n_layer="my texts/mine.toml"), "tp prepare --config 'my texts/mine.toml'"),
        (record(model__n_layer="other.toml"), "tp prepare mine --config other.toml"),
        (record(model__n_layer="/x/mine/config.toml"), "tp prepare mine --experiments-dir /x"),
        (
            record(prepare__val_fraction="--set", model__n_layer="--set"),
            "tp prepare mine --set prepare.val_fraction=0.2",
        ),
        (
            record(prepare__doc_separator="--set"),
            "tp prepare mine --set 'prepare.doc_separator=\"\\n\"'",
        ),
        ({}, "tp prepare EXPERIMENT"),
        (record("../mine"), "tp prepare EXPERIMENT"),
        ({"experiment": 3, "provenance": ["x"], "config": None}, "tp prepare EXPERIMENT"),
    ],
)
def test_the_command_names_what_the_run_was_started_with(
    found: dict[str, Any], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recorded_prepare_command(found) == command
