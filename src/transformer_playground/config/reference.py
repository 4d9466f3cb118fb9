"""Every setting with its default as one commented TOML file, generated from the schema.

`python -m transformer_playground.config.reference` prints it; the text is what
`experiments/default_config.toml` holds.
"""

import sys
import textwrap
from collections.abc import Iterator

from transformer_playground.config.introspection import ANY_NAME, SchemaField, schema_index
from transformer_playground.config.toml import toml_key, toml_value

_HEADER = """\
# Every setting with its default. An experiment's config.toml states only what differs.
# Later wins: this file, the experiment's config.toml, ML_PLAYGROUND_TRAIN_OVERRIDES and
# ML_PLAYGROUND_SAMPLE_OVERRIDES (JSON objects for [train] and [sample]), --set key=value.
# Relative paths in this file are relative to the folder of the experiment that is run.
# A key that is commented out is unset; --set KEY=none unsets one that an experiment sets.
#
# Written by: python -m transformer_playground.config.reference
"""
_WIDTH = 98


def default_config_text() -> str:
    """The text of `experiments/default_config.toml`."""
    return "\n".join([_HEADER, *_tables()])


def _tables() -> Iterator[str]:
    index = schema_index()
    for entry in index.values():
        if not entry.is_table or entry.named_tables:
            continue
        below = [
            child for child in index.values() if child.key[:-1] == entry.key and not child.is_table
        ]
        if below:
            yield _named_table(entry, below) if ANY_NAME in entry.key else _table(entry, below)


def _table(table: SchemaField, settings: list[SchemaField]) -> str:
    return "\n".join([f"[{table.name}]", *map(_setting, settings)])


def _named_table(table: SchemaField, settings: list[SchemaField]) -> str:
    heading = toml_key([part if part != ANY_NAME else "NAME" for part in table.key])
    lines = [*_comment(f"{table.description} Any number of:"), f"# [{heading}]"]
    for setting in settings:
        lines += _comment(f"{setting.key[-1]} = {setting.allowed}. {setting.description}")
    return "\n".join([*lines, ""])


def _setting(setting: SchemaField) -> str:
    lines = _comment(f"{setting.description} {_sentence(setting.allowed)}")
    unset = setting.default is None
    assignment = f"{setting.key[-1]} =" if unset else _assignment(setting)
    return "\n".join([*lines, f"# {assignment}" if unset else assignment, ""])


def _assignment(setting: SchemaField) -> str:
    return f"{setting.key[-1]} = {toml_value(setting.default)}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


if __name__ == "__main__":
    sys.stdout.write(default_config_text())
