"""The committed list of settings matches the schema."""

import subprocess
import sys
import tomllib
from pathlib import Path

from transformer_playground.config.loading import load_config
from transformer_playground.config.reference import default_config_text, find_field, schema_index
from transformer_playground.config.schema import ExperimentConfig

COMMITTED = Path(__file__).parents[3] / "experiments" / "default_config.toml"


def test_the_committed_file_is_what_the_generator_writes() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == default_config_text()


def test_the_module_prints_it() -> None:
    command = [sys.executable, "-m", "transformer_playground.config.reference"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8")
    assert printed.stdout == default_config_text()


def test_the_defaults_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    with_file = load_config(path, defaults=COMMITTED)
    assert with_file.config == load_config(path).config
    assert with_file.provenance == {}


def test_every_setting_is_listed_with_its_description() -> None:
    text = default_config_text()
    unwrapped = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for entry in schema_index().values():
        if not entry.is_table:
            assert entry.description, entry.name
            assert entry.description in unwrapped, entry.name


def test_every_setting_with_a_default_has_its_value_there() -> None:
    document = tomllib.loads(default_config_text())
    ExperimentConfig.model_validate(document)
    for entry in schema_index().values():
        if entry.is_table or "*" in entry.key:
            continue
        node = document
        for part in entry.key[:-1]:
            node = node[part]
        assert (entry.key[-1] in node) == (entry.default is not None), entry.name


def test_entries_list_the_allowed_values() -> None:
    allowed = {
        name: entry.allowed
        for name, entry in ((entry.name, entry) for entry in schema_index().values())
    }
    assert allowed["model.n_layer"] == "a whole number, at least 1, at most 1000"
    assert allowed["model.n_kv_head"] == "a whole number, at least 1"
    assert allowed["model.bias"] == "true or false"
    assert allowed["prepare.val_fraction"] == "a number, more than 0, less than 1"
    assert allowed["experiment.tags"] == "a list of texts"
    assert allowed["prepare.raw_dir"] == "a path"
    assert allowed["prepare.bundled"] == 'one of "tiny_shakespeare", "bundestag_sample"'
    assert all("<" not in words for words in allowed.values())


def test_keys_with_free_names_are_found_by_any_name() -> None:
    entry = find_field(("prepare", "downloads", "my file", "url"))
    assert entry is not None
    assert entry.key == ("prepare", "downloads", "*", "url")
    assert find_field(("prepare", "downloads", "my file", "nope")) is None
    assert find_field(("prepare", "raw_dir", "deeper")) is None
    assert find_field(()) is None
