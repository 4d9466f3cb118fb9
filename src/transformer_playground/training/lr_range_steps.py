"""The steps of a learning-rate range test, on a model that is thrown away."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from transformer_playground.errors import TrainingError
from transformer_playground.runs.folder import create_run
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.lr_range import DIVERGED, RangeSettings, RangeTest
from transformer_playground.training.run import TrainingRequest, build_trainer, load_setup
from transformer_playground.training.setup import translate_oom
from transformer_playground.training.trainer import Trainer

# Weight of a step in the average by which divergence is judged, and the first steps, which are not.
_WEIGHT = 0.3
_SETTLING = 5


def run_range_test(
    request: TrainingRequest,
    settings: RangeSettings,
    notify: Callable[[str], object],
    progress: Callable[[int, float, float], object] = lambda *_: None,
) -> RangeTest:
    """Train a new model with a growing learning rate; nothing of it remains on disk.

    The rates of other parameter groups, such as Muon's, grow in proportion, and the schedule has no
    part in it. Batches, initial weights and everything else are those of a run.

    Args:
        progress: Called after each step with its number from 1, its rate and its loss.

    Raises:
        PlaygroundError: As when training starts.
    """
    setup = load_setup(request, request.config, notify)
    optim = request.config.train.optim
    rates, losses = list[float](), list[float]()
    diverged = False
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder), "range", {"experiment": request.experiment, "config": {}})
        trainer = build_trainer(setup, run, (), TrainingControl(), None)
        with contextlib.closing(trainer), translate_oom():
            trainer.begin_session()
            judge = _Divergence()
            for step in range(settings.steps):
                rate = settings.rate(step)
                loss = _step(trainer, rate)
                diverged = loss is None or judge.add(loss)
                if loss is not None:
                    rates.append(rate)
                    losses.append(loss)
                    progress(step + 1, rate, loss)
                if diverged:
                    break
    ratio = optim.muon_learning_rate / optim.learning_rate if optim.optimizer == "muon" else None
    return RangeTest(tuple(rates), tuple(losses), diverged, optim.learning_rate, ratio)


def _step(trainer: Trainer, rate: float) -> float | None:
    """The loss of one step; None if that or its gradient is not finite."""
    trainer.optimizers.set_learning_rate(rate)
    try:
        trainer.train_step()
        trainer.read_steps()
    except TrainingError:
        return None
    return trainer.state.close_window(rate).train_loss


class _Divergence:
    """Judges from the average of the latest losses whether training diverges."""

    def __init__(self) -> None:
        self._sum = self._weights = 0.0
        self._lowest: float | None = None
        self._count = 0

    def add(self, loss: float) -> bool:
        """Add the loss of the next step; true if it diverges."""
        self._count += 1
        self._sum = (1 - _WEIGHT) * self._sum + _WEIGHT * loss
        self._weights = (1 - _WEIGHT) * self._weights + _WEIGHT
        average = self._sum / self._weights
        if self._lowest is None or average < self._lowest:
            self._lowest = average
        return self._count > _SETTLING and average > DIVERGED * self._lowest
