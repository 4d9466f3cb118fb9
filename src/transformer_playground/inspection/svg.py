"""Pictures of `tp inspect` as SVG: grids of cells whose colour is a number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from transformer_playground.errors import UsageError
from transformer_playground.terminal import visible_line

Document = Mapping[str, Any]

_CELL, _GAP, _LINE, _MARGIN = 22, 18, 16, 14
_LETTER = 6.6
_PAGE = 1180
# Okabe & Ito (2008): distinct for every kind of colour vision.
_BLUE, _ORANGE = (0, 114, 178), (213, 94, 0)
_INK, _PAPER = "#24292f", "#ffffff"


@dataclass(frozen=True)
class Panel:
    """A grid of numbers.

    Attributes:
        values: Rows of numbers; None is left empty.
        rows, columns: Labels; empty for none.
        texts: Text in each cell; empty for none.
        low, high: Numbers at the ends of the scale; negative ones are orange.
        cell: Size of a cell in pixels: width and height.
    """

    title: str
    values: Sequence[Sequence[float | None]]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    texts: Sequence[Sequence[str]] = ()
    high: float = 1.0
    cell: tuple[int, int] = (_CELL, _CELL)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, with labels."""
        left = self.left
        width = left + max(map(len, self.values), default=0) * self.cell[0]
        height = len(self.values) * self.cell[1] + _LINE * (1 + bool(self.columns))
        return max(width, round(len(self.title) * _LETTER)), height

    @property
    def left(self) -> int:
        """Pixels of the row labels."""
        longest = max(map(len, self.rows), default=0)
        return round(longest * _LETTER) + 6 if longest else 0


def picture(document: Document) -> str:
    """A view as a complete SVG document.

    Raises:
        UsageError: The view is a list, not a grid.
    """
    make = _PANELS.get(document["view"])
    if make is None:
        raise UsageError(
            f"The view {document['view']} has no picture.",
            f"Pictures show {', '.join(_PANELS)}; print it as text or with --json.",
        )
    groups = [
        make(checkpoint["result"], document, f"step {checkpoint['step']:,}")
        for checkpoint in document["checkpoints"]
    ]
    return _draw(f"{document['run_id']}: {document['view']}", groups)


def _draw(title: str, groups: Sequence[Sequence[Panel]]) -> str:
    """Panels from left to right; each group begins a new line."""
    y, right = _MARGIN + _LINE + 6, 0
    parts: list[str] = []
    for group in groups:
        x, below = _MARGIN, 0
        for panel in group:
            width, height = panel.size
            if x > _MARGIN and x + width > _PAGE:
                x, y, below = _MARGIN, y + below + _GAP, 0
            parts.append(_panel(panel, x, y))
            x, below, right = x + width + _GAP, max(below, height), max(right, x + width)
        y += below + _GAP
    size = f'width="{right + _MARGIN}" height="{y}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="ui-monospace, Menlo, '
        f'Consolas, monospace" font-size="11" fill="{_INK}">'
        f'<title>{_text(title)}</title><rect width="100%" height="100%" fill="{_PAPER}"/>'
        f'<text x="{_MARGIN}" y="{_MARGIN + 10}" font-weight="bold" font-size="13">'
        f"{_text(title)}</text>"
    )
    return head + "".join(parts) + "</svg>\n"


def _panel(panel: Panel, x: int, y: int) -> str:
    wide, high = panel.cell
    left, top = x + panel.left, y + _LINE * (1 + bool(panel.columns))
    parts = [f'<text x="{x}" y="{y + 11}">{_text(panel.title)}</text>']
    for number, name in enumerate(panel.columns):
        middle = left + (number + 0.5) * wide
        parts.append(_label(name, middle, top - 4, "middle"))
    for number, name in enumerate(panel.rows):
        parts.append(_label(name, left - 4, top + (number + 0.5) * high + 4, "end"))
    for row, values in enumerate(panel.values):
        for column, value in enumerate(values):
            if value is None or not math.isfinite(value):
                continue
            share = max(-1.0, min(1.0, value / panel.high)) if panel.high else 0.0
            # Empty cells of a large picture need no rectangle.
            if abs(share) >= 0.01:
                at = f'x="{left + column * wide}" y="{top + row * high}"'
                size = f'width="{wide}" height="{high}"'
                parts.append(f'<rect {at} {size} fill="{_colour(share)}"/>')
            if panel.texts:
                middle = left + (column + 0.5) * wide
                ink = _PAPER if abs(share) > 0.6 else _INK
                parts.append(
                    _label(
                        panel.texts[row][column],
                        middle,
                        top + (row + 0.5) * high + 4,
                        "middle",
                        ink,
                    )
                )
    width = max(map(len, panel.values), default=0) * wide
    frame = f'width="{width}" height="{len(panel.values) * high}"'
    parts.append(f'<rect x="{left}" y="{top}" {frame} fill="none" stroke="#d0d7de"/>')
    return "".join(parts)


def _label(text: str, x: float, y: float, anchor: str, ink: str = _INK) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{ink}">{_text(text)}</text>'


def _text(text: str) -> str:
    # XML does not allow these two, and `visible_line` keeps them.
    return escape(visible_line(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"))


def _colour(share: float) -> str:
    """White at 0, blue at 1 and orange at -1."""
    red, green, blue = (
        round(255 + (end - 255) * abs(share)) for end in (_BLUE if share > 0 else _ORANGE)
    )
    return f"#{red:02x}{green:02x}{blue:02x}"


def _shown(texts: Sequence[str]) -> tuple[list[str], int]:
    """Token texts of at most 8 letters, and the width of a cell that holds them."""
    cut = [text if len(text) <= 8 else text[:7] + "…" for text in map(visible_line, texts)]
    return cut, max(_CELL, round(max(map(len, cut), default=1) * _LETTER) + 8)


def _text_panels(result: Document, document: Document, step: str) -> list[Panel]:
    texts, wide = _shown(document["text"]["token_texts"])
    values = [None if each is None else each / math.log(2) for each in result["surprisals"]]
    per_row = max(1, (_PAGE - 2 * _MARGIN) // wide)
    cuts = range(0, len(texts), per_row)
    return [
        Panel(
            f"{step} · surprisal, 0 (white) to 8 bits",
            [values[cut : cut + per_row] for cut in cuts],
            texts=[texts[cut : cut + per_row] for cut in cuts],
            high=8.0,
            cell=(wide, _CELL),
        )
    ]


def _lens_panels(result: Document, document: Document, step: str) -> list[Panel]:
    grid = result["grid"]
    texts = [_shown(row) for row in grid["texts"]]
    columns, wide = _shown(document["text"]["token_texts"])
    return [
        Panel(
            f"{step} · likeliest next token after each layer, by probability",
            grid["probabilities"],
            rows=[str(each["layer"]) for each in result["layers"]],
            columns=columns,
            texts=[row for row, _ in texts],
            cell=(max([wide, *(width for _, width in texts)]), _CELL),
        )
    ]


def _attribution_panels(result: Document, _: Document, step: str) -> list[Panel]:
    heads, mlps = result["heads"], result["mlps"]
    values = [[*row, mlp] for row, mlp in zip(heads, mlps, strict=True)]
    top = max((abs(each) for row in values for each in row), default=1.0)
    token = visible_line(result["target"]["text"])
    return [
        Panel(
            f"{step} · logit of “{token}” by head and MLP, ±{top:.2f}",
            values,
            rows=[f"layer {n}" for n in range(len(values))],
            columns=[*map(str, range(len(heads[0]))), "mlp"],
            texts=[[f"{each:.1f}" for each in row] for row in values],
            high=top,
            cell=(34, _CELL),
        )
    ]


def _attention_panels(result: Document, document: Document, step: str) -> list[Panel]:
    patterns = result["patterns"]
    if patterns is None:
        raise UsageError(
            "The text is too long for a picture of its attention: more than 128 tokens.",
            "Give a shorter --prompt.",
        )
    count = len(document["text"]["tokens"])
    pixel = max(2, min(14, 240 // max(1, count)))
    return [
        Panel(f"{step} · head {layer}.{head}", pattern, cell=(pixel, pixel))
        for layer, row in enumerate(patterns)
        for head, pattern in enumerate(row)
    ]


def _heads_panels(result: Document, _: Document, step: str) -> list[Panel]:
    return [
        Panel(
            f"{step} · {name.replace('_', ' ')}",
            result[name],
            rows=[f"layer {n}" for n in range(len(result[name]))],
            columns=[str(n) for n in range(len(result[name][0]))],
            texts=[[f"{each:.2f}" for each in row] for row in result[name]],
            cell=(34, _CELL),
        )
        for name in ("previous_token", "duplicate_token", "induction")
    ]


def _ablate_panels(result: Document, document: Document, step: str) -> list[Panel]:
    found = result["parts"]
    columns, wide = _shown(document["text"]["token_texts"])
    return [
        Panel(
            f"{step} · loss added at each token without a part, ±2 nats",
            [each["changes"] for each in found],
            rows=[each["part"] for each in found],
            columns=columns,
            high=2.0,
            cell=(wide, _CELL),
        )
    ]


def _patch_panels(result: Document, _: Document, step: str) -> list[Panel]:
    grid = result["recovered"]
    if grid is None:
        raise UsageError("Both prompts have the same answer: there is nothing to draw.")
    columns, wide = _shown(result["other"]["token_texts"])
    return [
        Panel(
            f"{step} · way to the other answer, patching one layer and position",
            grid,
            rows=[f"layer {n}" for n in range(len(grid))],
            columns=columns,
            cell=(wide, _CELL),
        )
    ]


_PANELS = {
    "text": _text_panels,
    "lens": _lens_panels,
    "attribution": _attribution_panels,
    "attention": _attention_panels,
    "heads": _heads_panels,
    "ablate": _ablate_panels,
    "patch": _patch_panels,
}
