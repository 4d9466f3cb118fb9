"""Checkpoint store: crash-safe saving; a crash or full disk never loses an earlier checkpoint.

Order of one save, where each of the first three steps is durable before the next starts:

1. The payload is written to a hidden temporary file in the same folder, then renamed.
2. The sidecar is written: now the checkpoint exists.
3. `last.pt` and `best_val.pt` are replaced by link and rename, then their sidecars.
4. Checkpoints beyond the retention policy are removed, sidecar first.

If step 3 or 4 fails, the next save repeats it. Until then a pointer may be one save behind, so
discovery relies on the sidecars and not on the names of pointers. A saved file is never rewritten:
a second save at the same step gets another name.
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

from transformer_playground.checkpoints.discovery import (
    CheckpointListing,
    FileHashes,
    list_checkpoints,
)
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
from transformer_playground.errors import FULL_DISK, CheckpointError
from transformer_playground.files import (
    fsync_folder,
    link_or_copy,
    temporary_sibling,
    write_durably,
)
from transformer_playground.formatting import size_text
from transformer_playground.jsonvalues import as_int


@dataclass(frozen=True)
class WrittenFile:
    """Size in bytes and SHA-256 of a written file."""

    size: int
    sha256: str


class _HashingWriter(io.BufferedIOBase):
    """Writes to a file and hashes the bytes.

    The first error is kept until `finish` and later bytes are dropped, because torch's native
    archive writer would replace a Python exception by an unrelated one.
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

    def finish(self) -> WrittenFile:
        if self.error is not None:
            raise self.error
        return WrittenFile(self.size, self._digest.hexdigest())


def write_payload(path: Path, payload: Mapping[str, Any]) -> WrittenFile:
    """Serialise `payload` to `path` and sync it to disk.

    Raises:
        OSError: OSError while writing; `path` is incomplete.
    """
    # Imported late: checkpoint discovery must not load torch.
    import torch

    def serialise(file: IO[bytes]) -> WrittenFile:
        writer = _HashingWriter(file)
        torch.save(dict(payload), cast("IO[bytes]", writer))
        return writer.finish()

    return write_durably(path, serialise)


def estimated_size(value: object) -> int:
    """Bytes of all tensors and arrays nested in `value`; shared memory counts twice."""
    if isinstance(value, Mapping):
        return sum(estimated_size(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(estimated_size(item) for item in value)
    return int(getattr(value, "nbytes", 0))


_SPACE_MARGIN = 1 << 20


class CheckpointStore:
    """Saves checkpoints to one folder; the caller holds the run's lock.

    Args:
        folder: The checkpoints folder of an existing run folder; created if missing.
        keep_last: Number of newest checkpoints to keep besides `last.pt`.
        keep_best: Number of checkpoints with the lowest metric to keep besides `best_val.pt`.
    """

    def __init__(self, folder: Path, *, keep_last: int, keep_best: int) -> None:
        self._folder = folder
        self._keep: dict[Kind, int] = {"last": keep_last, "best": keep_best}
        self._hashes = FileHashes()

    def save(
        self,
        payload: Mapping[str, Any],
        *,
        step: int,
        last: bool,
        best_metric: float | None,
        protect: Path | None = None,
    ) -> list[CheckpointInfo]:
        """Save a payload as last checkpoint, as best checkpoint, or as both.

        Args:
            payload: Values that `torch.load(weights_only=True)` can read.
            step: Number of finished optimizer steps.
            last: Save it as last checkpoint.
            best_metric: Validation loss; if given, save it as best checkpoint. `best_val.pt` is the
                one with the lowest metric.
            protect: A file that retention must not remove, such as the one resumed from.

        Returns:
            The saved checkpoints: last, then best.

        Raises:
            CheckpointError: OSError while writing; nothing was saved, and earlier checkpoints are
                intact.
        """
        kinds: list[tuple[Kind, float | None]] = [("last", None)] if last else []
        if best_metric is not None:
            if not math.isfinite(best_metric):
                raise CheckpointError(f"A checkpoint cannot be ranked by a loss of {best_metric}.")
            kinds.append(("best", best_metric))
        if not kinds:
            return []
        try:
            self._folder.mkdir(exist_ok=True)
            self._remove_leftovers(protect)
            before = self._listing()
            self._check_space(payload, before)
            saved = self._commit(payload, step, kinds, before)
        except OSError as error:
            raise self._save_error(step, error) from error
        # The checkpoint is saved, so errors are ignored from here. If replacing a pointer fails,
        # nothing is pruned: the new file may be the only one of its state.
        with contextlib.suppress(OSError, CheckpointError):
            for info in saved:
                self._switch_pointer(info.kind)
            for info in saved:
                self._prune(info.kind, protect)
        return saved

    def _remove_leftovers(self, protect: Path | None) -> None:
        for path in sorted(self._folder.iterdir()):
            is_temporary = path.name.startswith(".") and path.suffix == ".tmp"
            # The sidecar of a checkpoint, or the checkpoint of a sidecar.
            other = path.with_suffix(".pt" if path.suffix == ".json" else ".json")
            is_orphan = is_rotated(path) and not other.exists() and not _same(path, protect)
            if is_temporary or is_orphan:
                path.unlink(missing_ok=True)

    def _check_space(self, payload: Mapping[str, Any], before: CheckpointListing) -> None:
        expected = before.valid[0].size if before.valid else estimated_size(payload)
        needed = expected + _SPACE_MARGIN
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"disk full: about {size_text(needed)} needed, {size_text(free)} free",
            )

    def _commit(
        self,
        payload: Mapping[str, Any],
        step: int,
        kinds: Sequence[tuple[Kind, float | None]],
        before: CheckpointListing,
    ) -> list[CheckpointInfo]:
        paths = [self._free_name(kind, step, metric) for kind, metric in kinds]
        placed: list[Path] = []
        try:
            with temporary_sibling(paths[0]) as temporary:
                written = write_payload(temporary, payload)
                temporary.chmod(0o644)
                placed.append(paths[0])
                temporary.replace(paths[0])
            self._hashes.add(paths[0], written.sha256)
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
                for path, (kind, metric) in zip(paths, kinds, strict=True)
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
        if is_pointer(target.path) or self._is_up_to_date(pointer, ranked, target):
            return
        for source, name in (
            (target.path, pointer),
            (sidecar_path(target.path), sidecar_path(pointer)),
        ):
            link_or_copy(source, name)
            # Not every file system keeps the order of two renames, and the sidecar must not be
            # replaced first: the file would match no sidecar.
            fsync_folder(self._folder)

    @staticmethod
    def _is_up_to_date(
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
        """Valid checkpoints of one kind, the pointer included; the best or newest first."""
        valid = [info for info in self._listing().valid if info.kind == kind]
        if kind == "last":
            return valid
        return sorted(valid, key=lambda info: (info.metric or 0.0, -info.sequence))

    def _listing(self) -> CheckpointListing:
        return list_checkpoints(self._folder, self._hashes)

    def _save_error(self, step: int, error: OSError) -> CheckpointError:
        cause = error.strerror or str(error)
        message = f"The checkpoint of step {step} could not be saved in {self._folder}: {cause}."
        action = "Free some disk space" if error.errno in FULL_DISK else "Check the disk"
        return CheckpointError(message, f"{action}; earlier checkpoints are intact.")


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def _config_hash(config: object) -> str:
    if not isinstance(config, Mapping):
        return ""
    canonical = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "backslashreplace")).hexdigest()
