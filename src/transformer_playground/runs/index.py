"""Run index: cache of the run list in `runs/.index.json`.

An entry is valid while its files have the inode, size, mtime and ctime at which they were read. A
file that changed within a clock tick of the file system before reading is not trusted, since a
second change in that tick would go unnoticed; the time comes from the file system's clock. Whether
a run is running is never stored. Missing entries are read from the runs; if the index cannot be
written, lists are only slower.

The metrics of a running run are read incrementally; without a live writer, a changed file is read
from the start.
"""

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from transformer_playground.errors import PlaygroundError, RunError
from transformer_playground.files import stat_or_none, temporary_sibling
from transformer_playground.jsonvalues import as_count, as_int, as_text
from transformer_playground.runs.annotations import read_annotations
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.folder import RunFolder, former_ids, read_run_config
from transformer_playground.runs.index_file import (
    FileSignature,
    Identity,
    IndexEntry,
    Signatures,
    decode_index,
    encode_index,
)
from transformer_playground.runs.metrics import FileOffset, RunningMedian
from transformer_playground.runs.naming import SEED
from transformer_playground.runs.status import (
    RunStatus,
    Writer,
    ended_status,
    judge_status,
    read_writer,
)
from transformer_playground.runs.summary import RunSummary, read_summary, update_summary
from transformer_playground.runs.summary_file import stored_summary

_T = TypeVar("_T")

INDEX_NAME = ".index.json"
_MAX_INDEX_SIZE = 1 << 28
# Coarser than the timestamps of any file system (FAT: 2 s).
_SETTLED_NS = 2_500_000_000
# The entry of a running run is rewritten after this many bytes of new rows.
_REWRITE_BYTES = 1 << 20

_ABSENT: FileSignature = (0, 0, 0, 0)
_ANY_RUN = RunFolder(Path())
_CONFIG, _NOTES = _ANY_RUN.config_path.name, _ANY_RUN.notes_path.name
_METRICS = _ANY_RUN.metrics_path.name
_UNREAD: Signatures = (None, None, None)


class IndexedRun(NamedTuple):
    """A listed run; `updated` is the Unix time of the last write to its metrics."""

    entry: IndexEntry
    status: RunStatus
    updated: float | None


def look_up(runs_dir: Path, names: Iterable[str]) -> dict[str, IndexedRun | PlaygroundError]:
    """Look up runs by id, as an error for one that cannot be read; reads and stores changed ones.

    `names` must be all runs of `runs_dir`: other entries are removed from the index.
    """
    path, root = runs_dir / INDEX_NAME, str(runs_dir)
    stored = _load(path)
    found: dict[str, IndexedRun | PlaygroundError] = {}
    changed: list[str] = []
    for name in names:
        known = _guarded(name, partial(_serve, root, name, stored.get(name)))
        if known is None:
            changed.append(name)
        else:
            found[name] = known
    if not changed and len(found) == len(stored):
        return found
    with contextlib.suppress(OSError), temporary_sibling(path) as temporary:
        now = temporary.stat().st_mtime_ns
        for name in changed:
            read = partial(_read, RunFolder(runs_dir / name), stored.get(name), now)
            found[name] = _guarded(name, read)
        if _needs_rewrite(stored, found):
            _store(temporary, found)
            temporary.replace(path)
    # Without a writable index, changed runs are read all the same.
    for name in changed:
        if name not in found:
            read = partial(_read, RunFolder(runs_dir / name), stored.get(name), 0)
            found[name] = _guarded(name, read)
    return found


def _guarded(name: str, read: Callable[[], _T]) -> _T | PlaygroundError:
    """What `read` returns; an unexpected error concerns this run, and the others are listed."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - a list of runs outlives any run folder
        return RunError(
            f"The run '{name}' cannot be read: {type(error).__name__}: {error}",
            "Restore its files from a copy of the run.",
        )


def _serve(root: str, name: str, entry: IndexEntry | None) -> IndexedRun | None:
    """A run of the folder `root` from its index entry, or None if the entry is outdated."""
    if entry is None or None in entry.signatures:
        return None
    # Text, not paths: building those takes as long as the system calls.
    folder = f"{root}/{name}"
    summary = entry.summary
    # Of an ended run the writer is not asked for.
    status = ended_status(summary.status, summary.error)
    writer = None if status is not None else read_writer(RunFolder(Path(folder)))
    signatures, updated = _stat_files(folder)
    if signatures != entry.signatures:
        return None
    if status is None:
        run = RunFolder(Path(folder))
        status = judge_status(run, summary.status, summary.error, writer)
    return IndexedRun(entry, status, updated)


def _read(run: RunFolder, old: IndexEntry | None, now: int) -> IndexedRun | PlaygroundError:
    """Read the changed files of a run; `now` is the file system's time in ns."""
    # Read before the rows: a writer that exits later cannot have written rows that are missed.
    writer = read_writer(run)
    signatures, updated = _stat_files(str(run.root))
    before = old.signatures if old else _UNREAD
    is_valid = [known == found for known, found in zip(before, signatures, strict=True)]
    try:
        identity = old.identity if old and is_valid[0] else _identity(read_run_config(run))
    except PlaygroundError as error:
        return error
    annotations = old.annotations if old and is_valid[1] else read_annotations(run)
    if old and is_valid[2]:
        summary, position = old.summary, old.position
    else:
        summary, position = _summarise(run, old, writer, signatures[2])
    trusted = [
        signature if valid or max(signature[2:]) < now - _SETTLED_NS else None
        for valid, signature in zip(is_valid, signatures, strict=True)
    ]
    if position.offset == 0 and signatures[2][1] > 0:
        # No complete row in a file that is not empty: reading may have failed temporarily.
        trusted[2] = None
    entry = IndexEntry(
        identity, annotations, summary, position, (trusted[0], trusted[1], trusted[2])
    )
    status = judge_status(run, summary.status, summary.error, writer)
    return IndexedRun(entry, status, updated)


def _summarise(
    run: RunFolder, old: IndexEntry | None, writer: Writer | None, metrics: FileSignature
) -> tuple[RunSummary, FileOffset]:
    if writer is not None and writer.is_alive():
        if old is not None:
            return update_summary(run.metrics_path, old.summary, old.position)
        return read_summary(run.metrics_path)
    stored = stored_summary(run, metrics)
    if stored is not None:
        return stored
    summary, position = read_summary(run.metrics_path)
    # The run has ended: without what continues its reading, the index loads faster.
    return replace(summary, throughput=RunningMedian()), replace(position, last_bytes="")


def _identity(config: Mapping[str, Any]) -> Identity:
    settings = flatten(config["config"])
    return Identity(
        experiment=as_text(config.get("experiment")),
        created=as_text(config.get("created")),
        parameters=as_count(config.get("parameters")),
        seed=as_int(settings.get(SEED)),
        parent=Parent.of(config.get("parent")),
        former_ids=former_ids(config),
        settings=settings,
    )


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested tables to dotted keys; an empty table stays a value."""
    flat: dict[str, Any] = {}
    # Iterative: a damaged file may exceed the recursion limit.
    open_tables = [("", iter(table.items()))]
    while open_tables:
        prefix, items = open_tables[-1]
        for key, value in items:
            if isinstance(value, dict) and value:
                open_tables.append((f"{prefix}{key}.", iter(value.items())))
                break
            flat[f"{prefix}{key}"] = value
        else:
            open_tables.pop()
    return flat


def _stat_files(
    folder: str,
) -> tuple[tuple[FileSignature, FileSignature, FileSignature], float | None]:
    """Signatures of config.json, notes.json and metrics.jsonl, and mtime of the last."""
    metrics = stat_or_none(f"{folder}/{_METRICS}")
    signatures = (
        _signature(stat_or_none(f"{folder}/{_CONFIG}")),
        _signature(stat_or_none(f"{folder}/{_NOTES}")),
        _signature(metrics),
    )
    return signatures, None if metrics is None else metrics.st_mtime


def _signature(state: os.stat_result | None) -> FileSignature:
    if state is None:
        return _ABSENT
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _load(path: Path) -> Mapping[str, IndexEntry]:
    try:
        state = path.lstat()
        # Reading a pipe or a device might never end.
        if not stat.S_ISREG(state.st_mode) or state.st_size > _MAX_INDEX_SIZE:
            return {}
        return _parse(path, _signature(state))
    except (OSError, ValueError, RecursionError):
        return {}


# The console lists its folder every few seconds, and an index that did not change is parsed once.
@functools.lru_cache(maxsize=1)
def _parse(path: Path, _signature: FileSignature) -> Mapping[str, IndexEntry]:
    return decode_index(path.read_bytes())


def _needs_rewrite(
    stored: Mapping[str, IndexEntry], found: Mapping[str, IndexedRun | PlaygroundError]
) -> bool:
    entries = {name: known for name, known in found.items() if isinstance(known, IndexedRun)}
    if stored.keys() - entries.keys():
        return True
    return any(_has_changed(stored.get(name), known) for name, known in entries.items())


def _has_changed(old: IndexEntry | None, known: IndexedRun) -> bool:
    """Whether storing the entry saves a later list noticeable work."""
    entry, before = known.entry, old.signatures if old else _UNREAD
    gained = [
        now is not None and now != then for now, then in zip(entry.signatures, before, strict=True)
    ]
    if known.status.state != "running":
        return any(gained)
    # A running run changes all the time; the index is not rewritten for each row.
    behind = entry.position.offset - (old.position.offset if old else 0)
    return any(gained[:2]) or behind > _REWRITE_BYTES


def _store(temporary: Path, found: Mapping[str, IndexedRun | PlaygroundError]) -> None:
    entries = {name: known.entry for name, known in found.items() if isinstance(known, IndexedRun)}
    # Not synced: a torn index is simply read as empty.
    temporary.write_bytes(encode_index(entries))
    temporary.chmod(0o644)
