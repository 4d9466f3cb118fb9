"""Environment of a run, recorded for reproducibility."""

import importlib.metadata
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

import torch

from transformer_playground.config.train import RuntimeConfig
from transformer_playground.training.distributed import DistInfo

_PACKAGES = (
    "transformer-playground",
    "torch",
    "transformers",
    "peft",
    "numpy",
    "pydantic",
    "tiktoken",
    "sentencepiece",
)


def describe_environment(
    device: torch.device, dtype: str, runtime: RuntimeConfig, folder: Path
) -> dict[str, Any]:
    """Package versions, machine, device, seed and git state of the experiment's folder."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else str(torch.cpu.get_capabilities().get("cpu_name", platform.machine())),
        "threads": runtime.threads or torch.get_num_threads(),
        "processes": DistInfo.current().world_size,
        "dtype": dtype,
        "seed": runtime.seed,
        "git": _git_state(folder),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state(folder: Path) -> dict[str, Any] | None:
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
