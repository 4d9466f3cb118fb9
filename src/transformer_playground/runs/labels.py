"""Names of runs: by which settings each is called, and what fits where there is little room."""

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from transformer_playground.config.toml import shortened, toml_string
from transformer_playground.formatting import parse_number, setting_number_text
from transformer_playground.runs.folder import generated_suffix

MOST_PARTS = 4
"""Settings in one name."""

_CUT = " …"
_MAX_PART = 24
_BARE = "train.optim.learning_rate"
_WORD = re.compile(r"[A-Za-z][\w./-]*")
_UNSET = "unset"
_Run = TypeVar("_Run", bound=Hashable)


@dataclass(frozen=True)
class Part:
    """A part of a name.

    Attributes:
        weight: Parts of low weight are left out first where there is little room.
    """

    text: str
    weight: float


def joined(parts: Sequence[Part]) -> str:
    """The whole name."""
    return " ".join(part.text for part in parts)


def fitting(parts: Sequence[Part], width: int) -> str:
    """A name in at most `width` characters, without the parts that tell least; one is left."""
    kept, text = list(parts), joined(parts)
    while len(text) > width and len(kept) > 1:
        # Of equal ones the last.
        least = min(kept[::-1], key=lambda part: part.weight)
        kept = [part for part in kept if part is not least]
        text = joined(kept) + _CUT
    return text


class TellingSettings(Generic[_Run]):
    """Chooses the settings that tell each of some runs from the others.

    A run is compared with the oldest of those that agree with it in the settings chosen so far, and
    the first setting in which the two differ is chosen, until none agrees. So a run that joins the
    others changes only names that would not be unique any more, and these grow by a part.

    Args:
        runs: The runs, the oldest first.
        keys: The settings by which each run may differ from others.
        text: The value of a setting of a run.
        places: Setting -> its place in the order of choice.
    """

    def __init__(
        self,
        runs: Sequence[_Run],
        keys: Mapping[_Run, Sequence[str]],
        text: Callable[[_Run, str], str | None],
        places: Mapping[str, int],
    ) -> None:
        self._keys, self._text, self._places = keys, text, places
        # Settings and values that were chosen, and the next setting -> its values -> runs.
        self._groups: dict[tuple[Hashable, ...], dict[str | None, list[_Run]]] = {}
        # Runs that agree in everything are one: no setting tells them apart.
        self._same: dict[_Run, _Run] = {}
        first: dict[Hashable, _Run] = {}
        for run in runs:
            values = frozenset((key, text(run, key)) for key in keys[run])
            self._same[run] = first.setdefault(values, run)
        self._runs = list(first.values())

    def equal_to(self, run: _Run) -> _Run:
        """The oldest run that has the same values."""
        return self._same[run]

    def keys_of(self, run: _Run, most: int = MOST_PARTS) -> list[str]:
        """The settings by which a run is called, at most `most`."""
        run = self._same[run]
        agreeing, chosen = self._runs, list[str]()
        path: tuple[Hashable, ...] = ()
        while len(chosen) < most and len(agreeing) > 1:
            other = agreeing[0] if agreeing[0] is not run else agreeing[1]
            different = (
                key
                for key in {*self._keys[run], *self._keys[other]}
                if self._text(run, key) != self._text(other, key)
            )
            key = min(different, key=self._places.__getitem__, default=None)
            if key is None:
                break
            chosen.append(key)
            text = self._text(run, key)
            agreeing = self._group((*path, key), agreeing, key)[text]
            path += (key, text)
        return chosen

    def _group(
        self, path: tuple[Hashable, ...], runs: Sequence[_Run], key: str
    ) -> dict[str | None, list[_Run]]:
        """The runs by their values of a setting."""
        if path not in self._groups:
            found = self._groups[path] = {}
            for run in runs:
                found.setdefault(self._text(run, key), []).append(run)
        return self._groups[path]


def ambiguous(values: Mapping[str, set[str | None]]) -> frozenset[str]:
    """Words that several settings have, as TOML."""
    counts = Counter(text for texts in values.values() for text in texts if text is not None)
    return frozenset(text for text, count in counts.items() if count > 1)


def part_text(key: str, value: Any, text: str | None, ambiguous: frozenset[str]) -> str:
    """Part of a name: a word or learning rate alone, other values with the name of the setting.

    Args:
        key: The setting.
        value: Its value.
        text: The value as TOML; None where the run lacks the setting.
        ambiguous: Words that need the name of the setting, too.
    """
    if text is None:
        shown = _UNSET
    elif isinstance(value, str):
        is_word = _WORD.fullmatch(value) is not None
        if is_word and text not in ambiguous:
            return shortened(value, _MAX_PART)
        shown = value if is_word else toml_string(value)
    elif isinstance(value, float):
        shown = setting_number_text(value)
        if key == _BARE:
            return shown
    else:
        shown = text
    return f"{key.rpartition('.')[2]}={shortened(shown, _MAX_PART)}"


def name_order(name: str) -> list[tuple[str, float, str]]:
    """Sorts names by their words, and numbers in them by value: 1e-3 before 3e-3 before 1e-2."""
    order = []
    for word in name.casefold().split(" "):
        setting, _, value = word.rpartition("=")
        number = parse_number(value)
        order.append((setting, math.inf if number is None else number, value))
    return order


def distinct(labels: dict[str, str]) -> dict[str, str]:
    """Tell equal names apart by the end of the run's id, or by the whole id."""
    for name in (_with_suffix, _with_id):
        counts = Counter(labels.values())
        labels = {
            run_id: label if counts[label] == 1 or label == run_id else name(run_id, label)
            for run_id, label in labels.items()
        }
    return labels


def _with_suffix(run_id: str, label: str) -> str:
    return f"{label} {generated_suffix(run_id) or run_id}"


def _with_id(run_id: str, _: str) -> str:
    return run_id
