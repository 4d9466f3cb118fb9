"""The table of runs as a file: CSV and JSON with whole values, Markdown as people read it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from transformer_playground import tables
from transformer_playground.config.toml import toml_value
from transformer_playground.files import replace_text
from transformer_playground.runs.fields import FIELDS, RunInfo
from transformer_playground.tui.runs.table_state import Column
from transformer_playground.tui.shared.export import write_new_file

Format = Literal["csv", "md", "json"]
FORMATS: dict[Format, str] = {"csv": "CSV", "md": "Markdown", "json": "JSON"}


def export_table(
    folder: Path, rows: Sequence[RunInfo], columns: Sequence[Column], kind: Format, now: float
) -> Path:
    """Write the table into a new file of `folder`: `runs.csv`, or `runs-2.csv` if that is taken.

    Raises:
        ExportError: OSError while writing.
    """
    shown = [Column("run", "run", FIELDS["run"]), *_exported(columns)]
    match kind:
        case "csv":
            text = _csv(rows, shown, now)
        case "md":
            text = _markdown(rows, shown, now)
        case "json":
            text = json.dumps([row.as_json() for row in rows], indent=2, ensure_ascii=False) + "\n"
    # A lone surrogate, of a folder's name that is not UTF-8, cannot be written as such.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return write_new_file(folder, "runs", kind, partial(replace_text, text=text))


def _exported(columns: Sequence[Column]) -> list[Column]:
    """Each field once: progress is the step, and the difference to a baseline is no field."""
    fields = {column.field.key: column.field for column in columns if column.key != "delta"}
    return [Column(key, field.header, field) for key, field in fields.items()]


def _csv(rows: Sequence[RunInfo], columns: Sequence[Column], now: float) -> str:
    values = ([_value(each.field.value(row, now)) for each in columns] for row in rows)
    return tables.csv_text([column.field.key for column in columns], values, toml_value)


def _value(value: Any) -> Any:
    return " ".join(value) if isinstance(value, tuple) else value


def _markdown(rows: Sequence[RunInfo], columns: Sequence[Column], now: float) -> str:
    shown = [
        tables.Column(
            each.field.header, [each.field.text(row, now) for row in rows], each.right_aligned
        )
        for each in columns
    ]
    return "\n".join(tables.markdown_table(shown)) + "\n"
