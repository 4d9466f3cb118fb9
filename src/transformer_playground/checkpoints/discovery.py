"""Checkpoint discovery: find valid checkpoints by the sizes and hashes in their sidecars."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from transformer_playground.checkpoints.format import (
    NANOGPT_NAME,
    POINTERS,
    CheckpointInfo,
    Kind,
    is_pointer,
    read_sidecar,
    sidecar_path,
)
from transformer_playground.errors import CheckpointError, UsageError
from transformer_playground.files import sha256_file

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

HashFile = Callable[[Path], str]


class FileHashes:
    """`sha256_file` that reads a file once: pointers are hard links to other checkpoints."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def __call__(self, path: Path) -> str:
        """SHA-256 of a file as hex."""
        signature = _signature(path)
        if signature not in self._known:
            self._known[signature] = sha256_file(path)
        return self._known[signature]

    def add(self, path: Path, digest: str) -> None:
        """State the SHA-256 of a file that was just written."""
        self._known[_signature(path)] = digest


def _signature(path: Path) -> tuple[int, int, int, int]:
    """Changes when the file is replaced or written to."""
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class Skipped:
    """A damaged or incomplete checkpoint, and why it was skipped."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path.name}: {self.reason}"


def skipped_notice(skipped: Skipped | str) -> str:
    """The notice of a checkpoint that was skipped, given itself or its text."""
    return f"skipped an unusable checkpoint: {skipped}"


@dataclass(frozen=True)
class CheckpointListing:
    """Valid checkpoints of a folder, newest first, and the skipped ones."""

    valid: tuple[CheckpointInfo, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class FoundCheckpoint:
    """The checkpoint to use.

    `info` is None for a file without a sidecar (nanoGPT's, or one chosen by name). `skipped` are
    preferred but damaged checkpoints, which the caller must report.
    """

    path: Path
    info: CheckpointInfo | None
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class FolderScan:
    """The sidecars of one folder, read but not yet compared with the files.

    Attributes:
        sidecars: Checkpoint file -> content of its sidecar.
        problems: Checkpoint file -> why it has no usable sidecar.
    """

    sidecars: dict[Path, CheckpointInfo]
    problems: dict[Path, str]

    @property
    def files(self) -> tuple[Path, ...]:
        """Every checkpoint file, also if the file or its sidecar is missing."""
        return (*self.sidecars, *self.problems)

    def newest_first(self) -> list[Path]:
        """Files in the order to try them; those without a usable sidecar first, to be reported.

        Pointers without a usable sidecar come last: they may be one save behind.
        """
        known = sorted(self.sidecars.values(), key=lambda info: info.age_key, reverse=True)
        unknown = sorted(self.problems, key=is_pointer)
        first = [path for path in unknown if not is_pointer(path)]
        return first + [info.path for info in known] + unknown[len(first) :]

    def preferred(self, kind: Kind) -> list[Path]:
        """Files of one kind in the order to sample from them.

        The pointer precedes other files of the same state, but not a better one, since switching
        the pointer may have failed.
        """
        unknown = [path for path in self.problems if path.name == POINTERS[kind]]
        known = [info for info in self.sidecars.values() if info.kind == kind]
        known.sort(
            key=lambda info: (
                info.metric or 0.0 if kind == "best" else 0.0,
                -info.sequence,
                -info.step,
                not is_pointer(info.path),
            )
        )
        return unknown + [info.path for info in known]

    def check(self, path: Path, hash_file: HashFile | None = sha256_file) -> CheckpointInfo:
        """The sidecar that matches size and hash of `path`; without `hash_file` only its size.

        A pointer and its sidecar cannot be replaced in one step, so a pointer may also match the
        sidecar of the checkpoint that it points to.

        Raises:
            CheckpointError: No sidecar matches; the message is the bare reason.
        """
        own = self.sidecars.get(path)
        candidates = [own] if own else []
        candidates += [
            info
            for info in self.sidecars.values()
            if info is not own and POINTERS[info.kind] == path.name
        ]
        if not candidates:
            raise CheckpointError(self.problems.get(path, "it has no sidecar"))
        try:
            size = path.stat().st_size
            fitting = [info for info in candidates if info.size == size]
            digest = hash_file(path) if fitting and hash_file is not None else None
        except FileNotFoundError:
            raise CheckpointError("the file is missing") from None
        except OSError as error:
            raise CheckpointError(f"it cannot be read: {error.strerror}") from error
        if not fitting:
            reason = f"it has {size} bytes, but its sidecar says {candidates[0].size}"
            raise CheckpointError(self.problems.get(path, reason))
        for info in fitting:
            if digest is None or info.sha256 == digest:
                return replace(info, path=path)
        raise CheckpointError("its content does not match the hash in its sidecar")

    def first_valid(
        self, paths: Iterable[Path], hash_file: HashFile | None = sha256_file
    ) -> tuple[CheckpointInfo | None, tuple[Skipped, ...]]:
        """The first valid checkpoint of `paths`, and those skipped before it."""
        skipped: list[Skipped] = []
        for path in paths:
            try:
                return self.check(path, hash_file), tuple(skipped)
            except CheckpointError as error:
                skipped.append(Skipped(path, error.message))
        return None, tuple(skipped)


def scan_folder(folder: Path) -> FolderScan:
    """Read every sidecar of `folder`; a missing folder counts as empty.

    Raises:
        CheckpointError: The folder cannot be listed.
    """
    scan = FolderScan({}, {})
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return scan
    except OSError as error:
        raise CheckpointError(f"Cannot list {folder}: {error.strerror}.") from error
    for path in sorted({entry.with_suffix(".pt") for entry in entries if _is_checkpoint(entry)}):
        try:
            scan.sidecars[path] = read_sidecar(sidecar_path(path))
        except CheckpointError as error:
            scan.problems[path] = error.message
    return scan


def list_checkpoints(folder: Path, hash_file: HashFile | None = sha256_file) -> CheckpointListing:
    """Check every checkpoint of `folder` against its sidecar.

    Args:
        folder: A folder of checkpoints.
        hash_file: SHA-256 of a file; None compares only sizes.

    Raises:
        CheckpointError: The folder cannot be listed.
    """
    scan = scan_folder(folder)
    valid: list[CheckpointInfo] = []
    skipped: list[Skipped] = []
    for path in scan.files:
        info, reasons = scan.first_valid([path], hash_file)
        valid += [info] if info else []
        skipped += reasons
    valid.sort(key=lambda info: info.age_key, reverse=True)
    return CheckpointListing(tuple(valid), tuple(skipped))


def newest_valid(folder: Path) -> FoundCheckpoint:
    """The newest valid checkpoint, to resume from.

    Raises:
        CheckpointError: There is none; the message lists the damaged ones.
    """
    info, skipped = _search(folder, FolderScan.newest_first)
    if info is None:
        raise _no_valid_checkpoint(folder, skipped)
    return FoundCheckpoint(info.path, info, skipped)


def choose(
    folder: Path, name: str = "auto", hash_file: HashFile | None = sha256_file
) -> FoundCheckpoint:
    """The checkpoint to sample from.

    Args:
        folder: The run's checkpoint folder. A nanoGPT `ckpt.pt` may also be in its parent.
        name: "auto" (best, then last, then `ckpt.pt`), "best", "last", or a file name in `folder`.
        hash_file: SHA-256 of a file; pass a caching function for repeated calls. With None only
            sizes are compared.

    Raises:
        UsageError: `name` is not a plain file name or leads out of the folder.
        CheckpointError: There is no valid checkpoint; the message lists the damaged ones.
    """
    if name not in ("auto", "best", "last"):
        return _choose_file(folder, name, hash_file)

    def order(scan: FolderScan) -> list[Path]:
        best = scan.preferred("best") if name in ("auto", "best") else []
        return best + (scan.preferred("last") if name in ("auto", "last") else [])

    info, skipped = _search(folder, order, hash_file)
    if info is not None:
        return FoundCheckpoint(info.path, info, skipped)
    nanogpt = _nanogpt_file(folder) if name == "auto" else None
    if nanogpt is not None:
        return FoundCheckpoint(nanogpt, None, skipped)
    raise _no_valid_checkpoint(folder, _search(folder, FolderScan.newest_first)[1] or skipped)


def _search(
    folder: Path,
    order: Callable[[FolderScan], list[Path]],
    hash_file: HashFile | None = sha256_file,
) -> tuple[CheckpointInfo | None, tuple[Skipped, ...]]:
    scan = scan_folder(folder)
    info, skipped = scan.first_valid(order(scan), hash_file)
    if skipped:
        # A save during the scan makes valid files look damaged, so try a second time.
        scan = scan_folder(folder)
        info, skipped = scan.first_valid(order(scan), hash_file)
    return info, skipped


def _choose_file(folder: Path, name: str, hash_file: HashFile | None) -> FoundCheckpoint:
    if not _FILE_NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' is not the name of a checkpoint file.",
            "Use auto, best, last or a file name from the run's checkpoints folder.",
        )
    path = _nanogpt_file(folder) if name == NANOGPT_NAME else folder / name
    if path is None or not path.is_file():
        raise CheckpointError(
            f"There is no checkpoint '{name}' in {folder}.", _others(scan_folder(folder))
        )
    if not path.resolve().is_relative_to(folder.parent.resolve()):
        raise UsageError(
            f"The checkpoint '{name}' is a link that leads out of the run folder.",
            "Copy the file into the checkpoints folder.",
        )
    scan = scan_folder(folder)
    if path not in scan.sidecars and not sidecar_path(path).exists():
        return FoundCheckpoint(path, None, ())
    try:
        info = scan.check(path, hash_file)
    except CheckpointError as error:
        raise CheckpointError(
            f"The checkpoint {path} is damaged: {error.message}.",
            _others(scan, path),
        ) from error
    return FoundCheckpoint(path, info, ())


def _others(scan: FolderScan, excluded: Path | None = None) -> str:
    names = sorted(path.name for path in scan.sidecars if path != excluded and path.is_file())
    return f"Checkpoints there: {', '.join(names) or 'none'}."


def _nanogpt_file(folder: Path) -> Path | None:
    places = (folder / NANOGPT_NAME, folder.parent / NANOGPT_NAME)
    return next((path for path in places if path.is_file()), None)


def _is_checkpoint(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.suffix == ".json":
        return path.name.startswith("ckpt_") or is_pointer(path.with_suffix(".pt"))
    return path.suffix == ".pt" and path.name != NANOGPT_NAME


def _no_valid_checkpoint(folder: Path, skipped: Iterable[Skipped]) -> CheckpointError:
    found = "; ".join(str(problem) for problem in skipped)
    if not found:
        return CheckpointError(
            f"There is no checkpoint in {folder}.", "Train first, or name another run."
        )
    return CheckpointError(
        f"No usable checkpoint in {folder}: {found}.",
        "Restore one of these files, or start a new run.",
    )
