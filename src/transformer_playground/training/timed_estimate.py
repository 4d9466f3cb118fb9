"""Estimate of a run from a few real steps on this machine, scaled to its length."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.evaluation.loss import evaluation_set
from transformer_playground.model.base import count_parameters
from transformer_playground.model.device import peak_memory
from transformer_playground.runs.folder import create_run
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.earlier_runs import Timings
from transformer_playground.training.estimate import Estimate, estimate_from, flop_per_step
from transformer_playground.training.run import TrainingRequest, build_trainer, load_setup
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.setup import TrainingSetup, translate_oom
from transformer_playground.training.trainer import Trainer

# The first steps allocate memory and, with torch.compile, build kernels.
_WARMUP_STEPS = 3
_MIN_STEPS = 5
_MAX_STEPS = 200
_STEP_SECONDS = 4.0
# Enough to time an evaluation or a sample, which are linear in these.
_EVAL_WINDOWS = 40
_NEW_TOKENS = 100


def estimate_run(request: TrainingRequest, notify: Callable[[str], object]) -> Estimate:
    """Estimate a new run from a few of its steps; nothing of it remains on disk.

    Raises:
        PlaygroundError: As when training starts, or a step fails.
    """
    setup = load_setup(request, request.config, notify)
    config = request.config
    flop = flop_per_step(config, setup.dataset.vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder), "estimate", {"experiment": request.experiment, "config": {}})
        trainer = build_trainer(_shortened(setup), run, (), TrainingControl(), None)
        with contextlib.closing(trainer), translate_oom():
            timed = _Timed(trainer, counts_flop=flop is None)
        size = max((each.stat().st_size for each in run.checkpoints.glob("*.pt")), default=0)
    windows = evaluation_set(config, setup.dataset).windows
    measured = evaluation_set(trainer.config, setup.dataset).windows
    new_tokens = config.sample.sample.max_new_tokens
    timings = Timings(
        step=timed.step,
        evaluation=timed.evaluation * windows / max(measured, 1),
        sample=timed.sample * new_tokens / trainer.config.sample.sample.max_new_tokens,
        checkpoint=timed.checkpoint,
        memory=peak_memory(setup.device),
        checkpoint_bytes=size,
        device=str(setup.device),
        dtype=setup.precision.name,
        timed_steps=timed.steps,
    )
    return estimate_from(
        config,
        timings,
        parameters=count_parameters(setup.model),
        flop_per_step=timed.flop_per_step if flop is None else flop,
    )


class _Timed:
    """Seconds of each part of training; the trainer is of no further use."""

    def __init__(self, trainer: Trainer, *, counts_flop: bool) -> None:
        trainer.begin_session()
        self._trainer = trainer
        # In the order of a run, because the peak of memory depends on what was freed before.
        has_samples = bool(trainer.train.runtime.sample_interval)
        trainer.save(last=True, best=False)
        trainer.evaluate(scheduled=False)
        if has_samples:
            trainer.sample()
        self.flop_per_step = _flop_of(self._step) if counts_flop else None
        for _ in range(_WARMUP_STEPS):
            self._step()
        times: list[float] = []
        while len(times) < _MIN_STEPS or (sum(times) < _STEP_SECONDS and len(times) < _MAX_STEPS):
            times.append(_seconds(self._step))
        self.step, self.steps = statistics.median(times), len(times)
        self.evaluation = _seconds(lambda: trainer.evaluate(scheduled=True))
        self.sample = _seconds(trainer.sample) if has_samples else 0.0
        self.checkpoint = _seconds(lambda: trainer.save(last=True, best=False))

    def _step(self) -> None:
        trainer = self._trainer
        trainer.optimizers.set_learning_rate(learning_rate(trainer.state.step, trainer.train))
        trainer.train_step()


def _flop_of(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products."""
    # Imported late: with it comes torch's compiler, which would count as memory of the run.
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    total: int = counter.get_total_flops()
    return total


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _shortened(setup: TrainingSetup) -> TrainingSetup:
    """The setup with smaller evaluations and shorter samples, which are scaled afterwards."""
    config = setup.config
    values = config.model_dump()
    values["train"]["runtime"] |= {
        "eval_windows": min(config.train.eval_windows, _EVAL_WINDOWS),
        "eval_iters": None,
    }
    sample = values["sample"]["sample"]
    sample["max_new_tokens"] = min(sample["max_new_tokens"], _NEW_TOKENS)
    return replace(setup, config=ExperimentConfig.model_validate(values))
