"""The legend of a chart: for each line its glyph, name and a value, in columns that stand still."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from transformer_playground.formatting import VALUE_WIDTH, value_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.braille_picture import BEST_MARK
from transformer_playground.tui.charts.series import PreparedLine

_WIDEST_NAME = 32
_NARROWEST_NAME = 8
_GAP = 3
# Glyph, value and the spaces around them.
_FIXED = 2 + 1 + VALUE_WIDTH


@dataclass(frozen=True)
class LegendEntry:
    """One line's part of the legend."""

    glyph: str
    name: str
    value: str
    best: str
    style: Style


def entry(line: PreparedLine, at: float | None, style: Style) -> LegendEntry:
    """What the legend says of a line: its value at a position, or its newest one."""
    reading = line.newest if at is None else line.nearest(at)
    return LegendEntry(
        line.line.sign,
        visible_line(line.line.label),
        "–" if reading is None else value_text(reading.y),
        "" if line.best is None else f"{BEST_MARK} {value_text(line.best.y)}",
        style,
    )


class Legend:
    """Entries side by side, as many in a row as fit.

    Args:
        entries: In order of reading.
        notes: Remarks after the entries, with their styles.
        width: Columns there are.
        rows: Rows there are at most.
        value: Style of values.
        muted: Style of names.
    """

    def __init__(
        self,
        entries: Sequence[LegendEntry],
        notes: Sequence[tuple[str, Style]],
        width: int,
        rows: int,
        value: Style,
        muted: Style,
    ) -> None:
        self._entries, self._notes = entries, notes
        self._width, self._value, self._muted = width, value, muted
        count = len(entries) + len(notes)
        longest = max((cell_len(each.name) for each in entries), default=0)
        longest = min(max(longest, _NARROWEST_NAME), _WIDEST_NAME)
        best = VALUE_WIDTH + 3 if any(each.best for each in entries) else 0
        # Everything, then without the best values, then with shorter names.
        self._best_width, self._name_width = best, longest
        across = -(-count // max(1, rows))
        room = (width + _GAP) // max(1, across) - _GAP - _FIXED
        if room < longest + best:
            self._best_width = 0
            self._name_width = min(longest, max(room, _NARROWEST_NAME))
        self._entry_width = _FIXED + self._name_width + self._best_width
        self._across = max(1, (width + _GAP) // (self._entry_width + _GAP))

    @property
    def lines(self) -> int:
        """Rows needed for all of it."""
        return -(-(len(self._entries) + len(self._notes)) // self._across)

    def strips(self, rows: int) -> list[Strip]:
        """The legend in so many rows; what does not fit is counted at its end."""
        cells = [self._cell(each) for each in self._entries]
        cells += [[Segment(_fit(text, self._entry_width), style)] for text, style in self._notes]
        room = rows * self._across
        if rows and len(cells) > room:
            left = len(cells) - room + 1
            more = _fit(f"+{left} more", self._entry_width)
            cells = [*cells[: room - 1], [Segment(more, self._muted)]]
        return [
            self._row(cells[row * self._across : (row + 1) * self._across]) for row in range(rows)
        ]

    def _row(self, cells: Sequence[Sequence[Segment]]) -> Strip:
        segments: list[Segment] = []
        for cell in cells:
            if segments:
                segments.append(Segment(" " * _GAP))
            segments.extend(cell)
        return Strip(segments).adjust_cell_length(self._width)

    def _cell(self, each: LegendEntry) -> list[Segment]:
        return [
            Segment(f"{each.glyph} ", each.style),
            Segment(_fit(each.name, self._name_width), self._muted),
            Segment(each.value.rjust(VALUE_WIDTH + 1), self._value),
            Segment(
                each.best.rjust(self._best_width)[: self._best_width] if self._best_width else "",
                self._muted,
            ),
        ]


def _fit(text: str, width: int) -> str:
    """The text in exactly `width` columns; a longer one loses its middle: names differ at ends."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    head = max(0, width - 1) // 2
    tail = text[len(text) - (width - 1 - head) :] if width > 1 else ""
    return set_cell_size(set_cell_size(text, head) + "…" + tail, width)
