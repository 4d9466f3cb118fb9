"""Text wrapped into rows, each made of runs of tokens."""

from collections.abc import Sequence

from rich.cells import cell_len

from transformer_playground.tui.shared.text import LINE_BREAK

PROMPT = -1
"""Token number of the prompt."""
PLAIN = -2
"""Token number of text that belongs to no token, such as headings."""
_TAB = "    "
_FIRST_NOT_ASCII = "\x7f"

Run = tuple[int, str]
"""Neighbouring characters of one token: its number (or PROMPT, PLAIN) and the characters."""
Row = list[Run]


class Flow:
    """Incremental word wrap: appended text changes only the last row.

    Args:
        width: Cells of a row, at minimum 1. A space, or the cell of a line break, may exceed it by
            one.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._done: list[Row] = []
        self._open: list[tuple[int, str, int]] = []
        self._used = 0
        # Where the open row may be cut: after its last space.
        self._cut = 0

    def push(self, token: int, text: str) -> None:
        """Append the text of a token; `text` is safe to display."""
        for char in text.replace("\t", _TAB):
            self._push(token, char)

    def __len__(self) -> int:
        return len(self._done) + 1

    def __getitem__(self, row: int) -> Row:
        return self._done[row] if row < len(self._done) else _runs(self._open)

    def _push(self, token: int, char: str) -> None:
        if char == "\n":
            # One cell, so that the cursor can be on a token of line breaks only.
            self._open.append((token, LINE_BREAK if token >= 0 else " ", 1))
            self._break(len(self._open))
            return
        width = 1 if char < _FIRST_NOT_ASCII else cell_len(char)
        overflows = self._used + width > self._width and bool(self._open)
        # The text after the last space may still be too long for a wide character.
        while char != " " and self._open and self._used + width > self._width:
            self._break(self._cut or len(self._open))
        self._open.append((token, char, width))
        self._used += width
        if char == " ":
            self._cut = len(self._open)
            if overflows:
                self._break(self._cut)

    def _break(self, at: int) -> None:
        self._done.append(_runs(self._open[:at]))
        self._open = self._open[at:]
        self._used = sum(width for _, _, width in self._open)
        self._cut = 0


def _runs(cells: Sequence[tuple[int, str, int]]) -> Row:
    runs: list[tuple[int, list[str]]] = []
    for token, char, _ in cells:
        if not runs or runs[-1][0] != token:
            runs.append((token, []))
        runs[-1][1].append(char)
    return [(token, "".join(chars)) for token, chars in runs]
