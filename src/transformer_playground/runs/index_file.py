"""Content of the run index: what a list shows of each run, as JSON.

Most runs of a folder differ in few settings. Settings are therefore stored as what differs from
the first run that has the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from transformer_playground.runs.annotations import Annotations
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.metrics import FileOffset
from transformer_playground.runs.records import RecordFormat
from transformer_playground.runs.summary import RunSummary

VERSION = 9
"""Of the stored figures, also in `summary.json`; another one when a figure is added or changes."""
_MAX_ENTRY_SIZE = 1 << 18
_PLAIN = frozenset({str, int, float, bool, type(None)})

# Inode, size, mtime and ctime in ns; zeros for a missing file.
FileSignature = tuple[int, int, int, int]
# Of config.json, notes.json and metrics.jsonl; None for a file that may have changed unnoticed.
Signatures = tuple[FileSignature | None, FileSignature | None, FileSignature | None]


@dataclass(frozen=True)
class Identity:
    """Values of `config.json` for lists; None if missing. `settings` must not be changed."""

    experiment: str | None
    created: str | None
    parameters: int | None
    seed: int | None
    parent: Parent | None
    former_ids: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class IndexEntry:
    """Index entry of one run.

    Attributes:
        position: How far `metrics.jsonl` was read for the summary.
        signatures: Of the run's files when they were read.
    """

    identity: Identity
    annotations: Annotations
    summary: RunSummary
    position: FileOffset
    signatures: Signatures


def encode_index(entries: Mapping[str, IndexEntry]) -> bytes:
    """The index as JSON, without entries that are too large or not valid JSON."""
    bases: list[dict[str, Any]] = []
    numbers: dict[tuple[str, ...], int] = {}
    parts = []
    for name, entry in entries.items():
        settings = entry.identity.settings
        keys = tuple(settings)
        number = numbers.get(keys, len(bases))
        is_first = number == len(bases)
        changed = {} if is_first else _changed(settings, bases[number])
        try:
            part = orjson.dumps({name: _values(entry, number, changed)})[1:-1]
            size = len(orjson.dumps(settings)) if is_first else 0
        except TypeError:
            # Lone surrogates or integers beyond 64 bits.
            continue
        if len(part) + size > _MAX_ENTRY_SIZE:
            continue
        if is_first:
            numbers[keys] = number
            bases.append(settings)
        parts.append(part)
    head = orjson.dumps({"schema_version": VERSION, "settings": bases})[:-1]
    return head + b',"runs":{%s}}' % b",\n".join(parts)


def _values(entry: IndexEntry, base: int, changed: Mapping[str, Any]) -> dict[str, Any]:
    formats = _formats()
    identity = formats.identity.values(entry.identity)
    return {
        "identity": {**identity, "settings": {"base": base, "changed": changed}},
        "annotations": formats.annotations.values(entry.annotations),
        "summary": formats.summary.values(entry.summary),
        "position": formats.position.values(entry.position),
        "signatures": entry.signatures,
    }


def _changed(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    if settings is base:
        return {}
    return {key: value for key, value in settings.items() if not _is_same(value, base[key])}


def _is_same(value: Any, other: Any) -> bool:
    if value is other:
        return True
    # To Python, true equals 1, also within lists.
    return type(value) is type(other) and type(value) in _PLAIN and bool(value == other)


def decode_index(data: bytes) -> dict[str, IndexEntry]:
    """The entries of an index; damaged ones are left out.

    Raises:
        ValueError: It is no index of this version.
    """
    document = orjson.loads(data)
    if type(document) is not dict or document.get("schema_version") != VERSION:
        raise ValueError("another version")
    bases, runs = document.get("settings"), document.get("runs")
    if type(bases) is not list or type(runs) is not dict:
        raise ValueError("no entries")
    entries = {}
    for name, values in runs.items():
        try:
            entries[name] = _entry(values, bases)
        except (ValueError, TypeError, LookupError, AttributeError):
            # The run is read again.
            continue
    return entries


def _entry(values: Any, bases: list[Any]) -> IndexEntry:
    formats = _formats()
    identity = values["identity"]
    stored = identity["settings"]
    settings, changed = bases[stored["base"]], stored["changed"]
    # Runs with the same settings share them.
    identity["settings"] = {**settings, **changed} if changed else settings
    config, notes, metrics = values["signatures"]
    return IndexEntry(
        formats.identity.read(identity),
        formats.annotations.read(values["annotations"]),
        formats.summary.read(values["summary"]),
        formats.position.read(values["position"]),
        # Those of other types match no file.
        (config and tuple(config), notes and tuple(notes), metrics and tuple(metrics)),
    )


class _Formats:
    def __init__(self) -> None:
        self.identity = RecordFormat(Identity)
        self.annotations = RecordFormat(Annotations)
        self.summary = RecordFormat(RunSummary)
        self.position = RecordFormat(FileOffset)


@cache
def _formats() -> _Formats:
    return _Formats()
