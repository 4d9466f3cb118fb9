"""What lists show of each run, kept in `runs/.index.json` so that it is not read again each time.

A run's part of the index holds as long as its files are the ones that were read: same inode, size,
time of modification and time of change. A file changed in the last moments before it was read is
not vouched for, since a second change within the file system's clock tick would look the same;
"last moments" are told by the clock that stamps the files, that of the file system. Whether a run
is running is never stored. The index is a cache: what it lacks is read from the runs, and if it
cannot be written nothing is lost but time.

A run that is being written is counted on from where the last count ended, so that listing again
and again reads each row once. Without a living writer a changed file is counted from its first
row.
"""

import contextlib
import functools
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from transformer_playground.errors import PlaygroundError
from transformer_playground.files import temporary_sibling
from transformer_playground.jsonvalues import as_int, as_text
from transformer_playground.runs.annotations import Annotations, read_annotations
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.lock import Writer, read_writer
from transformer_playground.runs.metrics import FileOffset
from transformer_playground.runs.running_median import RunningMedian
from transformer_playground.runs.status import RunStatus, judge_status
from transformer_playground.runs.summary import RunSummary, read_summary, update_summary

if TYPE_CHECKING:
    from pydantic import TypeAdapter

INDEX_NAME = ".index.json"
_LARGEST_INDEX = 1 << 28
_LARGEST_ENTRY = 1 << 18
# Coarser than the clock tick of any file system in use (FAT: 2 s).
_SETTLED_NS = 2_500_000_000
# Bytes of rows by which a running run may be ahead of the index before that is stored again.
_WORTH_STORING = 1 << 20


# Inode, size, mtime and ctime in ns; zeros for a file that is not there.
FileSignature = tuple[int, int, int, int]
_ABSENT: FileSignature = (0, 0, 0, 0)


@dataclass(frozen=True)
class Identity:
    """What `config.json` says that lists show; None or empty for what it does not say.

    Attributes:
        experiment: Name of the experiment.
        created: When the run was created, ISO 8601.
        parameters: Number of weights.
        seed: Seed of training.
        settings: Every setting by its dotted key.
    """

    experiment: str | None
    created: str | None
    parameters: int | None
    seed: int | None
    settings: dict[str, Any]


@dataclass(frozen=True)
class IndexEntry:
    """What the index holds of one run.

    Attributes:
        identity: From `config.json`.
        annotations: From `notes.json`.
        summary: From `metrics.jsonl`.
        position: How far the summary reaches.
        signatures: Of config.json, notes.json and metrics.jsonl as they were read; None for one
            whose content may have changed since without a trace.
    """

    identity: Identity
    annotations: Annotations
    summary: RunSummary
    position: FileOffset
    signatures: tuple[FileSignature | None, FileSignature | None, FileSignature | None]


@dataclass(frozen=True)
class IndexedRun:
    """A run as it stands now.

    Attributes:
        entry: What its files say.
        status: Its state.
        updated: When its metrics file was last written, seconds since 1970.
    """

    entry: IndexEntry
    status: RunStatus
    updated: float | None


@dataclass(frozen=True)
class Index:
    """The whole file.

    Attributes:
        schema_version: Only this one is read.
        runs: Entries by run id.
    """

    schema_version: Literal[3]
    runs: dict[str, IndexEntry]


def look_up(runs_dir: Path, runs: Iterable[RunFolder]) -> dict[str, IndexedRun | PlaygroundError]:
    """What lists show of these runs, by run id; an error for one that cannot be read.

    Serves from the index what still holds, reads the rest, and stores it. `runs` must be all runs
    of `runs_dir`: the index forgets others.
    """
    path = runs_dir / INDEX_NAME
    stored = _load(path)
    found: dict[str, IndexedRun | PlaygroundError] = {}
    changed: list[RunFolder] = []
    for run in runs:
        known = _serve(run, stored.get(run.run_id))
        if known is None:
            changed.append(run)
        else:
            found[run.run_id] = known
    if not changed and len(found) == len(stored):
        return found
    with contextlib.suppress(OSError), temporary_sibling(path) as temporary:
        now = temporary.stat().st_mtime_ns
        for run in changed:
            found[run.run_id] = _read(run, stored.get(run.run_id), now)
        if _is_worth_storing(stored, found):
            _store(temporary, found)
            temporary.replace(path)
    # Where nothing can be stored, everything is read all the same.
    for run in changed:
        if run.run_id not in found:
            found[run.run_id] = _read(run, stored.get(run.run_id), now=0)
    return found


def _serve(run: RunFolder, entry: IndexEntry | None) -> IndexedRun | None:
    """A run from its entry alone, or None when the entry does not hold any more."""
    if entry is None or None in entry.signatures:
        return None
    writer = read_writer(run)
    if _signatures(run) != entry.signatures:
        return None
    return _known(run, entry, writer)


def _read(run: RunFolder, old: IndexEntry | None, now: int) -> IndexedRun | PlaygroundError:
    """Read what `old` does not vouch for; `now` is the file system's time in ns."""
    # Before the rows: a writer that leaves after this cannot have written rows that are missed.
    writer = read_writer(run)
    signatures = _signatures(run)
    holds = [
        bool(old) and before == signature
        for before, signature in zip(_old(old), signatures, strict=True)
    ]
    try:
        identity = old.identity if old and holds[0] else _identity(read_run_config(run))
    except PlaygroundError as error:
        return error
    annotations = old.annotations if old and holds[1] else read_annotations(run)
    if old and holds[2]:
        summary, position = old.summary, old.position
    else:
        summary, position = _summarise(run, old, writer)
    vouched = [
        signature if held or _is_settled(signature, now) else None
        for held, signature in zip(holds, signatures, strict=True)
    ]
    if position.offset == 0 and signatures[2][1] > 0:
        # No whole row in a file that is not empty: perhaps the disk only refused just now.
        vouched[2] = None
    entry = IndexEntry(
        identity, annotations, summary, position, (vouched[0], vouched[1], vouched[2])
    )
    return _known(run, entry, writer)


def _summarise(
    run: RunFolder, old: IndexEntry | None, writer: Writer | None
) -> tuple[RunSummary, FileOffset]:
    if writer is not None and writer.is_alive():
        if old is not None:
            return update_summary(run.metrics_path, old.summary, old.position)
        return read_summary(run.metrics_path)
    summary, position = read_summary(run.metrics_path)
    # Nothing is carried on from here, and a thousand entries are to be read quickly.
    return replace(summary, throughput=RunningMedian()), position


def _known(run: RunFolder, entry: IndexEntry, writer: Writer | None) -> IndexedRun:
    status = judge_status(run, entry.summary.status, entry.summary.error, writer)
    try:
        updated = run.metrics_path.stat().st_mtime
    except OSError:
        updated = None
    return IndexedRun(entry, status, updated)


def _identity(config: Mapping[str, Any]) -> Identity:
    settings = flatten(config["config"])
    return Identity(
        experiment=as_text(config.get("experiment")),
        created=as_text(config.get("created")),
        parameters=as_int(config.get("parameters")),
        seed=as_int(settings.get("train.runtime.seed")),
        settings=settings,
    )


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as one, with dotted keys; an empty table stays as a value."""
    flat: dict[str, Any] = {}
    # A stack of our own: a made-up file may nest deeper than Python calls.
    waiting: list[tuple[str, Any]] = list(table.items())[::-1]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{key}.{inner}", item) for inner, item in list(value.items())[::-1]]
        else:
            flat[key] = value
    return flat


def _signatures(run: RunFolder) -> tuple[FileSignature, FileSignature, FileSignature]:
    return _signature(run.config_path), _signature(run.notes_path), _signature(run.metrics_path)


def _signature(path: Path) -> FileSignature:
    try:
        state = path.stat()
    except OSError:
        return _ABSENT
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _old(
    entry: IndexEntry | None,
) -> tuple[FileSignature | None, FileSignature | None, FileSignature | None]:
    return entry.signatures if entry is not None else (None, None, None)


def _is_settled(signature: FileSignature, now: int) -> bool:
    return max(signature[2], signature[3]) < now - _SETTLED_NS


def _load(path: Path) -> dict[str, IndexEntry]:
    try:
        state = path.lstat()
        # Whatever else bears this name (a pipe, a link to a device) might never end.
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_INDEX:
            return {}
        return _adapter().validate_json(path.read_bytes(), strict=True).runs
    except (OSError, ValueError, RecursionError):
        return {}


@functools.cache
def _adapter() -> "TypeAdapter[Index]":
    from pydantic import TypeAdapter

    return TypeAdapter(Index)


def _is_worth_storing(
    stored: Mapping[str, IndexEntry], found: Mapping[str, IndexedRun | PlaygroundError]
) -> bool:
    entries = {name: known for name, known in found.items() if isinstance(known, IndexedRun)}
    if stored.keys() - entries.keys():
        return True
    return any(_is_news(stored.get(name), known) for name, known in entries.items())


def _is_news(old: IndexEntry | None, known: IndexedRun) -> bool:
    """Whether storing what is known of a run spares a later list a noticeable reading."""
    entry = known.entry
    gained = [
        now is not None and now != before
        for now, before in zip(entry.signatures, _old(old), strict=True)
    ]
    if known.status.state != "running":
        return any(gained)
    # A running run's rows change all the time; the others' entries need not be written each time.
    behind = entry.position.offset - (old.position.offset if old else 0)
    return any(gained[:2]) or behind > _WORTH_STORING


def _store(temporary: Path, found: Mapping[str, IndexedRun | PlaygroundError]) -> None:
    parts = []
    for name, known in found.items():
        if not isinstance(known, IndexedRun):
            continue
        try:
            part = orjson.dumps({name: known.entry})[1:-1]
        except TypeError:
            # Text that is no Unicode (lone surrogates) or numbers beyond 64 bits.
            continue
        if len(part) <= _LARGEST_ENTRY:
            parts.append(part)
    # Not synced: a torn index is as good as none.
    temporary.write_bytes(b'{"schema_version":3,"runs":{%s}}' % b",\n".join(parts))
    temporary.chmod(0o644)
