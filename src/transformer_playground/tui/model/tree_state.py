"""The tree of modules as rows: containers merged, folds, and the trees of two models as one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Module = Mapping[str, Any]
"""An entry of `modules` in the JSON of `tp inspect --model`."""

Difference = Literal["", "only here", "only there", "other shape", "other settings"]

# They have no parameters of their own, and only group others under a name.
_CONTAINERS = frozenset({"ModuleList", "ModuleDict", "Sequential"})
# What wraps these, as adapters do, is looked into on request.
_LAYERS = frozenset({"Linear", "Embedding", "Conv1D"})


@dataclass(frozen=True)
class Row:
    """A module of one model, or of either of two.

    Attributes:
        name: Dotted name; empty for the whole model.
        label: Its name within its parent.
        depth: Number of rows above it in the tree.
        parent: Name of the row that it is folded into; None for the whole model.
        ours: The module; None if only the other model has it.
        theirs: That of the other model; None without one.
        has_children: Whether it can be folded.
    """

    name: str
    label: str
    depth: int
    parent: str | None
    ours: Module | None
    theirs: Module | None = None
    has_children: bool = False

    @property
    def module(self) -> Module:
        """That of the model that is looked at, else that of the other one."""
        module = self.theirs if self.ours is None else self.ours
        assert module is not None
        return module


@dataclass(frozen=True)
class Tree:
    """Rows of one model, or of two side by side; parents come before their children."""

    rows: tuple[Row, ...] = ()
    is_pair: bool = False
    _by_name: Mapping[str, Row] = field(default_factory=dict)

    @classmethod
    def of(cls, ours: Sequence[Module], theirs: Sequence[Module] | None = None) -> "Tree":
        """The tree of a model, or of two: modules of one name are one row."""
        rows = tuple(_Builder(ours, theirs or ()).rows())
        return cls(rows, theirs is not None, {row.name: row for row in rows})

    def __getitem__(self, name: str) -> Row:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def difference(self, row: Row) -> Difference:
        """How a module differs from that of the other model."""
        if not self.is_pair:
            return ""
        if row.ours is None:
            return "only there"
        if row.theirs is None:
            return "only here"
        if row.ours["shapes"] != row.theirs["shapes"]:
            return "other shape"
        same = all(row.ours[key] == row.theirs[key] for key in ("kind", "about"))
        return "" if same else "other settings"

    @cached_property
    def differences_inside(self) -> Mapping[str, int]:
        """Number of modules below each one that differ."""
        return self.counts_inside({row.name for row in self.rows if self.difference(row)})

    def counts_inside(self, names: set[str]) -> dict[str, int]:
        """How many of these modules are below each one."""
        counts: dict[str, int] = {}
        for name in names:
            parent = self[name].parent if name in self else None
            while parent is not None:
                counts[parent] = counts.get(parent, 0) + 1
                parent = self[parent].parent
        return counts


class _Builder:
    """Merges the modules of two models by their names."""

    def __init__(self, ours: Sequence[Module], theirs: Sequence[Module]) -> None:
        self._ours = {each["name"]: each for each in ours}
        self._theirs = {each["name"]: each for each in theirs}
        self._children: dict[str, list[str]] = {}
        for modules in (ours, theirs):
            before = ""
            for module in modules:
                self._insert(module["name"], before)
                before = module["name"]

    def _insert(self, name: str, before: str) -> None:
        """Add a child; one that only the second model has, after its neighbour there."""
        if not name:
            return
        siblings = self._children.setdefault(_parent(name), [])
        if name in siblings:
            return
        while before and _parent(before) != _parent(name):
            before = _parent(before)
        siblings.insert(siblings.index(before) + 1 if before in siblings else 0, name)

    def rows(self) -> Iterator[Row]:
        if self._ours or self._theirs:
            yield from self._rows("", "model", 0, None)

    def _rows(self, name: str, label: str, depth: int, parent: str | None) -> Iterator[Row]:
        ours, theirs = self._ours.get(name), self._theirs.get(name)
        children = self._children.get(name, [])
        if name and self._is_merged(ours, theirs, len(children)):
            for child in children:
                yield from self._rows(child, f"{label}.{_own(child)}", depth, parent)
            return
        yield Row(name, label, depth, parent, ours, theirs, bool(children))
        for child in children:
            yield from self._rows(child, _own(child), depth + 1, name)

    @staticmethod
    def _is_merged(ours: Module | None, theirs: Module | None, children: int) -> bool:
        """Whether a module is named with its children instead of having a row."""
        modules = [each for each in (ours, theirs) if each is not None]
        if any(each["shapes"] or each["about"] for each in modules):
            return False
        is_container = all(each["kind"] in _CONTAINERS for each in modules)
        return children == 1 or (is_container and children > 0)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _own(name: str) -> str:
    return name.rpartition(".")[2]


@dataclass
class Folds:
    """Which modules are folded: those that the user folded or unfolded, else by a rule.

    Of the layers of a model the first is open, since the others are like it.
    """

    _chosen: dict[str, bool] = field(default_factory=dict)
    _all: bool | None = None

    def is_folded(self, row: Row) -> bool:
        """Whether the children of a row are hidden."""
        if not row.has_children or row.name in self._chosen:
            return row.has_children and self._chosen[row.name]
        if self._all is not None:
            return self._all and bool(row.name)
        number = row.name.rpartition(".")[2]
        is_later_layer = number.isdecimal() and number != "0"
        return is_later_layer or row.module["kind"] in _LAYERS

    def set(self, row: Row, *, folded: bool) -> None:
        """Fold or unfold one module."""
        if row.has_children:
            self._chosen[row.name] = folded

    def set_all(self, *, folded: bool) -> None:
        """Fold or unfold all modules."""
        self._chosen.clear()
        self._all = folded

    def visible(self, tree: Tree) -> list[Row]:
        """The rows that are not inside a folded one."""
        found: list[Row] = []
        hidden_below: int | None = None
        for row in tree.rows:
            if hidden_below is not None and row.depth > hidden_below:
                continue
            found.append(row)
            hidden_below = row.depth if self.is_folded(row) else None
        return found


def differing_settings(
    ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Settings of two models that differ: key, and the value of each; None where one has none."""
    keys = dict.fromkeys([*ours, *theirs])
    pairs = [(key, ours.get(key), theirs.get(key)) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2]]
