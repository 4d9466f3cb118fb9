"""All-or-nothing replacement of a prepared dataset, safe against a crash at any point.

The new files are built in a hidden folder inside the dataset folder. Renaming that folder to
`.ready` commits them: until then the old dataset is untouched, from then on the new one is
complete, and whoever comes next finishes moving its files into place. Other files in the dataset
folder are never touched.
"""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from transformer_playground.data.meta import META_FILE, read_meta
from transformer_playground.data.tokenizers import tokenizers
from transformer_playground.errors import DataError
from transformer_playground.files import fsync_folder

TRAIN_FILE = "train.bin"
VAL_FILE = "val.bin"
TRAIN_DOCUMENTS = "train.jsonl"
VAL_DOCUMENTS = "val.jsonl"

_READY = ".ready"
_BUILDING = ".building-"
_LOCK = ".prepare.lock"
_PATIENCE_SECONDS = 600

_T = TypeVar("_T")


@functools.cache
def artifacts() -> tuple[str, ...]:
    """Names of all files that a dataset may consist of; `meta.pkl` comes last."""
    of_tokenizers = (name for each in tokenizers().values() for name in each.file_names)
    return (TRAIN_DOCUMENTS, VAL_DOCUMENTS, TRAIN_FILE, VAL_FILE, *of_tokenizers, META_FILE)


@contextlib.contextmanager
def exclusive(folder: Path, *, report: Callable[[str], None]) -> Iterator[None]:
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
            lock.acquire(timeout=_PATIENCE_SECONDS)
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


def settle(folder: Path) -> None:
    """Finish a committed replacement that was cut short; nothing to do almost always.

    Raises:
        DataError: The folder cannot be written, or another process holds it for too long.
    """
    if not (folder / _READY).is_dir():
        return
    try:
        with exclusive(folder, report=lambda _: None):
            return
    except OSError as error:
        raise DataError(
            f"The new dataset in {folder} cannot be moved into place: {error.strerror}.",
            "Make the folder writable.",
        ) from error


def is_settled(folder: Path) -> bool:
    """Whether no replacement waits to be finished."""
    return not (folder / _READY).is_dir()


def replace_artifacts(folder: Path, build: Callable[[Path], _T]) -> _T:
    """Let `build` fill an empty folder, then put its files in place of the old artifacts.

    Call inside `exclusive`.

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
