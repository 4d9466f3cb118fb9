"""Losses of single windows of the validation split, kept in the folder of a run."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.errors import PlaygroundError
from transformer_playground.files import open_regular, replace_file
from transformer_playground.runs.folder import RunFolder, evaluations_folder

_DIGITS = 16
_MAX_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class WindowLosses:
    """Loss of one checkpoint on each window of the whole validation split, in order.

    Attributes:
        sums: In nats, summed over the targets of the window, shape (windows,).
        targets: Number of targets of each window, shape (windows,).
        dataset: Fingerprint of the dataset.
        checkpoint: SHA-256 of the checkpoint file.
    """

    sums: NDArray[np.float64]
    targets: NDArray[np.int64]
    dataset: str
    checkpoint: str

    def fits(self, other: "WindowLosses") -> bool:
        """Whether both were measured on the same windows."""
        return self.dataset == other.dataset and np.array_equal(self.targets, other.targets)


def best_checkpoint(run: RunFolder) -> tuple[Path, str] | None:
    """File and SHA-256 of the checkpoint that a run is judged by, as its sidecar states them."""
    try:
        scan = scan_folder(run.checkpoints)
    except PlaygroundError:
        return None
    for kind in ("best", "last"):
        for path in scan.preferred(kind):
            info = scan.sidecars.get(path)
            if info is not None:
                return path, info.sha256
    return None


def read_window_losses(run: RunFolder) -> WindowLosses | None:
    """The kept losses of the run's best checkpoint; None if there are none or they are damaged."""
    found = best_checkpoint(run)
    if found is None:
        return None
    _, digest = found
    try:
        with open_regular(_path(run, digest)) as file:
            with zipfile.ZipFile(file) as parts:
                if sum(part.file_size for part in parts.infolist()) > _MAX_BYTES:
                    return None
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return _checked(arrays, digest)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, MemoryError):
        return None


def write_window_losses(run: RunFolder, losses: WindowLosses) -> Path:
    """Keep the losses of a checkpoint; those of other checkpoints are removed.

    Raises:
        RunError: The folder is a link.
        OSError: While writing; no partial file is left.
    """
    folder = evaluations_folder(run)
    folder.mkdir(exist_ok=True)
    path = _path(run, losses.checkpoint)
    replace_file(
        path,
        lambda file: np.savez(
            file, sums=losses.sums, targets=losses.targets, dataset=np.array(losses.dataset)
        ),
    )
    for other in folder.glob("windows-*.npz"):
        if other != path:
            other.unlink(missing_ok=True)
    return path


def _path(run: RunFolder, digest: str) -> Path:
    return run.evaluations / f"windows-{digest[:_DIGITS]}.npz"


def _checked(arrays: Any, digest: str) -> WindowLosses | None:
    sums, targets, dataset = arrays["sums"], arrays["targets"], arrays["dataset"]
    is_valid = (
        sums.dtype == np.float64
        and targets.dtype == np.int64
        and sums.ndim == 1
        and sums.shape == targets.shape
        and dataset.dtype.kind == "U"
        and bool((targets >= 0).all())
    )
    return WindowLosses(sums, targets, str(dataset), digest) if is_valid else None
