"""The training objective."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# What torch's own cross entropy leaves out unless told otherwise.
_IGNORED = -100
# Float32 logits worked on at once on a CPU: 4 MB, which its caches hold.
_SLICE_ELEMENTS = 1 << 20


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood in nats, summed over all targets and computed in float32.

    A sum, so that whoever knows how many targets a whole step has can divide by that.

    Args:
        logits: (B, T, V) in any floating format.
        targets: (B, T) int64; those of -100 do not count.
    """
    rows, targets = logits.flatten(0, -2), targets.flatten()
    if rows.device.type == "cpu" and rows.numel() > _SLICE_ELEMENTS:
        total: Tensor = _SlicedCrossEntropy.apply(rows, targets)
        return total
    return functional.cross_entropy(rows.float(), targets, reduction="sum")


class _SlicedCrossEntropy(torch.autograd.Function):
    """Cross entropy of large logits, some rows at a time.

    Neither float32 logits nor their logarithms ever exist as a whole; the backward pass computes
    the softmax again, which costs less than storing it and reading it back.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(logits, targets)
        total = torch.zeros((), device=logits.device)
        for part, aims in _slices(logits, targets):
            total += functional.cross_entropy(part.float(), aims, reduction="sum")
        return total

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator is untyped
        ctx: Any, upstream: Tensor
    ) -> tuple[Tensor, None]:
        logits, targets = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for (part, aims), result in zip(
            _slices(logits, targets), torch.split(gradient, _slice_rows(logits)), strict=True
        ):
            # The gradient is the softmax, less 1 at each target.
            slope = part.float().softmax(dim=-1)
            counted = aims != _IGNORED
            slope[torch.arange(len(aims)), aims.where(counted, 0)] -= 1
            result.copy_(slope.mul_((upstream * counted).unsqueeze(1)))
        return gradient, None


def _slices(logits: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    size = _slice_rows(logits)
    return list(zip(torch.split(logits, size), torch.split(targets, size), strict=True))


def _slice_rows(logits: Tensor) -> int:
    return max(1, _SLICE_ELEMENTS // logits.shape[-1])
