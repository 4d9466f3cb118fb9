"""Last, lowest and highest value of every number in the rows of runs, as lines of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len

from transformer_playground.formatting import fitting_text, position_text
from transformer_playground.runs.series import Curve
from transformer_playground.tui.live.follower import LiveFrame
from transformer_playground.tui.live.quantities import CurveSpec, Quantity
from transformer_playground.tui.shared.text import shorten_middle

TITLES = ("last", "lowest", "highest")
_LEAST_NAME = 8
_GAP = "  "


@dataclass(frozen=True)
class ValueRow:
    """The values of one number of one run.

    Attributes:
        key: Tells the row from all others; untrusted text.
        name: What the number is called, safe to print.
        figures: Last, lowest and highest finite value, each with its step, or with the first and
            last step of the rows that were thinned to it.
    """

    key: tuple[str, str, str]
    quantity: Quantity
    name: str
    run_id: str
    figures: tuple[str, str, str]


def value_rows(frame: LiveFrame) -> tuple[ValueRow, ...]:
    """The rows of all numbers that have values, by quantity, then by curve, then by run.

    Args:
        frame: Of a request with the quantities of all runs on the axis of steps.
    """
    return tuple(_rows(frame))


def _rows(frame: LiveFrame) -> Iterator[ValueRow]:
    for place, quantity in enumerate(frame.request.beside):
        for number, spec in enumerate(quantity.curves):
            for run in frame.runs:
                if place >= len(run.beside):
                    continue
                figures = _figures(run.beside[place][number], quantity)
                if figures is not None:
                    key = quantity.id, f"{spec.event}.{spec.key}", run.run_id
                    yield ValueRow(key, quantity, _name(spec, quantity), run.run_id, figures)


def _name(spec: CurveSpec, quantity: Quantity) -> str:
    if len(quantity.curves) > 1:
        return f"{spec.name} {quantity.title}"
    return quantity.title


def _figures(curve: Curve, quantity: Quantity) -> tuple[str, str, str] | None:
    known = np.flatnonzero(np.isfinite(curve.y))
    if not len(known):
        return None
    values = curve.y[known]
    places = (known[-1], known[np.argmin(values)], known[np.argmax(values)])
    last, lowest, highest = (_figure(curve, int(place), quantity) for place in places)
    return last, lowest, highest


def _figure(curve: Curve, place: int, quantity: Quantity) -> str:
    """A value and its step: 2.0419 @ 360; of thinned rows the steps between which it was."""
    first = last = place
    if curve.buckets is not None and place < 2 * len(curve.buckets):
        first, last = place - place % 2, place - place % 2 + 1
    steps = dict.fromkeys(position_text(float(curve.x[each])) for each in (first, last))
    return f"{fitting_text(float(curve.y[place]), quantity.show)} @ {'–'.join(steps)}"


def matching(
    rows: Sequence[ValueRow], query: str, names: Mapping[str, str]
) -> tuple[ValueRow, ...]:
    """The rows whose name or run has all words of a query.

    Args:
        rows: All rows.
        query: What was typed.
        names: Run id -> what the run is called.
    """
    words = query.casefold().split()
    return tuple(
        row
        for row in rows
        if all(word in f"{row.name} {names.get(row.run_id, '')}".casefold() for word in words)
    )


@dataclass(frozen=True)
class ValueColumns:
    """Widths of the columns, in cells: the first one shows what a row is about."""

    first: int
    figures: tuple[int, int, int]

    @classmethod
    def fitting(cls, rows: Sequence[ValueRow], labels: Sequence[str], width: int) -> "ValueColumns":
        """Columns as wide as their texts; the first one has what is left of `width`, if less.

        Args:
            rows: The rows of the table.
            labels: Texts of the first column.
            width: Cells of the whole table.
        """
        last, lowest, highest = (
            max([cell_len(title), *(cell_len(row.figures[place]) for row in rows)])
            for place, title in enumerate(TITLES)
        )
        left = width - last - lowest - highest - len(_GAP) * len(TITLES)
        first = min(max([cell_len(text) for text in labels], default=0), left)
        return cls(max(_LEAST_NAME, first), (last, lowest, highest))

    def line(self, label: str, figures: Sequence[str]) -> tuple[str, str]:
        """The first column and the others, aligned."""
        name = shorten_middle(label, self.first)
        name += " " * (self.first - cell_len(name))
        others = (
            " " * (width - cell_len(text)) + text
            for width, text in zip(self.figures, figures, strict=True)
        )
        return name, "".join(_GAP + text for text in others)
