"""Cells of the tree of modules: sizes of weights and gradients, marks, columns that fit."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from rich.cells import cell_len

from transformer_playground.formatting import (
    count_text,
    optional_text,
    percent_text,
    value_text,
)
from transformer_playground.inspection.glyphs import bar
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.sparkline import share_blocks
from transformer_playground.tui.model.reading import Document, Reading, Shown
from transformer_playground.tui.model.tree_state import Row, Tree

Quantity = Literal["update", "weight", "gradient"]
QUANTITIES: Mapping[Quantity, str] = {
    "update": "update / weight",
    "weight": "weight",
    "gradient": "gradient",
}
"""What the small curves over the checkpoints show."""


def quantity_named(name: str) -> Quantity:
    """The quantity of this name; the update, if there is none."""
    known: list[Quantity] = [*QUANTITIES]
    return known[[*QUANTITIES].index(name)] if name in [*QUANTITIES] else "update"


# An update or a gradient is high if it is so many times the median of the matrices.
_HIGH_UPDATE, _HIGH_GRADIENT = 3.0, 10.0
# Share of the neurons of an MLP from which their silence is marked.
_MANY_DEAD = 0.1
_BAR_CELLS = 4
_CURVE_CELLS = 12
_LEAST_POINTS = 2
# Cells of the names that columns leave free, and the share of a table that long ones may have.
_LEAST_NAME, _NAME_SHARE = 24, 0.33


@dataclass(frozen=True)
class Sizes:
    """Root mean squares over all parameters of a module; None = not known.

    Attributes:
        update: Of the change since the checkpoint before, in proportion to the same weights.
        apart: Of the difference to the other model, in proportion to the weights.
    """

    weight: float | None = None
    gradient: float | None = None
    update: float | None = None
    apart: float | None = None


class _Sum:
    """Squares of parameters, added up."""

    def __init__(self) -> None:
        self.count, self.total, self.of_weights = 0, 0.0, 0.0

    def add(self, count: int, rms: float | None, weight: float) -> None:
        if rms is not None:
            self.count += count
            self.total += count * rms**2
            self.of_weights += count * weight**2

    @property
    def rms(self) -> float | None:
        return math.sqrt(self.total / self.count) if self.count else None

    @property
    def relative(self) -> float | None:
        return math.sqrt(self.total / self.of_weights) if self.of_weights else None


def sizes_by_module(
    weights: Sequence[Document], apart: Mapping[str, float] | None = None
) -> dict[str, Sizes]:
    """Sizes of each module, with the modules in it.

    Args:
        weights: As in the JSON of `tp inspect --model`.
        apart: Parameter -> difference to that of another model.
    """
    sums: dict[str, tuple[_Sum, _Sum, _Sum, _Sum]] = {}
    for each in weights:
        count, size = math.prod(each["shape"]), each["weight_rms"]
        values = (
            size,
            each["gradient_rms"],
            each["update_rms"],
            (apart or {}).get(each["name"]),
        )
        owner = each["name"]
        while owner:
            owner = owner.rpartition(".")[0]
            for into, value in zip(
                sums.setdefault(owner, (_Sum(), _Sum(), _Sum(), _Sum())), values, strict=True
            ):
                into.add(count, value, size)
    return {
        name: Sizes(weight.rms, gradient.rms, update.relative, difference.relative)
        for name, (weight, gradient, update, difference) in sums.items()
    }


def dead_shares(result: Document) -> dict[str, float]:
    """Share of silent neurons of each MLP, by module."""
    mlps = [each for each in result["modules"] if each["neurons"]]
    dead = result.get("dead_units")
    if dead is None or len(dead) != len(mlps):
        return {}
    return {each["name"]: count / each["neurons"] for each, count in zip(mlps, dead, strict=True)}


def marks_of(tree: Tree, sizes: Mapping[str, Sizes], dead: Mapping[str, float]) -> dict[str, str]:
    """What a reader should look at, in words, by module.

    Matrices are compared with one another: embeddings, norms and containers are not like them.
    """
    matrices = {
        row.name: sizes[row.name]
        for row in tree.rows
        if row.name in sizes and row.ours is not None and _is_trained_matrix(row.ours)
    }
    median = {key: _median(matrices.values(), key) for key in ("update", "gradient")}
    found: dict[str, list[str]] = {}
    for name, size in matrices.items():
        words = []
        if any(value is not None and not math.isfinite(value) for value in vars(size).values()):
            words.append("not finite")
        if _is_above(size.update, median["update"], _HIGH_UPDATE):
            words.append("update high")
        if _is_above(size.gradient, median["gradient"], _HIGH_GRADIENT):
            words.append("gradient high")
        if size.gradient == 0:
            words.append("gradient 0")
        if words:
            found[name] = words
    for name, share in dead.items():
        if share >= _MANY_DEAD:
            found.setdefault(name, []).append(f"dead {percent_text(share)}")
    return {name: ", ".join(words) for name, words in found.items()}


def _is_trained_matrix(module: Document) -> bool:
    return bool(module["trainable"]) and any(len(shape) > 1 for shape in module["shapes"].values())


def _median(sizes: Any, key: str) -> float | None:
    values = [value for each in sizes if (value := getattr(each, key)) is not None]
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if len(finite) > 2 else None


def _is_above(value: float | None, median: float | None, times: float) -> bool:
    return value is not None and median is not None and median > 0 and value > times * median


@dataclass(frozen=True)
class ColumnSpec:
    """A column.

    Attributes:
        rank: Where space is short, columns of high ranks go first.
        right_aligned: Whether its cells end at the same place.
    """

    key: str
    title: str
    rank: int
    right_aligned: bool = True


_APART_RANK = 4
# Added to the rank of a column that says of the other model what another column says of this one.
_EQUAL = 10

SINGLE = (
    ColumnSpec("shape", "shape", 3, right_aligned=False),
    ColumnSpec("params", "params", 1),
    ColumnSpec("share", "share", 5, right_aligned=False),
    ColumnSpec("flop", "FLOP/token", 8),
    ColumnSpec("weight", "weight", 6),
    ColumnSpec("gradient", "gradient", 4),
    ColumnSpec("update", "upd/weight", 2),
    ColumnSpec("curve", "", 7, right_aligned=False),
    ColumnSpec("mark", "look at", 0, right_aligned=False),
)
PAIR = (
    ColumnSpec("shape", "shape", 2, right_aligned=False),
    ColumnSpec("their_shape", "other shape", 2, right_aligned=False),
    ColumnSpec("params", "params", 1),
    ColumnSpec("their_params", "other params", 1),
    ColumnSpec("weight", "weight", 5),
    ColumnSpec("their_weight", "other weight", 5),
    ColumnSpec("gradient", "gradient", 6),
    ColumnSpec("their_gradient", "other grad", 6),
    ColumnSpec("apart", "apart", _APART_RANK),
    ColumnSpec("difference", "differs", 0, right_aligned=False),
)


@dataclass
class TableState:
    """What the table shows of an answer; made again for each."""

    shown: Shown
    quantity: Quantity = "update"
    _texts: dict[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def tree(self) -> Tree:
        """The rows."""
        ours, other = self.shown.reading.structure, self.shown.other
        if ours is None:
            return Tree()
        theirs = other.structure if other else None
        return Tree.of(ours["modules"], theirs["modules"] if theirs else None)

    @cached_property
    def _ours(self) -> dict[str, Sizes]:
        return _sizes_of(self.shown.reading, self.shown.apart)

    @cached_property
    def _theirs(self) -> dict[str, Sizes]:
        return _sizes_of(self.shown.other) if self.shown.other else {}

    @cached_property
    def dead(self) -> dict[str, float]:
        """Share of silent neurons by MLP."""
        entry = self.shown.reading.entry
        return dead_shares(entry["result"]) if entry else {}

    @cached_property
    def marks(self) -> dict[str, str]:
        """What to look at, by module."""
        return marks_of(self.tree, self._ours, self.dead)

    @cached_property
    def _marks_inside(self) -> dict[str, int]:
        return self.tree.counts_inside(set(self.marks))

    @cached_property
    def _curves(self) -> dict[str, list[float | None]]:
        """The chosen quantity of each module, by step."""
        histories = [
            sizes_by_module(entry["result"]["weights"]) for entry in self.shown.reading.history()
        ]
        names = dict.fromkeys(name for sizes in histories for name in sizes)
        return {
            name: [getattr(sizes.get(name, Sizes()), self.quantity) for sizes in histories]
            for name in names
        }

    def sizes(self, name: str) -> Sizes:
        """Sizes of a module of the model that is looked at."""
        return self._ours.get(name, Sizes())

    def values(self, name: str) -> list[float | None]:
        """The chosen quantity of a module at each measured checkpoint."""
        return self._curves.get(name, [None] * len(self.shown.reading.history()))

    def _curve(self, name: str) -> str:
        values = [each for each in self.values(name) if each is not None and math.isfinite(each)]
        shown = values[-_CURVE_CELLS:]
        if len(shown) < _LEAST_POINTS:
            return ""
        # From zero: a change of a thousandth is none to see.
        high = max(shown)
        return share_blocks([value / high if high > 0 else 0.0 for value in shown])

    def text(self, row: Row, key: str, *, is_folded: bool = False) -> str:
        """A cell, safe to print."""
        if key in ("mark", "difference"):
            return self._remark(row, key, is_folded)
        place = row.name, key
        if place not in self._texts:
            self._texts[place] = visible_line(self._text(row, key))
        return self._texts[place]

    def _remark(self, row: Row, key: str, is_folded: bool) -> str:
        if key == "mark":
            own, inside = self.marks.get(row.name, ""), self._marks_inside.get(row.name, 0)
        else:
            own, inside = self._difference(row), self.tree.differences_inside.get(row.name, 0)
        own = f"! {own}" if own and key == "mark" else own
        below = f"{inside} inside" if inside and (is_folded or not row.name) else ""
        if below and key == "mark" and not own:
            below = f"! {below}"
        return ", ".join(part for part in (own, below) if part)

    def _difference(self, row: Row) -> str:
        return {"only here": "≠ only here", "only there": "≠ only in other"}.get(
            found := self.tree.difference(row), f"≠ {found}" if found else ""
        )

    def _text(self, row: Row, key: str) -> str:
        ours, theirs = row.ours, row.theirs
        mine, other = self.sizes(row.name), self._theirs.get(row.name, Sizes())
        match key:
            case "shape":
                return shape_text(ours)
            case "their_shape":
                return shape_text(theirs)
            case "params":
                return optional_text(ours, _parameters_text)
            case "their_params":
                return optional_text(theirs, _parameters_text)
            case "share":
                return _share_text(row.module["share"])
            case "flop":
                return (
                    count_text(row.module["flop_per_token"]) if row.module["flop_per_token"] else ""
                )
            case "curve":
                return self._curve(row.name)
            case "weight" | "gradient" | "update" | "apart":
                return optional_text(getattr(mine, key), value_text)
            case "their_weight":
                return optional_text(other.weight, value_text)
            case "their_gradient":
                return optional_text(other.gradient, value_text)
        raise KeyError(key)

    def columns(
        self, rows: Sequence[Row], width: int, gap: int, names: int
    ) -> list[tuple[ColumnSpec, int]]:
        """The columns that fit beside the names, and their widths.

        Args:
            rows: The rows whose cells must fit.
            width: Cells of the table.
            gap: Cells before each column.
            names: Cells that the names would take in full.
        """
        is_pair = self.tree.is_pair
        found = []
        for spec in PAIR if is_pair else SINGLE:
            cells = max(
                (cell_len(self.text(row, spec.key, is_folded=True)) for row in rows), default=0
            )
            if cells or (spec.key == "difference"):
                found.append((spec, max(cells, cell_len(self.title(spec)))))
        ranks = self._ranks(rows, [spec for spec, _ in found])
        space = width - min(names, max(_LEAST_NAME, int(width * _NAME_SHARE)))
        while found and sum(cells + gap for _, cells in found) > space:
            last = max(ranks[spec.key] for spec, _ in found)
            if last == 0:
                break
            found = [pair for pair in found if ranks[pair[0].key] != last]
        return found

    def _ranks(self, rows: Sequence[Row], specs: Sequence[ColumnSpec]) -> dict[str, float]:
        """Ranks of columns; what is the same in both models goes before what differs."""
        ranks: dict[str, float] = {spec.key: spec.rank for spec in specs}
        for spec in specs:
            theirs = f"their_{spec.key}"
            if theirs in ranks and all(
                self.text(row, spec.key) == self.text(row, theirs) for row in rows
            ):
                ranks[theirs] += _EQUAL
                ranks[spec.key] = max(ranks[spec.key], _APART_RANK + spec.rank / _EQUAL)
        return ranks

    def title(self, spec: ColumnSpec) -> str:
        """Header of a column."""
        return QUANTITIES[self.quantity] if spec.key == "curve" else spec.title


def _sizes_of(reading: Reading, apart: Mapping[str, float] | None = None) -> dict[str, Sizes]:
    entry = reading.entry
    return sizes_by_module(entry["result"]["weights"], apart) if entry else {}


def _parameters_text(module: Document) -> str:
    return f"{module['parameters']:,}"


def shape_text(module: Document | None) -> str:
    """Shape of the main parameter of a module: 128 × 384; ? for an unknown vocabulary."""
    shape = next(iter(module["shapes"].values()), None) if module else None
    return "" if shape is None else " × ".join(f"{size:,}" if size else "?" for size in shape)


def _share_text(share: float) -> str:
    return f"{percent_text(share):>6} {bar(share, 1.0, _BAR_CELLS)}"
