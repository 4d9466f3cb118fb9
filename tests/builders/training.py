"""Tiny real runs: a 2,000-character corpus, a model of a few thousand weights, some steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from builders.metrics import read_rows
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.prepare import prepare_dataset
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Event
from transformer_playground.training.run import TrainingRequest, TrainingResult, start
from transformer_playground.training.sinks.base import Sink

TEXT = "".join(
    f"{number} bottles hang on the wall, {number} bottles; one of them falls.\n"
    for number in range(40, 0, -1)
)

BASE: dict[str, Any] = {
    "model": {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16},
    "train": {
        "data": {"batch_size": 4},
        "schedule": {"warmup_iters": 2, "min_lr": 1e-4},
        "runtime": {
            "max_iters": 20,
            "eval_interval": 5,
            "eval_iters": 2,
            "log_interval": 3,
            "dtype": "float32",
            "device": "cpu",
            "tensorboard": False,
        },
    },
    "sample": {"sample": {"start": "1", "max_new_tokens": 8}},
}


def merged(base: dict[str, Any], *changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with nested `changes` laid over it, the later ones winning."""
    result = dict(base)
    for change in changes:
        for key, value in change.items():
            inner = result.get(key)
            nested = isinstance(inner, dict) and isinstance(value, dict)
            result[key] = merged(dict(inner or {}), value) if nested else value
    return result


def runtime(**settings: Any) -> dict[str, Any]:
    """A change of `[train.runtime]`."""
    return {"train": {"runtime": settings}}


def prepared_config(folder: Path, *changes: dict[str, Any]) -> ExperimentConfig:
    """A valid configuration whose dataset is prepared below `folder`."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "input.txt").write_text(TEXT, encoding="utf-8")
    paths = {"prepare": {"raw_dir": str(raw), "dataset_dir": str(folder / "datasets")}}
    config = ExperimentConfig.model_validate(merged(BASE, paths, *changes))
    prepare_dataset(config.prepare, report=lambda _: None)
    return config


@dataclass
class Recorder:
    """Keeps every event; calls `react` on each, if given."""

    essential: bool = False
    events: list[Event] = field(default_factory=list)
    react: Any = None

    def handle(self, event: Event) -> None:
        self.events.append(event)
        if self.react is not None:
            self.react(event)

    def sync(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]


def train(
    folder: Path,
    *changes: dict[str, Any],
    run_id: str = "run",
    sinks: Sequence[Sink] = (),
    control: TrainingControl | None = None,
) -> TrainingResult:
    """Train a new tiny run below `folder`."""
    request = request_for(folder, *changes)
    return start(request, folder / "runs", run_id=run_id, sinks=sinks, control=control)


def resume(
    folder: Path,
    *changes: dict[str, Any],
    run_id: str = "run",
    sinks: Sequence[Sink] = (),
    control: TrainingControl | None = None,
    notices: list[str] | None = None,
) -> TrainingResult:
    """Continue a tiny run below `folder`."""
    notify = (notices if notices is not None else []).append
    return start(
        request_for(folder, *changes),
        folder / "runs",
        resume_from=run_id,
        sinks=sinks,
        control=control,
        notify=notify,
    )


def request_for(folder: Path, *changes: dict[str, Any]) -> TrainingRequest:
    """The request of a tiny experiment with its dataset prepared."""
    return TrainingRequest("tiny", prepared_config(folder, *changes), {}, folder, "tp prepare tiny")


def rows_of(run: RunFolder, event: str) -> list[dict[str, Any]]:
    """The rows of one kind without what a clock or the machine decides."""
    clocks = {"time", "monotonic", "tokens_per_sec", "step_time_ms", "data_share", "seconds"}
    clocks |= {"forward_ms", "backward_ms", "optimizer_ms", "memory"}
    machine = {"cpu_percent", "others_cpu_percent", "host_memory", "disk_free"}
    return [
        {key: value for key, value in row.items() if key not in clocks | machine}
        for row in read_rows(run.metrics_path)
        if row["event"] == event
    ]


def equal(left: Any, right: Any) -> bool:
    """Whether two payloads are the same, bit for bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def final_payload(run: RunFolder) -> dict[str, Any]:
    """The newest checkpoint without what a clock decides."""
    payload = load_payload(newest_valid(run.checkpoints).path)
    for clock in ("wall_time", "active_seconds", "window_seconds", "window_data_seconds"):
        payload["progress"].pop(clock)
    payload.pop("config")
    return payload
