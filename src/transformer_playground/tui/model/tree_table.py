"""The tree of modules on screen: one line for each module that is not folded away."""

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from transformer_playground.terminal import visible_line
from transformer_playground.tui.model.table_state import ColumnSpec, TableState
from transformer_playground.tui.model.tree_state import Folds, Row
from transformer_playground.tui.shared.text import shorten

# Cells between columns of a narrow and of a wide table.
_GAPS = (1, 2)
_WIDE = 110
_INDENT = 2
# Rows whose texts decide about the widths of the columns.
_MEASURED_ROWS = 2_000
_OPEN, _FOLDED, _LEAF = "▾ ", "▸ ", "  "
_WARNED = ("mark", "difference")


class ModuleTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws only its visible lines; the cursor stays on its module."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"modules--{name}" for name in ("header", "cursor", "value", "muted", "warn", "accent")
    }

    class Highlighted(Message):
        """The cursor moved to another module."""

    class Folded(Message):
        """A module was clicked twice, or its sign once."""

    def __init__(self, folds: Folds) -> None:
        super().__init__(id="model-table")
        self._folds = folds
        self._state: TableState | None = None
        self._rows: list[Row] = []
        self._row = 0
        self._columns: list[tuple[ColumnSpec, int]] = []
        self._name_width, self._gap = 0, _GAPS[0]

    @property
    def row(self) -> Row | None:
        """The module under the cursor."""
        return self._rows[self._row] if self._row < len(self._rows) else None

    def show(self, state: TableState) -> None:
        """Show another state; the cursor stays on its module, else goes to the one around it."""
        wanted = self.row.name if self.row else ""
        self._state = state
        self._rows = self._folds.visible(state.tree)
        names = [row.name for row in self._rows]
        while wanted and wanted not in names:
            wanted = state.tree[wanted].parent or "" if wanted in state.tree else ""
        self._row = names.index(wanted) if wanted in names else 0
        self._arrange()

    def _arrange(self) -> None:
        width = self.scrollable_content_region.width
        self._gap = _GAPS[width >= _WIDE]
        rows = self._state.tree.rows[:_MEASURED_ROWS] if self._state else ()
        wanted = max((cell_len(_name(row)) for row in rows), default=0)
        self._columns = self._state.columns(rows, width, self._gap, wanted) if self._state else []
        taken = sum(cells + self._gap for _, cells in self._columns)
        self._name_width = max(0, min(width - taken, wanted))
        self.virtual_size = Size(width, len(self._rows) + 1)
        self.refresh()
        self._show_cursor()

    def on_resize(self) -> None:
        self._arrange()

    def move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._move_to(self._row + by)

    def move_page(self, by: int) -> None:
        self.move(by * max(1, self.size.height - 2))

    def move_to_end(self, by: int) -> None:
        self._move_to(len(self._rows) if by > 0 else 0)

    def move_out(self) -> None:
        """Move the cursor to the module around this one."""
        names = [row.name for row in self._rows]
        if self.row is not None and self.row.parent in names:
            self._move_to(names.index(self.row.parent))

    def _move_to(self, row: int) -> None:
        before, self._row = self._row, min(max(0, row), max(0, len(self._rows) - 1))
        self._show_cursor()
        if self._row != before:
            self.refresh()
            self.post_message(self.Highlighted())

    def _show_cursor(self) -> None:
        space, top = self.size.height - 1, self.scroll_offset.y
        if space > 0:
            target = min(max(top, self._row - space + 1), self._row)
            if target != top:
                self.scroll_to(y=target, animate=False, immediate=True, force=True)

    def on_click(self, event: events.Click) -> None:
        row = event.y - 1 + self.scroll_offset.y
        if event.y < 1 or row >= len(self._rows):
            return
        self._move_to(row)
        sign = self._rows[row].depth * _INDENT + 1
        if event.chain > 1 or event.x in (sign, sign + 1):
            self.post_message(self.Folded())

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y == 0:
            return self._strip(self._head(), base, width)
        number = y - 1 + self.scroll_offset.y
        if number >= len(self._rows):
            return Strip.blank(width, base)
        is_current = number == self._row
        style = base + self.get_component_rich_style("modules--cursor") if is_current else base
        return self._strip(self._line(self._rows[number], is_current), style, width)

    @staticmethod
    def _strip(parts: list[tuple[str, Style]], base: Style, width: int) -> Strip:
        segments = [Segment(text, base + style) for text, style in parts if text]
        return Strip(segments).adjust_cell_length(width, base)

    def _head(self) -> list[tuple[str, Style]]:
        assert self._state is not None or not self._columns
        style = self._style("header")
        parts = [(_pad(" " + "  module", self._name_width), style)]
        for spec, width in self._columns:
            title = self._state.title(spec) if self._state else ""
            parts.append((" " * self._gap + _pad(title, width, spec.right_aligned), style))
        return parts

    def _line(self, row: Row, is_current: bool) -> list[tuple[str, Style]]:
        state, is_folded = self._state, self._folds.is_folded(row)
        assert state is not None
        sign = (_FOLDED if is_folded else _OPEN) if row.has_children else _LEAF
        name = " " * (row.depth * _INDENT) + sign + visible_line(row.label)
        about = visible_line(row.module["about"])
        space = self._name_width - 1
        shown = shorten(name, space)
        rest = shorten(f"  {about}", space - cell_len(shown)) if about else ""
        parts = [
            ("▌" if is_current else " ", self._style("accent")),
            (shown, self._style("value")),
            (_pad(rest, space - cell_len(shown)), self._style("muted")),
        ]
        for spec, width in self._columns:
            text = shorten(state.text(row, spec.key, is_folded=is_folded), width)
            role = "warn" if spec.key in _WARNED else "value"
            parts.append(
                (" " * self._gap + _pad(text, width, spec.right_aligned), self._style(role))
            )
        return parts

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"modules--{name}")
        # The line sets the background.
        return Style(color=style.color, bold=style.bold, dim=style.dim)


def _name(row: Row) -> str:
    about = row.module["about"]
    return " " * (row.depth * _INDENT + 3) + row.label + (f"  {about}" if about else "")


def _pad(text: str, width: int, right_aligned: bool = False) -> str:
    gap = " " * max(0, width - cell_len(text))
    return gap + text if right_aligned else text + gap
