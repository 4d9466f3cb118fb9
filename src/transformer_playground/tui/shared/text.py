"""Text shortened to a number of terminal cells, with an ellipsis where it was cut."""

from rich.cells import cell_len, set_cell_size


def shorten(text: str, width: int) -> str:
    """At most `width` cells; the end of a longer text is cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def shorten_middle(text: str, width: int) -> str:
    """At most `width` cells; a longer text loses its middle, because names differ at their ends."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    head = set_cell_size(text, (width - 1) // 2)
    space = width - 1 - cell_len(head)
    tail = text[len(text) - space :] if space else ""
    while cell_len(tail) > space:
        tail = tail[1:]
    return f"{head}…{tail}"
