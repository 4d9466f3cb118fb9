"""Earlier runs as a measure of new ones: how long their parts took on this machine."""

import contextlib
import importlib.metadata
import itertools
import math
import socket
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer_playground.config.run_config import saved_settings
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import PlaygroundError
from transformer_playground.jsonvalues import as_count, as_object, as_text
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, open_run, read_run_config
from transformer_playground.runs.index import flatten
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.metrics import MetricsReader, read_samples

# Fewer logged rows are mostly the first steps, which are slower.
_MIN_ROWS = 3
# Enough for medians, and quick to read of a run of any length.
_MOST_ROWS = 20_000
_MOST_CANDIDATES = 50

# Settings that do not change how long a step, an evaluation, a sample or a checkpoint takes.
# Everything else does, or might.
_WITHOUT_EFFECT = (
    *("experiment.", "prepare.", "train.schedule.", "train.checkpointing.", "sample.runtime."),
    *(f"model.{name}" for name in ("init_std", "zero_init_output", "norm_eps", "rope_theta")),
    *(f"train.optim.{name}" for name in ("learning_rate", "weight_decay", "beta1", "beta2")),
    *(f"train.optim.{name}" for name in ("eps", "muon_learning_rate", "muon_momentum")),
    *(f"train.runtime.{name}" for name in ("max_iters", "eval_interval", "log_interval", "seed")),
    "train.runtime.max_minutes",
    *(f"train.runtime.{name}" for name in ("sample_interval", "early_stop_", "tensorboard")),
    *("train.runtime.auto_", "train.data.sampler"),
    *(f"sample.sample.{name}" for name in ("temperature", "start", "top_k", "top_p")),
)


@dataclass(frozen=True)
class Timings:
    """Seconds of each part of training, and what a process needs for it.

    Attributes:
        memory: Highest memory in bytes; None if it was not recorded.
        checkpoint_bytes: Size of one checkpoint.
        run: Id of the run that was measured; None for steps that were run to be timed.
    """

    step: float
    evaluation: float
    sample: float
    checkpoint: float
    memory: int | None
    checkpoint_bytes: int
    device: str
    dtype: str
    timed_steps: int = 0
    run: str | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Nearest:
    """Speed of the run whose steps are nearest in size."""

    run: str
    flop_per_second: float
    device: str
    dtype: str


class EarlierRuns:
    """Runs of this machine, compared with the settings of a run that has not started."""

    def __init__(self, config: ExperimentConfig, vocab_size: int, runs_dir: Path) -> None:
        self._config, self._vocab_size, self._runs_dir = config, vocab_size, runs_dir
        self._rows = [row for row in _list(runs_dir) if row.summary.tokens_per_sec_median]

    def same_shape(self) -> Timings | None:
        """Timings of the newest run that did the same work in every part; None without one."""
        wanted = _shape(self._config.model_dump(mode="json"))
        # A run of a version without a setting did what is now its default.
        defaults = flatten(ExperimentConfig().model_dump(mode="json"))
        matching = [row for row in self._rows if _is_equal(wanted, {**defaults, **row.settings})]
        for row, run, record in self._usable(matching):
            if _vocab_size(record) == self._vocab_size and (found := _timings(run, record, row)):
                return found
        return None

    def nearest(
        self, flop: int, flop_per_step: Callable[[ExperimentConfig, int], int]
    ) -> Nearest | None:
        """The run on this device whose operations per step are nearest to `flop`, as a ratio."""
        best: tuple[float, Nearest] | None = None
        same_device = [
            row
            for row in self._rows
            if row.settings.get("train.runtime.device") == self._config.train.runtime.device
        ]
        for row, run, record in self._usable(same_device[:_MOST_CANDIDATES]):
            try:
                config = ExperimentConfig.model_validate(saved_settings(record))
            # The settings of another version.
            except ValueError:
                continue
            theirs = flop_per_step(config, _vocab_size(record) or 0)
            rate = row.summary.tokens_per_sec_median
            if not theirs or not rate:
                continue
            data = config.train.data
            tokens = data.batch_size * data.grad_accum_steps * config.train_block_size
            found = Nearest(run.run_id, theirs * rate / tokens, *_device(record))
            distance = abs(math.log(theirs / flop))
            if best is None or distance < best[0]:
                best = distance, found
        return None if best is None else best[1]

    def _usable(
        self, rows: list[RunInfo]
    ) -> Iterator[tuple[RunInfo, RunFolder, Mapping[str, Any]]]:
        """Runs of this machine and this torch, with their records."""
        machine = socket.gethostname(), _version("torch")
        for row in rows:
            with contextlib.suppress(PlaygroundError):
                run = open_run(self._runs_dir, row.run_id)
                record = read_run_config(run)
                environment = as_object(record.get("environment"))
                packages = as_object(environment.get("packages"))
                if (environment.get("host"), packages.get("torch")) == machine:
                    yield row, run, record


def _list(runs_dir: Path) -> list[RunInfo]:
    try:
        return list_runs(runs_dir)
    except PlaygroundError:
        return []


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _vocab_size(record: Mapping[str, Any]) -> int | None:
    return as_count(as_object(record.get("dataset")).get("vocab_size"))


def _device(record: Mapping[str, Any]) -> tuple[str, str]:
    environment = as_object(record.get("environment"))
    return as_text(environment.get("device")) or "", as_text(environment.get("dtype")) or ""


def _shape(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide how long the parts of training take."""
    return {
        key: value for key, value in flatten(values).items() if not key.startswith(_WITHOUT_EFFECT)
    }


def _is_equal(wanted: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    return all(key in settings and settings[key] == value for key, value in wanted.items())


def _timings(run: RunFolder, record: Mapping[str, Any], row: RunInfo) -> Timings | None:
    rate = row.summary.tokens_per_sec_median
    rows = _first_rows(run)
    per_step = next((found for each in rows if (found := as_count(each.get("tokens_per_step")))), 0)
    if not rate or not per_step or sum(each["event"] == "train" for each in rows) < _MIN_ROWS:
        return None
    memory = [found for each in rows if (found := as_count(each.get("peak_memory")))]
    sizes = [path.stat().st_size for path in run.checkpoints.glob("ckpt_*.pt")]
    parts = _seconds_of_parts([*rows, *_samples(run)])
    device, dtype = _device(record)
    return Timings(
        step=per_step / rate,
        evaluation=parts("eval"),
        sample=parts("sample"),
        checkpoint=parts("checkpoint"),
        memory=memory[-1] if memory else None,
        checkpoint_bytes=max(sizes, default=0),
        device=device,
        dtype=dtype,
        run=run.run_id,
        parameters=row.parameters,
    )


def _first_rows(run: RunFolder) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for poll in MetricsReader(run.metrics_path).blocks():
        rows += poll.rows
        if len(rows) > _MOST_ROWS:
            break
    return rows


def _samples(run: RunFolder) -> Iterator[dict[str, Any]]:
    for row in read_samples(run):
        yield {**row, "event": "sample"}


def _seconds_of_parts(rows: list[dict[str, Any]]) -> Callable[[str], float]:
    """The median seconds of an event: from the row before it, which is of the same step."""
    timed = [row for row in rows if isinstance(row.get("time"), int | float)]
    timed.sort(key=lambda row: row["time"])
    found: dict[str, list[float]] = {}
    for before, row in itertools.pairwise(timed):
        same_step = before.get("step") == row.get("step")
        # All samples of a step are written together, after the last of them.
        if same_step and not before["event"] == row["event"] == "sample":
            found.setdefault(row["event"], []).append(row["time"] - before["time"])
    return lambda event: statistics.median(found.get(event, [0.0]))
