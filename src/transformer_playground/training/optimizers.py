"""Optimizer registry, and a set of optimizers that step together under one schedule."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transformer_playground.config.train import OptimConfig, Optimizer
from transformer_playground.training.distributed import ALONE, DistInfo
from transformer_playground.training.muon import Muon
from transformer_playground.training.shards import Shards
from transformer_playground.training.without_compiler import AdamW

NamedParameter = tuple[str, nn.Parameter]


class OptimizerSet:
    """One or more torch optimizers that step together under one learning-rate schedule.

    Each parameter group has its own peak learning rate; `set_learning_rate` scales all of them by
    the same factor.
    """

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        reference_lr: float,
        shards: Shards | None = None,
    ) -> None:
        self._optimizers = tuple(optimizers)
        self._shards = shards
        self._reference_lr = reference_lr
        self._peaks = [[group["lr"] for group in each.param_groups] for each in optimizers]

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        return iter(self._optimizers)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate; groups with another peak are scaled in proportion."""
        share = learning_rate / self._reference_lr
        for optimizer, peaks in zip(self._optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * share

    def step(self, scaler: torch.amp.GradScaler, *, skip: Tensor) -> None:
        """Update the parameters, unless `skip` (a boolean scalar on their device) is true.

        The device itself decides, so that nothing waits for it. An enabled scaler does not ask
        `skip`: it leaves out steps with overflowing gradients by itself.
        """
        found_inf = skip.float()
        for optimizer in self._optimizers:
            if not scaler.is_enabled():
                # torch's fused optimizers and Muon leave their state unchanged if this is 1.
                optimizer.found_inf = found_inf  # type: ignore[attr-defined]
            scaler.step(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """The state of every optimizer, by class name; whole tensors, on the first rank only."""
        states = {type(each).__name__: each.state_dict() for each in self._optimizers}
        if (shards := self._shards) is not None:
            for optimizer in self._optimizers:
                _replace_tensors(optimizer, states[type(optimizer).__name__], shards.gather)
        return states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a `state_dict`; settings such as weight decay stay as configured now.

        Raises:
            ValueError: The state belongs to other optimizers or other parameters.
        """
        names = [type(each).__name__ for each in self._optimizers]
        if sorted(state) != sorted(names):
            raise ValueError(f"state of {sorted(state)} cannot be loaded into {sorted(names)}")
        for optimizer in self._optimizers:
            configured = [_settings(group) for group in optimizer.param_groups]
            loaded = state[type(optimizer).__name__]
            if self._shards is not None:
                loaded = {**loaded, "state": {**loaded["state"]}}
                _replace_tensors(optimizer, loaded, partial(_own_rows, self._shards))
            optimizer.load_state_dict(loaded)
            for group, settings in zip(optimizer.param_groups, configured, strict=True):
                group.update(settings)


def _replace_tensors(
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    replacement: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Replace the tensors of an optimizer's state that have the dimensions of their parameter."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for number, values in state["state"].items():
        master = parameters[number]
        state["state"][number] = {
            name: replacement(master, value)
            if isinstance(value, Tensor) and value.dim() == master.dim()
            else value
            for name, value in values.items()
        }


def _own_rows(shards: Shards, _master: Tensor, whole: Tensor) -> Tensor:
    return shards.rows(whole)


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def adamw(
    config: OptimConfig,
    parameters: Sequence[NamedParameter],
    _hidden: set[str],
    _ranks: DistInfo = ALONE,
    _shards: Shards | None = None,
) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov & Hutter 2019)."""
    return [
        AdamW(
            decay_groups(config, parameters),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )
    ]


def muon(
    config: OptimConfig,
    parameters: Sequence[NamedParameter],
    hidden: set[str],
    ranks: DistInfo = ALONE,
    shards: Shards | None = None,
) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for the rest (Jordan et al. 2024)."""
    matrices = Muon(
        [tensor for name, tensor in parameters if name in hidden],
        lr=config.muon_learning_rate,
        weight_decay=config.weight_decay,
        momentum=config.muon_momentum,
        ranks=ranks,
        shards=shards,
    )
    rest = [(name, tensor) for name, tensor in parameters if name not in hidden]
    return [*adamw(config, rest, hidden), matrices]


def decay_groups(config: OptimConfig, parameters: Sequence[NamedParameter]) -> list[dict[str, Any]]:
    """Parameter groups: matrices with weight decay, vectors (gains and biases) without."""
    matrices = [tensor for _, tensor in parameters if tensor.dim() >= 2]
    vectors = [tensor for _, tensor in parameters if tensor.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


_Builder = Callable[
    [OptimConfig, Sequence[NamedParameter], set[str], DistInfo, Shards | None],
    list[torch.optim.Optimizer],
]
OPTIMIZERS: dict[Optimizer, _Builder] = {"adamw": adamw, "muon": muon}


def build_optimizers(
    config: OptimConfig,
    parameters: Sequence[NamedParameter],
    hidden: set[str],
    ranks: DistInfo = ALONE,
    shards: Shards | None = None,
) -> OptimizerSet:
    """Build the optimizers of `[train.optim]`.

    Args:
        config: The `[train.optim]` table.
        parameters: Named float32 parameters; tied weights occur once.
        hidden: Names of the matrices inside the blocks, for optimizers such as Muon.
        ranks: The processes that train the model; they share the work of Muon.
        shards: The parts of a model that is shared out over them; `parameters` are this rank's.
    """
    optimizers = OPTIMIZERS[config.optimizer](config, parameters, hidden, ranks, shards)
    return OptimizerSet(optimizers, config.learning_rate, shards)
