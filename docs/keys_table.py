"""Write the table of keys at the end of `console.md` from the console's own table."""

from collections.abc import Iterator
from pathlib import Path

from transformer_playground.tables import markdown_row
from transformer_playground.tui.bindings import by_place, keys_text

DOCUMENT = Path(__file__).resolve().parent / "console.md"
_HEADING = "## Keys\n"
_HEADER = ("place", "keys", "name in the settings", "what it does")


def with_keys(document: str) -> str:
    """The document with the table as it is to be."""
    head, heading, _ = document.partition(_HEADING)
    return f"{head}{heading}\n" + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield markdown_row(_HEADER)
    yield markdown_row(":--" for _ in _HEADER)
    for title, keys in by_place():
        for key in keys:
            # A bar would end the cell.
            shown = " ".join(
                f"`{each}`" for each in keys_text(key.keys).replace("|", "\\|").split()
            )
            yield markdown_row([title, shown, key.id, key.help])


if __name__ == "__main__":
    DOCUMENT.write_text(with_keys(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
