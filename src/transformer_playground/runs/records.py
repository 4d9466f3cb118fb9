"""Small frozen dataclasses as JSON objects and back, with exact types, for thousands at a time."""

import dataclasses
import types
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
# Types of the values that a field of this type may have. JSON may write a float as an integer.
_ACCEPTED: dict[Any, frozenset[type]] = {
    type(None): frozenset({type(None)}),
    bool: frozenset({bool}),
    int: frozenset({int}),
    float: frozenset({float, int}),
    str: frozenset({str}),
    dict: frozenset({dict}),
}
_MOST_SHAPES = 1000


def new_record(kind: type[_T], values: dict[str, Any]) -> _T:
    """An instance of a frozen dataclass from the values of all its fields, which it keeps.

    Its generated constructor takes several times as long, which tells for thousands of runs.
    """
    record = object.__new__(kind)
    object.__setattr__(record, "__dict__", values)
    return record


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What is left to do for objects of certain keys and types, which are valid.

    Attributes:
        records: Values that are records.
        tuples: Values that are tuples, with the types of their items.
        defaults: Of the fields that are left out.
    """

    records: "tuple[tuple[str, RecordFormat[Any]], ...]"
    tuples: tuple[tuple[str, frozenset[type]], ...]
    defaults: dict[str, Any]


class RecordFormat(Generic[_T]):
    """Writes and reads the instances of one dataclass.

    Its fields are None, bool, int, float, str, dict, tuples of these, or such dataclasses. Values
    equal to their default are left out.
    """

    def __init__(self, kind: type[_T]) -> None:
        self._kind = kind
        self._accepted: dict[str, frozenset[type]] = {}
        self._records: dict[str, RecordFormat[Any]] = {}
        self._tuples: dict[str, frozenset[type]] = {}
        # Objects with the same keys and types as an earlier one need no other check.
        self._shapes: dict[tuple[Any, ...], _Shape] = {}
        self._defaults: dict[str, Any] = {}
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            self._add_field(field.name, hints[field.name])
            if field.default is not dataclasses.MISSING:
                self._defaults[field.name] = field.default
            elif field.default_factory is not dataclasses.MISSING:
                self._defaults[field.name] = field.default_factory()
        is_optional = len(self._defaults) == len(self._accepted)
        self._all_default: _T | None = kind() if is_optional else None

    def _add_field(self, name: str, hint: Any) -> None:
        is_union = get_origin(hint) in (Union, types.UnionType)
        accepted: set[type] = set()
        for part in get_args(hint) if is_union else (hint,):
            kind = get_origin(part) or part
            if kind is tuple:
                item = get_args(part)[0]
                self._tuples[name] = _accepted_by(item)
                accepted.add(list)
            elif dataclasses.is_dataclass(kind):
                self._records[name] = RecordFormat(kind)  # type: ignore[arg-type]
                accepted.add(dict)
            else:
                accepted |= _ACCEPTED[kind]
        self._accepted[name] = frozenset(accepted)

    def values(self, record: _T) -> dict[str, Any]:
        """The values of a record that differ from their defaults."""
        found = {}
        for name in self._accepted:
            value = getattr(record, name)
            if name in self._defaults and value == self._defaults[name]:
                continue
            if name in self._records and value is not None:
                value = self._records[name].values(value)
            found[name] = value
        return found

    def read(self, values: Any) -> _T:
        """The record of a JSON object, whose values are changed.

        Raises:
            ValueError: It is not an object of exactly these fields and types.
        """
        if type(values) is not dict:
            raise ValueError(f"{self._kind.__name__} is not an object")
        if not values and self._all_default is not None:
            return self._all_default
        shape = (*values, *map(type, values.values()))
        known = self._shapes.get(shape) or self._learn(shape, values)
        for name, nested in known.records:
            values[name] = nested.read(values[name])
        for name, accepted in known.tuples:
            values[name] = _read_tuple(values[name], accepted)
        values.update(known.defaults)
        return new_record(self._kind, values)

    def _learn(self, shape: tuple[Any, ...], values: dict[str, Any]) -> "_Shape":
        self._check(values)
        given = {name for name, value in values.items() if value is not None}
        learnt = _Shape(
            tuple(each for each in self._records.items() if each[0] in given),
            tuple(each for each in self._tuples.items() if each[0] in given),
            {name: value for name, value in self._defaults.items() if name not in values},
        )
        if len(self._shapes) < _MOST_SHAPES:
            self._shapes[shape] = learnt
        return learnt

    def _check(self, values: dict[str, Any]) -> None:
        wrong = [
            name
            for name in values
            if type(values[name]) not in self._accepted.get(name, frozenset())
        ]
        missing = self._accepted.keys() - values.keys() - self._defaults.keys()
        if wrong or missing:
            raise ValueError(
                f"{self._kind.__name__} has wrong fields: {sorted({*wrong, *missing})}"
            )


def _accepted_by(hint: Any) -> frozenset[type]:
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return frozenset[type]().union(*(_ACCEPTED[part] for part in parts))


def _read_tuple(values: list[Any], accepted: frozenset[type]) -> tuple[Any, ...]:
    if not accepted.issuperset(map(type, values)):
        raise ValueError("a list has wrong values")
    return tuple(values)
