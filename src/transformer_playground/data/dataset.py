"""Prepared dataset: memory-mapped token files, their checks and their atomic replacement.

New files are built in a hidden folder inside the dataset folder. Renaming that folder to `.ready`
commits them: before, the old dataset is untouched; after, the new one is complete, and the next
reader or writer finishes moving its files into place. Other files are never touched.
"""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from transformer_playground.data.meta import META_FILE, META_VERSION, read_meta
from transformer_playground.data.token_shards import TokenShards, TokenSource, files_of, whole_name
from transformer_playground.data.tokenizers import tokenizers
from transformer_playground.errors import DataError, translate_os_errors
from transformer_playground.files import fsync_folder, sha256_file, stat_or_none
from transformer_playground.jsonvalues import as_object

_DTYPES = {"uint16": np.uint16, "uint32": np.uint32}
# Another process replaces the files within milliseconds.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Dataset:
    """Memory-mapped token files with their metadata.

    `val_bytes` are the UTF-8 bytes of the validation text, for bits per byte. `fingerprint`
    identifies the tokens and the tokenizer. `end_token` ends each document of a dataset for
    finetuning; it is None for other datasets.
    """

    folder: Path
    train: TokenSource
    val: TokenSource
    vocab_size: int
    fingerprint: str
    val_bytes: int
    end_token: int | None = None

    @property
    def first_token(self) -> int:
        """First token of the training text."""
        return int(self.train[0])

    @property
    def val_bytes_per_token(self) -> float:
        """UTF-8 bytes of validation text per validation token."""
        return self.val_bytes / len(self.val)

    def record(self) -> dict[str, Any]:
        """What a run records of its dataset, as JSON values."""
        return {
            "fingerprint": self.fingerprint,
            "train_tokens": len(self.train),
            "val_tokens": len(self.val),
            "vocab_size": self.vocab_size,
            "first_token": self.first_token,
            "val_bytes_per_token": self.val_bytes_per_token,
        }


def open_dataset(folder: Path, *, prepare_command: str) -> Dataset:
    """Memory-map a prepared dataset; errors suggest `prepare_command`.

    Raises:
        DataError: An artifact is missing or damaged.
    """
    hint = f"Run `{prepare_command}`."
    for _ in range(_ATTEMPTS):
        finish_replacement(folder)
        before = _stamp(folder)
        try:
            dataset = _open(folder)
        except DataError as error:
            if is_replacement_finished(folder) and _stamp(folder) == before:
                raise DataError(error.message, hint) from error
            continue
        if is_replacement_finished(folder) and _stamp(folder) == before:
            return dataset
    raise DataError(f"{folder} is repeatedly replaced by another process.", hint)


def _open(folder: Path) -> Dataset:
    meta = check_artifacts(folder)
    _check_changed(folder, meta)
    dtype = _DTYPES[meta["dtype"]]
    with translate_os_errors(DataError, f"{folder} cannot be read"):
        train, val = (_mapped(folder, meta, name, dtype) for name in (TRAIN_FILE, VAL_FILE))
    return Dataset(
        folder=folder,
        train=train,
        val=val,
        vocab_size=meta["vocab_size"],
        fingerprint=meta["fingerprint"],
        val_bytes=meta["val_bytes"],
        end_token=meta["eos_id"] if meta.get("kind") == "huggingface" else None,
    )


def _mapped(folder: Path, meta: Mapping[str, Any], name: str, dtype: type) -> TokenSource:
    """The tokens of a split, from one file or several."""
    files = files_of(name, meta["files"])
    parts = [np.memmap(folder / file, dtype=dtype, mode="r") for file in files]
    return parts[0] if len(parts) == 1 else TokenShards(parts)


def _check_changed(folder: Path, meta: Mapping[str, Any]) -> None:
    """Check the content of files that were written after `meta.pkl`, which comes last.

    Raises:
        DataError: A file was altered.
    """
    committed = (folder / META_FILE).stat().st_mtime_ns
    for name, expected in meta["files"].items():
        state = (folder / name).stat()
        if state.st_mtime_ns <= committed:
            continue
        signature = state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
        if _sha256_of(folder / name, signature) != expected["sha256"]:
            raise DataError(f"{folder / name} was altered after it was prepared.")


@functools.lru_cache(maxsize=64)
def _sha256_of(path: Path, _signature: tuple[int, ...]) -> str:
    """SHA-256 of a file, read once while its size and times stay the same."""
    return sha256_file(path)


def known_vocab_size(folder: Path) -> int | None:
    """Vocabulary of a prepared dataset; None if it is not prepared."""
    try:
        size: int = check_artifacts(folder)["vocab_size"]
    except DataError:
        return None
    return size


def check_artifacts(folder: Path, *, hashes: bool = False) -> dict[str, Any]:
    """Check the files of a dataset against its `meta.pkl` and return the metadata.

    With `hashes`, all files are read and their SHA-256 is compared.

    Raises:
        DataError: An artifact is missing, damaged or of another version.
    """
    if not folder.is_dir():
        raise DataError(f"There is no prepared dataset at {folder}.")
    meta = read_meta(folder / META_FILE)
    if not _is_complete(meta):
        raise DataError(f"{folder / META_FILE} does not describe a dataset of this version.")
    for name, expected in meta["files"].items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing.")
        if path.stat().st_size != expected["size"]:
            raise DataError(
                f"{path} is damaged: {path.stat().st_size:,} bytes instead of {expected['size']:,}."
            )
        if hashes and sha256_file(path) != expected["sha256"]:
            raise DataError(f"{path} is damaged: its SHA-256 is not the recorded one.")
    return meta


def _is_complete(meta: dict[str, Any]) -> bool:
    """Whether all required entries have the right type and are consistent."""
    types = {
        "vocab_size": int,
        "dtype": str,
        "fingerprint": str,
        "val_bytes": int,
        "train_tokens": int,
        "val_tokens": int,
        "files": dict,
    }
    if meta.get("version") != META_VERSION:
        return False
    if any(type(meta.get(name)) is not kind for name, kind in types.items()):
        return False
    files = meta["files"]
    if meta["dtype"] not in _DTYPES:
        return False
    for name, entry in files.items():
        # Only plain file names: no path outside the dataset folder.
        if type(name) is not str or Path(name).name != name or type(entry) is not dict:
            return False
        if type(entry.get("size")) is not int or type(entry.get("sha256")) is not str:
            return False
    width = np.dtype(_DTYPES[meta["dtype"]]).itemsize
    counts = {TRAIN_FILE: meta["train_tokens"], VAL_FILE: meta["val_tokens"]}
    for name, count in counts.items():
        sizes = [files[file]["size"] for file in files_of(name, files)]
        if not sizes or sum(sizes) != count * width or any(not s or s % width for s in sizes):
            return False
    return True


def _stamp(folder: Path) -> tuple[int, int] | None:
    state = stat_or_none(folder / META_FILE)
    return None if state is None else (state.st_ino, state.st_mtime_ns)


TRAIN_FILE = "train.bin"
VAL_FILE = "val.bin"
TRAIN_DOCUMENTS = "train.jsonl"
VAL_DOCUMENTS = "val.jsonl"

_READY = ".ready"
_BUILDING = ".building-"
_LOCK = ".prepare.lock"
_LOCK_TIMEOUT_SECONDS = 600

_T = TypeVar("_T")


@functools.cache
def artifacts() -> tuple[str, ...]:
    """Names of all possible files of a dataset but shards; `meta.pkl` comes last."""
    of_tokenizers = (name for each in tokenizers().values() for name in each.file_names)
    return (TRAIN_DOCUMENTS, VAL_DOCUMENTS, TRAIN_FILE, VAL_FILE, *of_tokenizers, META_FILE)


def artifacts_among(names: Iterable[str]) -> list[str]:
    """The names that belong to a dataset, in the order of `artifacts`."""
    order = {name: number for number, name in enumerate(artifacts())}
    known = [name for name in names if whole_name(name) in order]
    return sorted(known, key=lambda name: (order[whole_name(name)], name))


@contextlib.contextmanager
def prepare_lock(folder: Path, *, report: Callable[[str], None]) -> Iterator[None]:
    """Lock a dataset folder for preparation; recovers from an earlier crash first.

    Raises:
        DataError: Another process holds the lock for ten minutes.
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(f"Waiting for another process that is preparing {folder}")
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_SECONDS)
        except Timeout:
            raise DataError(
                f"Another process is still preparing {folder}.",
                "Wait for it to finish, or stop it.",
            ) from None
    try:
        _finish(folder)
        for abandoned in folder.glob(f"{_BUILDING}*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        yield
    finally:
        lock.release()


def finish_replacement(folder: Path) -> None:
    """Finish a committed replacement that was interrupted.

    Raises:
        DataError: The folder cannot be written, or another process holds the lock too long.
    """
    if is_replacement_finished(folder):
        return
    what = f"The new dataset in {folder} cannot be moved into place"
    with (
        translate_os_errors(DataError, what, "Make the folder writable."),
        prepare_lock(folder, report=lambda _: None),
    ):
        return


def is_replacement_finished(folder: Path) -> bool:
    """Whether no committed replacement is pending."""
    return not (folder / _READY).is_dir()


def replace_artifacts(folder: Path, build: Callable[[Path], _T]) -> _T:
    """Replace the artifacts of a dataset with those that `build` writes into an empty folder.

    Call it inside `prepare_lock`. `build` writes and flushes all artifacts including `meta.pkl`;
    its result is returned.

    Raises:
        OSError: While writing; the old dataset is unchanged.
    """
    building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=folder))
    try:
        building.chmod(0o755)
        result = build(building)
        fsync_folder(building)
        building.rename(folder / _READY)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    fsync_folder(folder)
    _finish(folder)
    return result


def _finish(folder: Path) -> None:
    ready = folder / _READY
    if not ready.is_dir():
        return
    # meta.pkl moves last because it lists the other files, old and new.
    needed = _listed_artifacts(ready)
    superseded = _listed_artifacts(folder) - needed if needed else set()
    for name in artifacts_among(path.name for path in ready.iterdir()):
        if name != META_FILE:
            (ready / name).replace(folder / name)
    for name in superseded:
        (folder / name).unlink(missing_ok=True)
    if (ready / META_FILE).exists():
        fsync_folder(folder)
        (ready / META_FILE).replace(folder / META_FILE)
    fsync_folder(folder)
    shutil.rmtree(ready)
    fsync_folder(folder)


def _listed_artifacts(folder: Path) -> set[str]:
    """Artifacts listed in the meta.pkl of a folder; empty if it cannot be read."""
    try:
        listed = as_object(read_meta(folder / META_FILE).get("files"))
    except DataError:
        return set()
    return set(artifacts_among(listed))


def token_dtype(vocab_size: int) -> str:
    """The dtype of token files: uint16 as in nanoGPT, or uint32 for large vocabularies."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"
