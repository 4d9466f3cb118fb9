"""What differs between runs: settings that vary among them, and names made of their values.

A run whose id was made up (see `new_run_id`) is called by the values in which it differs from
other runs of its experiment, such as "rope relu2 1e-2" (see `TellingSettings`); a run that the user
has named keeps its id.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from transformer_playground.config.toml import toml_value
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import generated_suffix
from transformer_playground.runs.labels import (
    MOST_PARTS,
    Part,
    TellingSettings,
    ambiguous,
    distinct,
    fitting,
    joined,
    part_text,
)
from transformer_playground.runs.setting_defaults import absent_settings

SEED = "train.runtime.seed"
LOCATIONS = frozenset({"prepare.raw_dir", "prepare.dataset_dir"})
"""Paths differ between machines without changing the run."""

# A description says nothing about training, nor do defaults for samples and exported files.
_IGNORED = ("experiment.", "sample.", "export.")
# Those that change what is displayed, kept or exported, not what is learned.
_WITHOUT_EFFECT = (
    *(*_IGNORED, *sorted(LOCATIONS), "train.checkpointing."),
    *(f"train.runtime.{name}" for name in ("log_", "sample_", "auto_", "tensorboard", "threads")),
)
_TIMED = "train.runtime.max_minutes"
# Those of them that take no time, either.
_WITHOUT_TIME = (
    *("experiment.", "export.", *sorted(LOCATIONS)),
    *("train.runtime.auto_", "train.checkpointing.keep."),
)
_ORDER = (
    "model.",
    "hf_model.",
    "peft.",
    "train.optim.",
    "train.schedule.",
    "train.data.",
    "prepare.",
    "train.runtime.max_iters",
    "train.runtime.ema",
    "train.runtime.early",
    "train.runtime.",
    "train.",
)
# Those and what changes speed, rounding or how often the loss is measured.
_TECHNICAL = (
    *_WITHOUT_EFFECT,
    *(f"train.runtime.{name}" for name in ("device", "dtype", "tf32", "compile", "eval_")),
)


def learning_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide what a run learns; its seed is one of them.

    If the time of a run is limited, whatever takes time decides how many steps it makes: threads,
    samples, rows of the log and checkpoints, too.

    Args:
        settings: By dotted key.
    """
    without = _WITHOUT_TIME if settings.get(_TIMED) else _WITHOUT_EFFECT
    return {key: value for key, value in settings.items() if not key.startswith(without)}


@dataclass(frozen=True, eq=False)
class _Known:
    """Settings of one run as text, those that differ from `RunNames.base`; None where unset."""

    row: RunInfo
    differing: Mapping[str, str | None]


@dataclass(frozen=True, eq=False)
class RunNames:
    """What differs between some runs; made by `name_runs`.

    Attributes:
        varying: Dotted keys of the settings that are not the same in all runs, those of the model
            first; without descriptions, paths, and defaults for samples and exports.
    """

    _base: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _known: Mapping[str, _Known] = field(default_factory=dict, repr=False)
    varying: tuple[str, ...] = ()

    def among(self, run_ids: Iterable[str]) -> "RunNames":
        """The same for only these runs; unknown ids are left out."""
        known = {each: self._known[each] for each in run_ids if each in self._known}
        if list(known) == list(self._known):
            return self
        return _names(self._base, known)

    def label(self, run_id: str) -> str:
        """Name of a run (untrusted text); the id of one that is not known."""
        return self.labels.get(run_id, run_id)

    @cached_property
    def constant(self) -> Mapping[str, Any]:
        """Settings with the same value in all runs, in the order of `varying`."""
        first = next(iter(self._known.values()), None)
        if first is None:
            return {}
        settings = first.row.settings
        varying = set(self.varying)
        keys = _in_order(settings, self._base)
        return {key: settings[key] for key in keys if key not in varying}

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """A short name of each run, different for each."""
        return distinct({run_id: joined(parts) for run_id, parts in self._parts.items()})

    def short(self, run_id: str, width: int) -> str:
        """Name of a run (untrusted text) in about `width` characters.

        Where it has no room, the settings that tell least among the runs are left out.
        """
        label, parts = self.label(run_id), self._parts.get(run_id, ())
        whole = joined(parts)
        if label.startswith(f"{whole} "):
            parts = (*parts, Part(label[len(whole) + 1 :], math.inf))
        return fitting(parts, width) if joined(parts) == label else label

    @cached_property
    def _parts(self) -> Mapping[str, tuple[Part, ...]]:
        """The parts of each run's name; several runs may have the same."""
        groups: dict[str | None, list[_Known]] = {}
        parts: dict[str, tuple[Part, ...]] = {}
        for run_id, known in self._known.items():
            if not _is_named_by_settings(known):
                parts[run_id] = (Part(run_id, math.inf),)
            if known.row.settings:
                # Also those that the user has named: others are told from them, too.
                groups.setdefault(known.row.experiment, []).append(known)
        # A folder that cannot be read is no run of another experiment.
        read = [known.row for known in self._known.values() if known.row.settings]
        has_experiments = len({row.experiment for row in read}) > 1
        for experiment, members in groups.items():
            prefix = experiment if experiment and has_experiments else ""
            parts |= self._parts_of_group(members, prefix, experiment or "")
        return {run_id: parts[run_id] for run_id in self._known}

    def _parts_of_group(
        self, members: Sequence[_Known], prefix: str, experiment: str
    ) -> dict[str, tuple[Part, ...]]:
        """Parts of the names of the runs of one experiment that are called by their settings."""
        chosen = self._chosen_keys(members)
        members = [known for known in members if _is_named_by_settings(known)]
        chosen = {known: chosen[known] for known in members}
        used = {key for keys in chosen.values() for key in keys}
        values = {key: {self._text(known, key) for known in members} for key in used}
        words = ambiguous(values)

        def parts_of(known: _Known, *, is_minor: bool) -> Iterator[Part]:
            for key in chosen[known]:
                if (_rank(key) >= _MINOR) == is_minor:
                    text = self._text(known, key)
                    shown = part_text(key, known.row.settings.get(key), text, words)
                    yield Part(shown, len(values[key]))

        named = {}
        for known in members:
            parts = [Part(prefix, 0)] if prefix else []
            parts += parts_of(known, is_minor=False)
            step = _branch_step(known)
            if step is not None:
                parts.append(Part(f"@{step}", math.inf))
            parts += parts_of(known, is_minor=True)
            # Without anything to tell a single run by, its id says more than its experiment.
            alone = (experiment if len(members) > 1 else "") or known.row.run_id
            named[known.row.run_id] = tuple(parts) or (Part(alone, math.inf),)
        return named

    def _chosen_keys(self, members: Sequence[_Known]) -> dict[_Known, list[str]]:
        """The settings that each run is called by, in their order; seeds only of repeated runs."""
        runs = sorted(members, key=lambda known: (known.row.created or 0.0, known.row.run_id))
        keys = _in_order({key for known in runs for key in known.differing}, self._base)
        places = {key: place for place, key in enumerate(keys)}
        minor = {key for key in keys if _rank(key) >= _MINOR}
        own = {known: known.differing.keys() & places.keys() for known in runs}
        main_keys = {known: sorted(own[known] - minor, key=places.__getitem__) for known in runs}
        main = TellingSettings(runs, main_keys, self._text, places)
        repeated: dict[object, list[_Known]] = {}
        for known in runs:
            repeated.setdefault((main.equal_to(known), _branch_step(known)), []).append(known)
        chosen = {}
        for same in repeated.values():
            minor_keys = {known: sorted(own[known] & minor) for known in same}
            others = TellingSettings(same, minor_keys, self._text, places)
            for known in same:
                first = main.keys_of(known)
                more = others.keys_of(known, MOST_PARTS - len(first))
                chosen[known] = sorted([*first, *more], key=places.__getitem__)
        return chosen

    def _text(self, known: _Known, key: str) -> str | None:
        if key in known.differing:
            return known.differing[key]
        if key not in self._base_texts:
            settings = self._base if key in self._base else absent_settings(self._base, [key])
            self._base_texts[key] = toml_value(settings[key]) if key in settings else None
        return self._base_texts[key]

    @cached_property
    def _base_texts(self) -> dict[str, str | None]:
        """Texts of the settings of the base that were asked for."""
        return {}


def name_runs(rows: Iterable[RunInfo], before: RunNames | None = None) -> RunNames:
    """What differs between runs, and what to call each.

    Args:
        rows: The runs, with their settings.
        before: An earlier result: what it knows of unchanged runs is not computed again.
    """
    rows = list(rows)
    old = before._known if before else {}
    base = before._base if before and before._base else {}
    base = base or next((row.settings for row in rows if row.settings), {})
    known = {}
    for row in rows:
        same = old.get(row.run_id)
        if same is not None and _is_same(same.row, row):
            known[row.run_id] = same
        else:
            known[row.run_id] = _Known(row, _differing(row.settings, base))
    if before is not None and list(known.values()) == list(old.values()):
        return before
    return _names(base, known)


def _names(base: Mapping[str, Any], known: Mapping[str, _Known]) -> RunNames:
    read = [each.differing for each in known.values() if each.row.settings]
    return RunNames(base, known, tuple(_varying(read, base)))


def named(rows: Iterable[RunInfo], names: RunNames) -> list[RunInfo]:
    """The rows with their names; those that have theirs already stay the same objects."""
    labels = names.labels
    return [
        row if row.name == labels[row.run_id] else replace(row, name=labels[row.run_id])
        for row in rows
    ]


def setting_headers(keys: Sequence[str]) -> dict[str, str]:
    """Short names of settings: the last part of each key, or the least that tells them apart."""
    return {key: next((end for end in endings(key) if _is_unique(end, keys)), key) for key in keys}


def most_telling(
    keys: Sequence[str], runs: Iterable[tuple[Mapping[str, Any], bool]]
) -> tuple[str, ...]:
    """Settings that vary, those by which the runs are best told apart first.

    That is the Shannon entropy of the values over the runs: many values, evenly spread. A setting
    in which only failed runs differ says less than any other of its kind. Seeds and technical
    settings stay last, after them only those that say the same as an earlier one; where nothing
    else decides, the given order stays.

    Args:
        keys: Dotted keys.
        runs: Settings of each run, and whether it failed.
    """
    rows = list(runs)
    sound = [settings for settings, has_failed in rows if not has_failed]
    every = [settings for settings, _ in rows]

    def order(key: str) -> tuple[int, float, float]:
        minor = max(0, _rank(key) - _MINOR + 1)
        return minor, -_entropy(key, sound), -_entropy(key, every)

    told: set[tuple[int, ...]] = set()
    first, again = list[str](), list[str]()
    for key in sorted(keys, key=order):
        groups = _groups(key, every)
        (again if groups in told else first).append(key)
        told.add(groups)
    return (*first, *again)


def _groups(key: str, rows: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The rows by the value of a setting: the same numbers for settings that vary together."""
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(repr(row.get(key)), len(numbers)) for row in rows)


def _entropy(key: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """Bits by which the value of a setting tells one of the rows."""
    # JSON's true and 1 are two values; a list is no key of a counter.
    counts = Counter(repr(row.get(key)) for row in rows)
    shares = (count / len(rows) for count in counts.values())
    # Equal spreads are equal, in whatever order their shares are summed.
    return round(-sum(share * math.log2(share) for share in shares), 9)


def endings(key: str) -> Iterator[str]:
    """The last parts of a dotted key: of "a.b.c" first "c", then "b.c", then all."""
    parts = key.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[-length:])


def _is_unique(ending: str, keys: Sequence[str]) -> bool:
    return sum(key == ending or key.endswith(f".{ending}") for key in keys) == 1


def _is_same(old: RunInfo, new: RunInfo) -> bool:
    if (old.experiment, old.parent) != (new.experiment, new.parent):
        return False
    return old.settings is new.settings or old.settings == new.settings


def _differing(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, str | None]:
    if settings is base:
        return {}
    found: dict[str, str | None] = {}
    if settings.keys() != base.keys() and settings and base:
        base = {**base, **absent_settings(base, settings)}
        settings = {**settings, **absent_settings(settings, base)}
    for key, value in settings.items():
        other = base.get(key, found)
        # JSON's true and 1 are two values, Python's are equal.
        if (other != value or type(other) is not type(value)) and not key.startswith(_IGNORED):
            text = toml_value(value)
            # A number that is not one differs from itself.
            if other is found or toml_value(other) != text:
                found[key] = text
    missing = base.keys() - settings.keys() if len(base) + len(found) > len(settings) else ()
    return found | {key: None for key in missing if not key.startswith(_IGNORED)}


def _varying(differing: Iterable[Mapping[str, str | None]], base: Mapping[str, Any]) -> list[str]:
    """Keys whose texts are not all equal, given how each run differs from the same base."""
    rows = list(differing)
    counts = Counter(key for row in rows for key in row)
    values: dict[str, set[str | None]] = {key: set() for key in counts}
    for row in rows:
        for key, text in row.items():
            values[key].add(text)
    found = [key for key, count in counts.items() if count < len(rows) or len(values[key]) > 1]
    return _in_order(found, base)


def _in_order(keys: Iterable[str], base: Mapping[str, Any]) -> list[str]:
    """Without what says nothing about training; what changes the result most first.

    Within a table the order is that of `base`.
    """
    kept = [key for key in keys if key not in LOCATIONS and not key.startswith(_IGNORED)]
    places = {key: place for place, key in enumerate(base)}
    return sorted(kept, key=lambda key: (_rank(key), places.get(key, len(places)), key))


# Rank of the first setting that does not change what is learned on purpose.
_MINOR = len(_ORDER) + 1


def _is_named_by_settings(known: _Known) -> bool:
    return generated_suffix(known.row.run_id) is not None and bool(known.row.settings)


def _branch_step(known: _Known) -> int | None:
    return known.row.parent.step if known.row.parent is not None else None


def is_technical(key: str) -> bool:
    """Whether a setting changes speed, rounding or what is measured or kept, not the result."""
    return _rank(key) > _MINOR


def _rank(key: str) -> int:
    if key == SEED:
        return _MINOR
    if key.startswith(_TECHNICAL):
        return _MINOR + 1
    return next((rank for rank, start in enumerate(_ORDER) if key.startswith(start)), len(_ORDER))
