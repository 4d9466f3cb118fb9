"""Cross-entropy loss."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Default ignore_index of torch's cross entropy.
_IGNORED = -100
# Float32 logits processed at once on a CPU: 4 MB, which fits into its caches.
_SLICE_ELEMENTS = 1 << 20


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood in nats, summed over all targets, computed in float32.

    The caller divides by the number of targets of the step.

    Args:
        logits: (B, T, V), any floating dtype.
        targets: (B, T) int64; -100 is ignored.
    """
    rows, targets = logits.flatten(0, -2), targets.flatten()
    if rows.device.type == "cpu" and rows.numel() > _SLICE_ELEMENTS:
        total: Tensor = _SlicedCrossEntropy.apply(rows, targets)
        return total
    return functional.cross_entropy(rows.float(), targets, reduction="sum")


def row_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each row in nats, summed over its targets, without gradients.

    Args:
        logits: (B, T, V), any floating dtype.
        targets: (B, T) int64; -100 is ignored.

    Returns:
        (B,) float32.
    """
    with torch.no_grad():
        return torch.stack(
            [summed_cross_entropy(*row) for row in zip(logits, targets, strict=True)]
        )


class _SlicedCrossEntropy(torch.autograd.Function):
    """Cross entropy of large logits in slices of rows.

    Float32 logits and log-probabilities are never stored completely; the backward pass recomputes
    the softmax, which is cheaper than storing it.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(logits, targets)
        total = torch.zeros((), device=logits.device)
        for rows, labels in _slices(logits, targets):
            total += functional.cross_entropy(rows.float(), labels, reduction="sum")
        return total

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator is untyped
        ctx: Any, upstream: Tensor
    ) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for (rows, labels), result in zip(
            _slices(logits, targets), torch.split(gradient, _slice_rows(logits)), strict=True
        ):
            # The gradient is the softmax minus 1 at each target.
            grad = rows.float().softmax(dim=-1)
            counted = labels != _IGNORED
            grad[torch.arange(len(labels)), labels.where(counted, 0)] -= 1
            result.copy_(grad.mul_((upstream * counted).unsqueeze(1)))
        return gradient, None


def _slices(logits: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    size = _slice_rows(logits)
    return list(zip(torch.split(logits, size), torch.split(targets, size), strict=True))


def _slice_rows(logits: Tensor) -> int:
    return max(1, _SLICE_ELEMENTS // logits.shape[-1])
