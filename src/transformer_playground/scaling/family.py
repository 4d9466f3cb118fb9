"""A family of models: sizes and budgets of training tokens as the runs of a sweep."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.toml import shortened
from transformer_playground.data.dataset import check_artifacts
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.scaffold import find_or_install
from transformer_playground.formatting import count_text, parse_number
from transformer_playground.scaling.shapes import Shape, parse_sizes, shape_for
from transformer_playground.sweeps.axes import Values, override
from transformer_playground.sweeps.base import settings_digest
from transformer_playground.sweeps.listed import axes_of
from transformer_playground.sweeps.spec import Sweep, check_sweep_id
from transformer_playground.training.estimate import tokens_per_step

LearningRateRule = Literal["width", "sqrt-width", "fixed"]
"""How the learning rate follows the width: times (own width / width), its root, or not at all.

"width" is what the maximal update parametrization (Yang et al. 2022, "Tensor Programs V") says
for hidden matrices under Adam. Muon's updates have a size of their own, whatever the width.
"""

_CONFIG_OF_LORA = (
    "Sizes are those of a model trained from scratch; this experiment finetunes a base model."
)
_LEAST_STEPS = 2


@dataclass(frozen=True)
class NewFamily:
    """A family as it is asked for.

    Attributes:
        sizes: Sizes with commas between them, see `parse_sizes`.
        budgets: Training tokens with commas between them; empty for the experiment's own length.
        predict: Size to predict; empty for the next one, further by the last ratio.
        seeds: Number of seeds, from the experiment's own one upwards.
        rule: How the learning rate follows the width; None = "width", with Muon "fixed".
        settings: Overrides of all runs.
        name: Name of the sweep; None for one that follows from what is asked for.
        config: Configuration file instead of the experiment's.
    """

    experiment: str
    sizes: str
    budgets: str = ""
    predict: str = ""
    seeds: int = 1
    rule: LearningRateRule | None = None
    settings: Sequence[str] = ()
    name: str | None = None
    config: Path | None = None

    def load(
        self, experiments_dir: Path, notify: Callable[[str], object]
    ) -> tuple[str, ExperimentConfig]:
        """Name and checked configuration of the experiment with `settings`.

        Raises:
            UsageError: It finetunes a base model.
            ConfigError: It is not valid.
        """
        if self.experiment:
            find_or_install(experiments_dir, self.experiment, notify)
        experiment, loaded = load_experiment(
            experiments_dir, self.experiment or None, self.config, self.settings, os.environ
        )
        if loaded.config.experiment.kind != "gpt":
            raise UsageError(_CONFIG_OF_LORA, "Choose an experiment with a [model].")
        return experiment.name, loaded.config

    def create(self, name: str, config: ExperimentConfig) -> "Family":
        """The family; nothing is written. The dataset must be prepared.

        Raises:
            UsageError: A size or a budget is none, or the rule does not fit the optimizer.
            DataError: The dataset is missing or damaged.
        """
        rule = _checked_rule(self.rule, config)
        vocab_size = int(check_artifacts(config.prepare.dataset_dir)["vocab_size"])
        shapes = parse_sizes(self.sizes, config.model, vocab_size)
        steps = _steps(self.budgets, config)
        if self.predict:
            (held_out,) = parse_sizes(self.predict, config.model, vocab_size)
        else:
            held_out = _next(shapes, config, vocab_size)
        if any(_same(held_out, shape) for shape in shapes):
            raise UsageError(
                f"The size to predict, {count_text(held_out.parameters)} parameters, is one of the "
                "sizes that are fitted.",
                "Choose another --predict.",
            )
        first = config.train.runtime.seed
        seeds = tuple(range(first, first + self.seeds))
        base = Sweep("", self.experiment, (), seeds, method="list", config=self.config)
        begins = settings_digest(config.model_dump(mode="json"))
        stated = (self.experiment, str(self.config), shapes, steps, seeds, rule, begins)
        digest = hashlib.sha256(repr((*stated, *self.settings)).encode()).hexdigest()[:6]
        sweep_id = check_sweep_id(self.name or f"scale-{name[:50]}-{digest}")
        settings = (*self.settings, *_without_stopping(config))
        members = [Member(shape, count, config, rule) for count in steps for shape in shapes]
        outside = Member(held_out, steps[-1], config, rule)
        return Family(
            tuple(members),
            outside,
            _sweep(base, sweep_id, members, settings),
            _sweep(base, f"{sweep_id}-{count_text(held_out.parameters)}", [outside], settings),
            rule,
        )


@dataclass(frozen=True)
class Member:
    """One size trained for one budget.

    Attributes:
        steps: Optimizer steps.
        config: Of the experiment, whose own width the learning rate is for.
    """

    shape: Shape
    steps: int
    config: ExperimentConfig
    rule: LearningRateRule

    @property
    def tokens(self) -> int:
        """Training tokens of all steps."""
        return self.steps * tokens_per_step(self.config)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate of AdamW."""
        return _rounded(self.config.train.optim.learning_rate * self._factor)

    @property
    def values(self) -> Values:
        """The settings of its runs that are not those of the experiment."""
        train, shape = self.config.train, self.shape
        schedule, share = train.schedule, self.steps / max(1, train.runtime.max_iters)
        found: dict[str, Any] = {
            "model.n_embd": shape.n_embd,
            "model.n_layer": shape.n_layer,
            "model.n_head": shape.n_head,
            "train.runtime.max_iters": self.steps,
            "train.optim.learning_rate": self.learning_rate,
        }
        if shape.n_kv_head is not None:
            found["model.n_kv_head"] = shape.n_kv_head
        if schedule.min_lr is not None:
            found["train.schedule.min_lr"] = _rounded(schedule.min_lr * self._factor)
        # A stated schedule is stretched to the length of the run.
        if schedule.lr_decay_iters is not None:
            found["train.schedule.lr_decay_iters"] = max(1, round(schedule.lr_decay_iters * share))
        if schedule.warmup_iters is not None:
            found["train.schedule.warmup_iters"] = round(schedule.warmup_iters * share)
        return tuple(found.items())

    @property
    def _factor(self) -> float:
        ratio = self.config.model.n_embd / self.shape.n_embd
        powers: dict[LearningRateRule, float] = {"width": 1.0, "sqrt-width": 0.5, "fixed": 0.0}
        return float(ratio ** powers[self.rule])


@dataclass(frozen=True)
class Family:
    """Members to fit a law to, one to predict after the largest budget, and their sweeps."""

    members: tuple[Member, ...]
    held_out: Member
    sweep: Sweep
    held_out_sweep: Sweep
    rule: LearningRateRule


def _sweep(base: Sweep, sweep_id: str, members: Sequence[Member], settings: Sequence[str]) -> Sweep:
    """A sweep of these members; settings that are the same for all are no combination's.

    Those of the shape are valid only together, so they stay in each combination.
    """
    values = [member.values for member in members]
    fixed = {
        axis.key: axis.values[0]
        for axis in axes_of(values)
        if len(axis.values) == 1 and not axis.key.startswith("model.")
    }
    listed = tuple(tuple(pair for pair in each if pair[0] not in fixed) for each in values)
    stated = (*settings, *(override(key, value) for key, value in fixed.items()))
    return replace(base, sweep_id=sweep_id, axes=axes_of(listed), listed=listed, settings=stated)


def _without_stopping(config: ExperimentConfig) -> tuple[str, ...]:
    """Every run must see its whole budget."""
    runtime = config.train.runtime
    limits = {
        "train.runtime.early_stop_patience": runtime.early_stop_patience,
        "train.runtime.max_minutes": runtime.max_minutes,
    }
    return tuple(override(key, 0) for key, limit in limits.items() if limit)


def _checked_rule(rule: LearningRateRule | None, config: ExperimentConfig) -> LearningRateRule:
    is_muon = config.train.optim.optimizer == "muon"
    if rule is None:
        return "fixed" if is_muon else "width"
    if is_muon and rule != "fixed":
        raise UsageError(
            f"--lr-rule {rule} is for AdamW: Muon's updates of hidden matrices have the same size "
            "at every width.",
            "Leave it out, or use --lr-rule fixed.",
        )
    return rule


def _steps(budgets: str, config: ExperimentConfig) -> list[int]:
    """Optimizer steps of each budget of tokens, fewest first."""
    if not budgets:
        return [config.train.runtime.max_iters]
    found = set[int]()
    for part in budgets.split(","):
        number = parse_number(part.strip())
        if number is None or number <= 0:
            raise UsageError(
                f"'{shortened(part.strip())}' is not a number of training tokens.",
                "Write numbers with commas between them, such as 500k,1M,2M.",
            )
        steps = round(number / tokens_per_step(config))
        if steps < _LEAST_STEPS:
            raise UsageError(
                f"{shortened(part.strip())} tokens are fewer than {_LEAST_STEPS} steps of "
                f"{tokens_per_step(config):,} tokens.",
                "Choose a larger budget, or smaller batches.",
            )
        found.add(steps)
    return sorted(found)


def _next(shapes: Sequence[Shape], config: ExperimentConfig, vocab_size: int) -> Shape:
    largest = shapes[-1].parameters
    ratio = largest / shapes[-2].parameters if len(shapes) > 1 else 2.0
    return shape_for(largest * max(ratio, 1.5), config.model, vocab_size)


def _same(first: Shape, second: Shape) -> bool:
    return (first.n_layer, first.n_embd) == (second.n_layer, second.n_embd)


def _rounded(rate: float) -> float:
    # More digits would only be noise in names and tables.
    return float(f"{rate:.4g}")
