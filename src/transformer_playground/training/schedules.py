"""Learning-rate schedules as pure functions of the step.

Each schedule maps the progress of the decay, 0 to 1, to a factor between the peak (1) and `min_lr`
(0).
"""

import math
from collections.abc import Callable

from transformer_playground.config.train import Schedule, ScheduleConfig, TrainConfig


def _constant(_progress: float, _schedule: ScheduleConfig) -> float:
    return 1.0


def _cosine(progress: float, _schedule: ScheduleConfig) -> float:
    """Half a cosine (Loshchilov & Hutter 2017, SGDR without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def _linear(progress: float, _schedule: ScheduleConfig) -> float:
    return 1.0 - progress


def _wsd(progress: float, schedule: ScheduleConfig) -> float:
    """Warmup, stable, decay (Hu et al. 2024, MiniCPM), with a linear decay."""
    return min(1.0, (1.0 - progress) / schedule.wsd_decay_fraction)


SCHEDULES: dict[Schedule, Callable[[float, ScheduleConfig], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "wsd": _wsd,
}


def learning_rate(step: int, config: TrainConfig, time_share: float = 0.0) -> float:
    """Learning rate for the optimizer step that follows `step` finished steps.

    Linear warmup that does not start at zero, then the schedule down to `min_lr` at
    `lr_decay_iters`, then constant `min_lr`. `constant` stays at the peak. In a run with a time
    limit the schedule is as far as its time, `time_share` of it from 0 to 1, or as its steps,
    whichever is further.
    """
    schedule, peak = config.schedule, config.optim.learning_rate
    warmup = config.warmup_iters
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    span = config.decay_iters - warmup
    progress = min(1.0, (step - warmup) / span) if span > 0 else 1.0
    if schedule.schedule == "constant":
        return peak
    progress = min(1.0, max(progress, time_share))
    factor = SCHEDULES[schedule.schedule](progress, schedule)
    return config.min_lr + factor * (peak - config.min_lr)
