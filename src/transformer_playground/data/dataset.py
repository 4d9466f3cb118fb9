"""A prepared dataset, opened without reading it."""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from transformer_playground.data.meta import META_FILE, META_VERSION, read_meta
from transformer_playground.data.tokenizers import tokenizers
from transformer_playground.errors import DataError
from transformer_playground.files import fsync_folder, sha256_file

TokenArray = npt.NDArray[np.unsignedinteger[Any]]

_DTYPES = {"uint16": np.uint16, "uint32": np.uint32}
# A replacement by another process takes milliseconds; a second look finds it finished.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Dataset:
    """Token files mapped into memory, and what is known about them.

    `val_bytes` counts the UTF-8 bytes of the validation text, for bits per byte. `fingerprint`
    names the content: the same tokens from the same tokenizer have the same one. `end_token` ends
    each document of a dataset for finetuning; the others have no such edges.
    """

    folder: Path
    train: TokenArray
    val: TokenArray
    vocab_size: int
    fingerprint: str
    val_bytes: int
    end_token: int | None = None

    @property
    def val_bytes_per_token(self) -> float:
        """UTF-8 bytes of validation text per validation token."""
        return self.val_bytes / len(self.val)


def open_dataset(folder: Path, *, prepare_command: str) -> Dataset:
    """Map a prepared dataset; its tokens are read as they are used.

    Args:
        folder: Where `prepare` wrote it.
        prepare_command: What the user can run to make or mend it.

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
    raise DataError(f"{folder} is being replaced by another process again and again.", hint)


def _open(folder: Path) -> Dataset:
    meta = check_artifacts(folder)
    dtype = _DTYPES[meta["dtype"]]
    try:
        train, val = (
            np.memmap(folder / name, dtype=dtype, mode="r") for name in (TRAIN_FILE, VAL_FILE)
        )
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    return Dataset(
        folder=folder,
        train=train,
        val=val,
        vocab_size=meta["vocab_size"],
        fingerprint=meta["fingerprint"],
        val_bytes=meta["val_bytes"],
        end_token=meta["eos_id"] if meta.get("kind") == "huggingface" else None,
    )


def check_artifacts(folder: Path, *, hashes: bool = False) -> dict[str, Any]:
    """Check the files of a dataset against its `meta.pkl`, and return that.

    Args:
        folder: The dataset folder.
        hashes: Also read every file and compare its SHA-256.

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
    """Whether everything that is used later is there with the right type and adds up."""
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
    if meta["dtype"] not in _DTYPES or not {TRAIN_FILE, VAL_FILE} <= files.keys():
        return False
    for name, entry in files.items():
        # A name with a folder in it would lead out of the dataset.
        if type(name) is not str or Path(name).name != name or type(entry) is not dict:
            return False
        if type(entry.get("size")) is not int or type(entry.get("sha256")) is not str:
            return False
    width = np.dtype(_DTYPES[meta["dtype"]]).itemsize
    counts = {TRAIN_FILE: meta["train_tokens"], VAL_FILE: meta["val_tokens"]}
    return all(count > 0 and files[name]["size"] == count * width for name, count in counts.items())


def _stamp(folder: Path) -> tuple[int, int] | None:
    try:
        status = (folder / META_FILE).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


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
    """Names of all files that a dataset may consist of; `meta.pkl` comes last."""
    of_tokenizers = (name for each in tokenizers().values() for name in each.file_names)
    return (TRAIN_DOCUMENTS, VAL_DOCUMENTS, TRAIN_FILE, VAL_FILE, *of_tokenizers, META_FILE)


@contextlib.contextmanager
def prepare_lock(folder: Path, *, report: Callable[[str], None]) -> Iterator[None]:
    """Be the only one who prepares `folder`; finishes or clears what a crash left behind.

    Raises:
        DataError: Another process has been preparing it for ten minutes.
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(f"Waiting for another process that prepares {folder}")
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_SECONDS)
        except Timeout:
            raise DataError(
                f"Another process has been preparing {folder} for a long time.",
                "Wait for it to end, or stop it.",
            ) from None
    try:
        _finish(folder)
        for abandoned in folder.glob(f"{_BUILDING}*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        yield
    finally:
        lock.release()


def finish_replacement(folder: Path) -> None:
    """Finish a committed replacement that was cut short; nothing to do almost always.

    Raises:
        DataError: The folder cannot be written, or another process holds it for too long.
    """
    if not (folder / _READY).is_dir():
        return
    try:
        with prepare_lock(folder, report=lambda _: None):
            return
    except OSError as error:
        raise DataError(
            f"The new dataset in {folder} cannot be moved into place: {error.strerror}.",
            "Make the folder writable.",
        ) from error


def is_replacement_finished(folder: Path) -> bool:
    """Whether no replacement waits to be finished."""
    return not (folder / _READY).is_dir()


def replace_artifacts(folder: Path, build: Callable[[Path], _T]) -> _T:
    """Let `build` fill an empty folder, then put its files in place of the old artifacts.

    Call inside `prepare_lock`.

    Args:
        folder: The dataset folder.
        build: Writes all artifacts, flushed, `meta.pkl` with its `files` among them.

    Returns:
        What `build` returned.

    Raises:
        OSError: The disk refused; the old dataset is whole and nothing else is left.
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
    # meta.pkl comes last: it names the other files, and without it the rest cannot be finished.
    # What it replaces names the files that are not needed any more.
    needed = _named(ready)
    superseded = _named(folder) - needed if needed else set()
    for name in artifacts()[:-1]:
        if (ready / name).exists():
            (ready / name).replace(folder / name)
    for name in superseded:
        (folder / name).unlink(missing_ok=True)
    if (ready / META_FILE).exists():
        fsync_folder(folder)
        (ready / META_FILE).replace(folder / META_FILE)
    fsync_folder(folder)
    shutil.rmtree(ready)
    fsync_folder(folder)


def _named(folder: Path) -> set[str]:
    """Artifacts that the meta.pkl of a folder names, none if it cannot be read."""
    try:
        named = read_meta(folder / META_FILE).get("files")
    except DataError:
        return set()
    return {name for name in artifacts() if isinstance(named, dict) and name in named}


def token_dtype(vocab_size: int) -> str:
    """Choose the smaller of nanoGPT's uint16 and uint32 that holds every id."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"
