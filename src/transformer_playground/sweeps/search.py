"""Adaptive choice of combinations with Optuna's samplers, from a start that is spread evenly.

Optuna's journal in the sweep's folder holds what was chosen and how it turned out, so that several
processes search together, and a killed one loses nothing.
"""

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.config.toml import toml_value
from transformer_playground.errors import ConfigError, PlaygroundError, translate_os_errors
from transformer_playground.sweeps.axes import Axis, Choices, Values

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.jsonl"
_STUDY = "sweep"
_REFUSED = "refused"
_MOST_REFUSALS = 100
_STARTUP_PER_AXIS = 2
_DESIGNS = 64


class Search:
    """The combinations that the tree-structured Parzen estimator (Bergstra et al., 2011) chose.

    The first ones, of which it knows nothing, are those of `start_points`.

    Args:
        root: Folder of the sweep.
        axes: What varies.
        draw_seed: Makes choices repeatable: each depends on it and on the results known then.
    """

    def __init__(self, root: Path, axes: Sequence[Axis], draw_seed: int) -> None:
        self._path, self._axes, self._draw_seed = root / JOURNAL, axes, draw_seed

    def combinations(self) -> dict[int, Values]:
        """All combinations chosen so far, by number.

        Raises:
            ConfigError: The journal is damaged, or of other axes.
        """
        if not self._path.exists():
            return {}
        with self._readable():
            return {
                trial.number: self._values(trial.params)
                for trial in self._study.trials
                if _REFUSED not in trial.user_attrs and trial.params
            }

    def choose(self, refuse: Callable[[Values], bool]) -> bool:
        """Choose one more combination.

        Those that `refuse` returns true for, and those chosen before, are passed over.

        Returns:
            False if so many in a row were passed over that none may be left.

        Raises:
            ConfigError: The journal is damaged, or of other axes.
        """
        with self._readable():
            known = {repr(values): number for number, values in self.combinations().items()}
            for _ in range(_MOST_REFUSALS):
                trials = self._study.trials
                # A sampler of its own for each choice: what it chooses does not depend on who asks.
                self._study.sampler = self._sampler(len(trials))
                if len(trials) < len(self._starts):
                    first = zip(self._axes, self._starts[len(trials)], strict=True)
                    params = {key: _param(axis, value) for axis, (key, value) in first}
                    self._study.enqueue_trial(params)
                trial = self._study.ask({axis.key: _distribution(axis) for axis in self._axes})
                values = self._values(trial.params)
                number = known.get(repr(values))
                if number is None and not refuse(values):
                    return True
                trial.set_user_attr(_REFUSED, True)
                # The loss of a combination that is chosen again is what it was.
                self.tell(trial.number, None if number is None else trials[number].value)
        return False

    def tell(self, number: int, loss: float | None) -> None:
        """Record the loss of a combination, or None if it failed; a second time has no effect."""
        from optuna.trial import TrialState

        state = TrialState.FAIL if loss is None else TrialState.COMPLETE
        with self._readable():
            self._study.tell(number, loss, state, skip_if_finished=True)

    def _values(self, params: dict[str, Any]) -> Values:
        return tuple((axis.key, _value(axis, params)) for axis in self._axes)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn any error of a journal that is damaged, or of other axes, into one sentence."""
        try:
            with translate_os_errors(ConfigError, f"{self._path} is unusable"):
                yield
        except PlaygroundError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{self._path} does not fit this sweep: {type(error).__name__}: {error}",
                "Remove it to let the search begin again; runs that exist are not trained again.",
            ) from error

    def _sampler(self, known: int) -> "optuna.samplers.BaseSampler":
        from optuna.samplers import TPESampler

        seed = self._draw_seed * 1_000_003 + known
        return TPESampler(n_startup_trials=len(self._starts), seed=seed)

    @cached_property
    def _starts(self) -> list[Values]:
        return start_points(self._axes, 2 + _STARTUP_PER_AXIS * len(self._axes), self._draw_seed)

    @cached_property
    def _study(self) -> "optuna.Study":
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = JournalStorage(JournalFileBackend(str(self._path)))
        return optuna.create_study(storage=storage, study_name=_STUDY, load_if_exists=True)


def start_points(axes: Sequence[Axis], count: int, draw_seed: int) -> list[Values]:
    """Combinations to begin a search with, spread evenly over all values.

    A Latin hypercube (McKay et al., 1979): each axis is cut into `count` parts, on the scale of its
    draws, and each part is used once, at its middle. Of many random ones it is that whose nearest
    points are farthest apart (Morris and Mitchell, 1995). Independent draws instead would leave
    large parts of an axis out, and a model of few results then searches elsewhere.
    """
    generator = random.Random(f"start-{draw_seed}")
    designs = [[generator.sample(range(count), count) for _ in axes] for _ in range(_DESIGNS)]
    design = max(designs, key=_nearest)
    return [
        tuple(
            (axis.key, axis.at((parts[place] + 0.5) / count))
            for axis, parts in zip(axes, design, strict=True)
        )
        for place in range(count)
    ]


def _nearest(design: Sequence[Sequence[int]]) -> int:
    """Squared distance between the nearest two points of a design."""
    points: list[tuple[int, ...]] = list(zip(*design, strict=True))
    return min(
        sum((one - two) ** 2 for one, two in zip(*pair, strict=True))
        for pair in itertools.combinations(points, 2)
    )


def importances(results: Sequence[tuple[Values, float]], axes: Sequence[Axis]) -> dict[str, float]:
    """Share of each setting in what distinguishes good combinations; {} for too few results.

    By PED-ANOVA (Watanabe et al., 2023) with the best quarter as the good ones.

    Args:
        results: Combinations with their mean loss.
        axes: What varies.
    """
    if len(axes) < 2 or len(results) < 8:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    by_key = {axis.key: _distribution(axis) for axis in axes}
    for values, loss in results:
        params = {key: _param(axis, value) for axis, (key, value) in zip(axes, values, strict=True)}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=by_key, value=loss))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distribution(axis: Axis) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(axis, Choices):
        # As text: lists are no categories.
        return CategoricalDistribution([toml_value(value) for value in axis.values])
    if axis.count is not None:
        return IntDistribution(0, len(axis.values) - 1)
    if axis.is_whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.is_log)
    return FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _value(axis: Axis, params: dict[str, Any]) -> Any:
    param = params[axis.key]
    if isinstance(axis, Choices):
        texts = [toml_value(value) for value in axis.values]
        return axis.values[texts.index(param)]
    return param if axis.count is None else axis.values[param]


def _param(axis: Axis, value: Any) -> Any:
    if isinstance(axis, Choices):
        return toml_value(value)
    return value if axis.count is None else axis.values.index(value)
