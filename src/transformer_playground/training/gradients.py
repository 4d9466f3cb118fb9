"""Gradients of many parameters in one buffer, so that one operation treats all of them."""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

# As in torch.nn.utils.clip_grad_norm_: clipping must not divide by zero.
_EPS = 1e-6
# Elements: every gradient starts at a multiple of 64 bytes, as in memory of its own.
_ALIGNMENT = 16
# Elements that are summed over all ranks at once: 25 MB, as in DistributedDataParallel.
_BUCKET = 25 * (1 << 20) // 4


class FlatGradients:
    """The gradients of `parameters`, which become views of one float32 buffer.

    For small models, an operation per parameter costs more than its arithmetic: zeroing,
    measuring and clipping take one operation each.

    Args:
        parameters: Float32 parameters on one device.

    Attributes:
        views: The gradient of each parameter.
        starts: First element of each in the buffer.
        loss: A scalar behind the gradients, so that a sum over all ranks covers it, too.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        sizes = [_padded(parameter.numel()) for parameter in parameters]
        device = parameters[0].device if parameters else None
        self.buffer = torch.zeros(sum(sizes) + 1, dtype=torch.float32, device=device)
        self._gradients, self.loss = self.buffer[:-1], self.buffer[-1]
        self.starts: list[int] = []
        self.views: list[Tensor] = []
        start = 0
        for parameter, size in zip(parameters, sizes, strict=True):
            view = self.buffer.as_strided(parameter.shape, parameter.stride(), start)
            # Backward adds to it in place.
            parameter.grad = view
            self.views.append(view)
            self.starts.append(start)
            start += size

    def zero(self) -> None:
        """Set all gradients and the loss to zero."""
        self.buffer.zero_()

    def clip(
        self, max_norm: float, combine: Callable[[Tensor], Tensor] = lambda norm: norm
    ) -> Tensor:
        """Scale all gradients so that their global norm is at most `max_norm`.

        Args:
            max_norm: The highest norm.
            combine: Gives the global norm, where the buffer holds only a part of the gradients.

        Returns:
            The norm before, a scalar on the device.
        """
        norm = combine(torch.linalg.vector_norm(self._gradients))
        self._gradients.mul_((max_norm / (norm + _EPS)).clamp_(max=1.0))
        return norm


class GradientSums:
    """Sums of the gradients over all ranks, while the backward pass still computes others.

    The buffer is cut into buckets, from its end on, because the backward pass begins with the last
    parameters. A bucket is sent once its gradients are final, and only after those behind it, so
    that all ranks send in the same order (Li et al. 2020, "PyTorch Distributed").

    Args:
        gradients: Summed in place, with the loss.
        parameters: The model's parameters, in the order of the gradients.
        collect: Moves the gradient of the parameter of this number into `gradients`.
    """

    def __init__(
        self,
        gradients: FlatGradients,
        parameters: Sequence[nn.Parameter],
        collect: Callable[[int], None],
    ) -> None:
        self._buffer, self._collect = gradients.buffer, collect
        self._slices, self._bucket_of = _buckets(gradients.starts, len(gradients.buffer))
        self._sizes = [self._bucket_of.count(number) for number in range(len(self._slices))]
        self._missing = list(self._sizes)
        self._sent: list[dist.Work] = []
        self._is_last = False
        for number, parameter in enumerate(parameters):
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._hook(number)
            )

    def begin_last_pass(self) -> None:
        """The next backward pass completes the gradients."""
        self._is_last = True

    def finish(self) -> None:
        """Wait until everything is summed; what no backward pass has touched, too."""
        self._is_last = False
        self._send(len(self._slices))
        for work in self._sent:
            work.wait()
        self._sent.clear()
        self._missing = list(self._sizes)

    def _hook(self, number: int) -> Callable[[Tensor], None]:
        bucket = self._bucket_of[number]

        def completed(_parameter: Tensor) -> None:
            if not self._is_last:
                return
            self._collect(number)
            self._missing[bucket] -= 1
            ready = len(self._sent)
            while ready < len(self._slices) and self._missing[ready] == 0:
                ready += 1
            self._send(ready)

        return completed

    def _send(self, stop: int) -> None:
        """Send the buckets that are not sent yet, up to bucket `stop`."""
        for place in self._slices[len(self._sent) : stop]:
            work = dist.all_reduce(self._buffer[place], async_op=True)
            assert work is not None
            self._sent.append(work)


def _buckets(starts: Sequence[int], end: int) -> tuple[list[slice], list[int]]:
    """Slices of the buffer from its end on, and the bucket of each parameter."""
    slices: list[slice] = []
    bucket_of = [0] * len(starts)
    stop = end
    for number in reversed(range(len(starts))):
        bucket_of[number] = len(slices)
        if stop - starts[number] >= _BUCKET or number == 0:
            slices.append(slice(starts[number], stop))
            stop = starts[number]
    return slices, bucket_of


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
