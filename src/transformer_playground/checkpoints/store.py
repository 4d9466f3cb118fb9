"""Save checkpoints so that no crash, full disk or kill can ever take the previous ones away.

Order of one save, each of the first three steps durable before the next begins:

1. the bytes go to a hidden temporary file in the same folder and get their final name;
2. the sidecar follows: now the checkpoint exists, and the save counts as done;
3. `last.pt` and `best_val.pt` are switched by link and rename, then their sidecars;
4. what the retention policy no longer wants is removed, sidecar first.

If the disk refuses step 3 or 4, the next save does it again. Until then a pointer may be one save
behind, so discovery goes by what the sidecars say and not by a pointer's name.

A committed file is never rewritten: a second save at the same step gets a name of its own.
"""

import contextlib
import errno
import hashlib
import io
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from transformer_playground.checkpoints.discovery import CheckpointListing, list_checkpoints
from transformer_playground.checkpoints.format import (
    POINTERS,
    CheckpointInfo,
    Kind,
    is_pointer,
    is_rotated,
    read_sidecar,
    sidecar_path,
    write_sidecar,
)
from transformer_playground.errors import CheckpointError
from transformer_playground.files import (
    fsync_folder,
    link_or_copy,
    sha256_file,
    temporary_sibling,
    write_durably,
)
from transformer_playground.formatting import size_text
from transformer_playground.jsonvalues import as_int


@dataclass(frozen=True)
class Written:
    """What went to the disk."""

    size: int
    sha256: str


class _HashingWriter(io.BufferedIOBase):
    """Passes bytes on to a file, counting and hashing them.

    The first error is kept instead of raised and the rest of the stream dropped: torch's archive
    writer is native code that answers a Python exception with an unrelated one of its own.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        if self.error is None:
            try:
                self._file.write(view)
            except OSError as error:
                self.error = error
            self._digest.update(view)
            self.size += view.nbytes
        return view.nbytes

    def finish(self) -> Written:
        if self.error is not None:
            raise self.error
        return Written(self.size, self._digest.hexdigest())


def write_payload(path: Path, payload: Mapping[str, Any]) -> Written:
    """Serialise `payload` into `path` and sync it to the disk.

    Raises:
        OSError: The disk refused; `path` is not complete.
    """
    # Discovery of checkpoints must not pay for torch.
    import torch

    written: list[Written] = []

    def serialise(file: IO[bytes]) -> None:
        writer = _HashingWriter(file)
        torch.save(dict(payload), cast("IO[bytes]", writer))
        written.append(writer.finish())

    write_durably(path, serialise)
    return written[0]


def estimated_size(value: object) -> int:
    """Bytes of all tensors and arrays nested in `value`; tensors that share memory count twice."""
    if isinstance(value, Mapping):
        return sum(estimated_size(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(estimated_size(item) for item in value)
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


_SPACE_MARGIN = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class CheckpointStore:
    """The only writer of one checkpoint folder (the run's lock sees to that).

    Args:
        folder: Where the files go; made when missing, inside a run folder that exists.
        keep_last: Newest checkpoints to keep beside `last.pt`.
        keep_best: Checkpoints of lowest metric to keep beside `best_val.pt`.
    """

    def __init__(self, folder: Path, *, keep_last: int, keep_best: int) -> None:
        self._folder = folder
        self._keep: dict[Kind, int] = {"last": keep_last, "best": keep_best}
        self._hashes: dict[tuple[int, int, int], str] = {}

    def save(
        self,
        payload: Mapping[str, Any],
        *,
        step: int,
        last: bool,
        best_metric: float | None,
        protect: Path | None = None,
    ) -> list[CheckpointInfo]:
        """Write one payload as the newest checkpoint, as a best one, or as both.

        Args:
            payload: What `torch.save` can write and `torch.load(weights_only=True)` can read.
            step: Optimizer steps done.
            last: Save it as the newest state.
            best_metric: Validation loss; not None saves it as a best state too. `best_val.pt`
                follows the lowest metric.
            protect: A file that retention must not remove, such as the one resumed from.

        Returns:
            What was saved: last first, then best.

        Raises:
            CheckpointError: The disk refused and nothing was saved. Every earlier checkpoint is as
                it was; what a broken disk would not let us remove goes with the next save.
        """
        wanted: list[tuple[Kind, float | None]] = [("last", None)] if last else []
        if best_metric is not None:
            if not math.isfinite(best_metric):
                raise CheckpointError(f"A checkpoint cannot be ranked by a loss of {best_metric}.")
            wanted.append(("best", best_metric))
        if not wanted:
            return []
        try:
            self._folder.mkdir(exist_ok=True)
            self._remove_leftovers(protect)
            before = self._listing()
            self._check_space(payload, before)
            saved = self._commit(payload, step, wanted, before)
        except OSError as error:
            raise self._refused(step, error) from error
        # The checkpoint exists whatever happens now. Nothing is pruned beside a pointer that could
        # not be switched: the new file may be the only one of its state.
        with contextlib.suppress(OSError, CheckpointError):
            for info in saved:
                self._switch_pointer(info.kind)
            for info in saved:
                self._prune(info.kind, protect)
        return saved

    def _remove_leftovers(self, protect: Path | None) -> None:
        for path in sorted(self._folder.iterdir()):
            is_temporary = path.name.startswith(".") and path.suffix == ".tmp"
            if is_temporary or (is_rotated(path) and _is_half(path) and not _same(path, protect)):
                path.unlink(missing_ok=True)

    def _check_space(self, payload: Mapping[str, Any], before: CheckpointListing) -> None:
        expected = before.valid[0].size if before.valid else estimated_size(payload)
        free = shutil.disk_usage(self._folder).free
        if free < expected + _SPACE_MARGIN:
            raise OSError(
                errno.ENOSPC,
                f"disk full: about {size_text(expected)} needed, {size_text(free)} free",
            )

    def _commit(
        self,
        payload: Mapping[str, Any],
        step: int,
        wanted: Sequence[tuple[Kind, float | None]],
        before: CheckpointListing,
    ) -> list[CheckpointInfo]:
        paths = [self._free_name(kind, step, metric) for kind, metric in wanted]
        placed: list[Path] = []
        try:
            with temporary_sibling(paths[0]) as temporary:
                written = write_payload(temporary, payload)
                temporary.chmod(0o644)
                placed.append(paths[0])
                temporary.replace(paths[0])
            self._hashes[_identity(paths[0])] = written.sha256
            saved = [
                CheckpointInfo(
                    path=path,
                    kind=kind,
                    step=step,
                    metric=metric,
                    size=written.size,
                    sha256=written.sha256,
                    created=datetime.now().astimezone().isoformat(timespec="seconds"),
                    sequence=1 + max((info.sequence for info in before.valid), default=0),
                    tokens_seen=as_int(payload.get("tokens_seen")),
                    config_hash=_config_hash(payload.get("config")),
                )
                for path, (kind, metric) in zip(paths, wanted, strict=True)
            ]
            for path in paths[1:]:
                placed.append(path)
                link_or_copy(paths[0], path)
            fsync_folder(self._folder)
            for info in saved:
                placed.append(sidecar_path(info.path))
                write_sidecar(info)
        except BaseException:
            for path in reversed(placed):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        return saved

    def _free_name(self, kind: Kind, step: int, metric: float | None) -> Path:
        stem = f"ckpt_{kind}_{step:08d}"
        if metric is not None:
            stem += f"_val_loss_{metric:.4f}"
        name, number = f"{stem}.pt", 2
        while (self._folder / name).exists() or sidecar_path(self._folder / name).exists():
            name, number = f"{stem}_{number}.pt", number + 1
        return self._folder / name

    def _switch_pointer(self, kind: Kind) -> None:
        pointer = self._folder / POINTERS[kind]
        ranked = self._ranked(kind)
        target = ranked[0]
        if is_pointer(target.path) or self._is_settled(pointer, ranked, target):
            return
        for source, name in (
            (target.path, pointer),
            (sidecar_path(target.path), sidecar_path(pointer)),
        ):
            link_or_copy(source, name)
            # Not every disk keeps two renames in order, and the sidecar must not come first: what
            # vouched for the file before may be gone.
            fsync_folder(self._folder)

    @staticmethod
    def _is_settled(
        pointer: Path, ranked: Sequence[CheckpointInfo], target: CheckpointInfo
    ) -> bool:
        if not any(info.path == pointer and info.sha256 == target.sha256 for info in ranked):
            return False
        try:
            own = read_sidecar(sidecar_path(pointer))
        except CheckpointError:
            return False
        return (own.sha256, own.sequence) == (target.sha256, target.sequence)

    def _prune(self, kind: Kind, protect: Path | None) -> None:
        rotated = [info for info in self._ranked(kind) if not is_pointer(info.path)]
        steps: set[int] = set()
        for info in rotated:
            is_kept = info.step not in steps and len(steps) < self._keep[kind]
            steps |= {info.step} if is_kept else set()
            if not is_kept and not _same(info.path, protect):
                sidecar_path(info.path).unlink(missing_ok=True)
                info.path.unlink(missing_ok=True)

    def _ranked(self, kind: Kind) -> list[CheckpointInfo]:
        """Whole checkpoints of one kind, the pointer included; the most wanted first."""
        whole = [info for info in self._listing().valid if info.kind == kind]
        if kind == "last":
            return whole
        return sorted(whole, key=lambda info: (info.metric or 0.0, -info.sequence))

    def _listing(self) -> CheckpointListing:
        return list_checkpoints(self._folder, self._hash_once)

    def _hash_once(self, path: Path) -> str:
        key = _identity(path)
        if key not in self._hashes:
            self._hashes[key] = sha256_file(path)
        return self._hashes[key]

    def _refused(self, step: int, error: OSError) -> CheckpointError:
        cause = error.strerror or str(error)
        message = f"The checkpoint of step {step} could not be saved in {self._folder}: {cause}."
        if error.errno in _FULL:
            return CheckpointError(message, "Free some disk space; earlier checkpoints are whole.")
        return CheckpointError(message, "Earlier checkpoints are whole; check the disk.")


def _identity(path: Path) -> tuple[int, int, int]:
    """Tells a file that was hashed before from one that was replaced or written to since."""
    state = path.stat()
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _is_half(path: Path) -> bool:
    """Whether the other file of a checkpoint and its sidecar is missing."""
    return not path.with_suffix(".pt" if path.suffix == ".json" else ".json").exists()


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def _config_hash(config: object) -> str:
    if not isinstance(config, Mapping):
        return ""
    canonical = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "backslashreplace")).hexdigest()
