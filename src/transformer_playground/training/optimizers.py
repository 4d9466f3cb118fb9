"""AdamW and Muon behind one small interface."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transformer_playground.config.train import OptimConfig


class OptimizerSet:
    """One or more torch optimizers that step together under one schedule.

    Every parameter group remembers its own peak; `set_learning_rate` scales all of them by the
    same share of the schedule.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], reference_lr: float) -> None:
        self._optimizers = tuple(optimizers)
        self._reference_lr = reference_lr
        self._peaks = [[group["lr"] for group in each.param_groups] for each in optimizers]

    def __iter__(self) -> Iterator[torch.optim.Optimizer]:
        return iter(self._optimizers)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set AdamW's learning rate, and every other group's in proportion."""
        share = learning_rate / self._reference_lr
        for optimizer, peaks in zip(self._optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * share

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The state of every optimizer, by class name."""
        return {type(each).__name__: each.state_dict() for each in self._optimizers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; settings such as decay stay as configured now.

        Raises:
            ValueError: The state belongs to other optimizers or other parameters.
        """
        names = [type(each).__name__ for each in self._optimizers]
        if sorted(state) != sorted(names):
            raise ValueError(f"state of {sorted(state)} cannot be loaded into {sorted(names)}")
        for optimizer in self._optimizers:
            configured = [_settings(group) for group in optimizer.param_groups]
            optimizer.load_state_dict(state[type(optimizer).__name__])
            for group, settings in zip(optimizer.param_groups, configured, strict=True):
                group.update(settings)


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def build_optimizers(
    config: OptimConfig, parameters: Sequence[tuple[str, nn.Parameter]], hidden: set[str]
) -> OptimizerSet:
    """Optimizers for named float32 parameters.

    Args:
        config: The `[train.optim]` table.
        parameters: Names and tensors, each tensor once.
        hidden: Names of the matrices inside the blocks, which Muon takes when it is chosen;
            embeddings, the head and vectors always go to AdamW (Jordan et al. 2024).
    """
    if config.optimizer == "adamw":
        return OptimizerSet([_adamw(config, parameters)], config.learning_rate)
    matrices = [tensor for name, tensor in parameters if name in hidden]
    rest = [(name, tensor) for name, tensor in parameters if name not in hidden]
    # match_rms_adamw gives updates the size AdamW's have, so that weight decay and schedules
    # carry over (Liu et al. 2025, "Muon is Scalable for LLM Training").
    muon = torch.optim.Muon(
        matrices,
        lr=config.muon_learning_rate,
        weight_decay=config.weight_decay,
        momentum=config.muon_momentum,
        adjust_lr_fn="match_rms_adamw",
    )
    return OptimizerSet([_adamw(config, rest), muon], config.learning_rate)


def _adamw(
    config: OptimConfig, parameters: Sequence[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); gains and biases, being vectors, do not decay."""
    matrices: list[Tensor] = [tensor for _, tensor in parameters if tensor.dim() >= 2]
    vectors: list[Tensor] = [tensor for _, tensor in parameters if tensor.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )
