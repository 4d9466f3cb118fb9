"""Folders that appear complete or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from transformer_playground.errors import ExportError, PlaygroundError, UsageError
from transformer_playground.files import fsync_folder

_SUFFIX = ".tmp"


@contextlib.contextmanager
def staged_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder beside `target` that is renamed to it at the end, or removed on an error.

    Args:
        target: The folder to create.
        replace: Replace an existing `target` at the end.

    Raises:
        UsageError: `target` exists, and is not to be replaced.
        ExportError: Any error of writing.
    """
    with _write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(2)}{_SUFFIX}")
        staged.mkdir()
        try:
            yield staged
            _finish(staged)
            _put(staged, target, replace=replace)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _put(staged: Path, target: Path, *, replace: bool) -> None:
    if not os.path.lexists(target):
        staged.rename(target)
    elif not replace:
        raise already_there(target)
    else:
        former = staged.with_name(staged.name.removesuffix(_SUFFIX) + "-former" + _SUFFIX)
        target.rename(former)
        try:
            staged.rename(target)
        except OSError:
            former.rename(target)
            raise
        shutil.rmtree(former, ignore_errors=True)
    fsync_folder(target.parent)


def already_there(target: Path, hint: str = "Choose another folder with --out.") -> UsageError:
    """The error for a folder that exists."""
    return UsageError(f"{target} already exists.", hint)


def _finish(folder: Path) -> None:
    """Give all files the usual permissions, and flush them to disk."""
    # Some libraries create private files. Reading the umask would change it for other threads.
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            fsync_folder(path)
        elif path.is_file():
            path.chmod(mode)
            with path.open("rb") as file:
                os.fsync(file.fileno())


def remove_leftovers(target: Path) -> None:
    """Remove what killed exports to `target` left; a former folder is put back if none is there.

    Raises:
        ExportError: The folder that was there before cannot be put back.
    """
    prefix = f".{target.name}."
    for path in sorted(target.parent.glob("*")):
        name = path.name
        if not (name.startswith(prefix) and name.endswith(_SUFFIX) and path.is_dir()):
            continue
        process, _, rest = name.removeprefix(prefix).removesuffix(_SUFFIX).partition("-")
        if not process.isdecimal() or not rest or psutil.pid_exists(int(process)):
            continue
        if rest.endswith("-former") and not os.path.lexists(target):
            with _write_errors(target):
                path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    """Turn each error of writing into an `ExportError`."""
    from safetensors import SafetensorError

    try:
        yield
    except PlaygroundError:
        raise
    # Depending on its version, safetensors reports a full disk as one or the other.
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ExportError(
            f"{target} cannot be written: {reason.rstrip('.')}.",
            "Free some disk space, or choose another folder with --out.",
        ) from error
