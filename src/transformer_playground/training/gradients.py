"""Gradients of many parameters in one buffer, so that one operation treats all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# As in torch.nn.utils.clip_grad_norm_: clipping must not divide by zero.
_EPS = 1e-6
# Elements: every gradient starts at a multiple of 64 bytes, as in memory of its own.
_ALIGNMENT = 16


class FlatGradients:
    """The gradients of `parameters`, which become views of one float32 buffer.

    For small models, an operation per parameter costs more than its arithmetic: zeroing,
    measuring and clipping take one operation each.

    Args:
        parameters: Float32 parameters on one device.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        sizes = [_padded(parameter.numel()) for parameter in parameters]
        device = parameters[0].device if parameters else None
        self._buffer = torch.zeros(sum(sizes), dtype=torch.float32, device=device)
        start = 0
        self.views: list[Tensor] = []
        for parameter, size in zip(parameters, sizes, strict=True):
            view = self._buffer.as_strided(parameter.shape, parameter.stride(), start)
            # Backward adds to it in place.
            parameter.grad = view
            self.views.append(view)
            start += size

    def zero(self) -> None:
        """Set all gradients to zero."""
        self._buffer.zero_()

    def clip(self, max_norm: float) -> Tensor:
        """Scale all gradients so that their global norm is at most `max_norm`.

        Returns:
            The norm before, a scalar on the device.
        """
        norm: Tensor = torch.linalg.vector_norm(self._buffer)
        self._buffer.mul_((max_norm / (norm + _EPS)).clamp_(max=1.0))
        return norm


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
