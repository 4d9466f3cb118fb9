"""Export of what the Model view shows: the table as Markdown, the measurements as JSON."""

from collections.abc import Mapping
from pathlib import Path

from transformer_playground.errors import ExportError
from transformer_playground.files import replace_json, replace_text, timestamped, write_new_file
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.tables import Column, markdown_table
from transformer_playground.tui.model.details_state import facts
from transformer_playground.tui.model.table_state import PAIR, SINGLE, TableState

FORMATS: Mapping[str, str] = {
    "md": "Markdown, all modules",
    "json": "JSON, as printed by tp inspect --model --json",
}


def model_markdown(state: TableState, title: str) -> str:
    """All modules as a Markdown table, with the facts above it.

    Args:
        state: What the view shows.
        title: What it is of.
    """
    rows = state.tree.rows
    columns = [
        Column("module", [row.name or "model" for row in rows]),
        Column("about", [row.module["about"] for row in rows]),
    ]
    for spec in PAIR if state.tree.is_pair else SINGLE:
        cells = [state.text(row, spec.key) for row in rows]
        if any(cells):
            columns.append(Column(state.title(spec), cells, spec.right_aligned))
    about = ["".join(text for text, _ in line) for line in facts(state.shown, "")]
    return (
        "\n".join(
            [f"# {title}", "", *(f"{line}  " for line in about), "", *markdown_table(columns)]
        )
        + "\n"
    )


def export_model(kind: str, state: TableState, title: str, folder: Path) -> Path:
    """Write to a new file of `folder`.

    Args:
        kind: A key of `FORMATS`.

    Raises:
        ExportError: Nothing has been measured, or OSError while writing.
    """
    document = state.shown.reading.document()
    if kind == "json" and document is None:
        raise ExportError(
            "Nothing has been measured that JSON could hold: there is no checkpoint.",
            "Export Markdown.",
        )

    def write(path: Path) -> None:
        if kind == "json":
            replace_json(path, to_jsonable(document))
        else:
            replace_text(path, model_markdown(state, title))

    return write_new_file(folder, timestamped("model"), kind, write)
