"""Muon (Jordan et al. 2024): momentum updates of matrices, made orthogonal by Newton-Schulz.

https://kellerjordan.github.io/posts/muon/. Matrices of one shape are stacked and iterated in one
batch, in bfloat16: many small products cost far more than a few large ones. Iterations run on the
smaller square matrices where they can (Zhang et al. 2026, "Gram Newton-Schulz",
https://dao-ailab.github.io/blog/2026/gram-newton-schulz/).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from transformer_playground.training.distributed import ALONE, DistInfo
from transformer_playground.training.shards import Shards
from transformer_playground.training.without_compiler import without_compiler

# Of the quintic a x + b x^3 + c x^5 (Jordan et al. 2024), which is steep near zero: singular values
# end between about 0.7 and 1.2, and training does not need them closer to 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Iterations between two products with the matrix itself: rounding errors of the square matrices
# grow twelvefold in each, and start from zero then.
_ITERATIONS = (3, 2)
_EPS = 1e-7
# Updates then have the root mean square of AdamW's (Liu et al. 2025, "Muon is Scalable for LLM
# Training"), so that learning rates, schedules and weight decay carry over.
_ADAMW_RMS = 0.2


@without_compiler
class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for matrices.

    State per parameter: `momentum_buffer`, as in `torch.optim.Muon`.

    Args:
        params: Parameters of two dimensions, or groups of them.
        lr: Learning rate, on the scale of AdamW's.
        weight_decay: Decoupled weight decay, times the learning rate.
        momentum: Momentum of the exponential moving average of gradients.
        ranks: Processes with the same gradients; each iterates a part of the matrices.
        shards: Where every process has some rows of each matrix only.

    Attributes:
        found_inf: As in torch's fused optimizers: a scalar on the device, 1 to skip the next step.

    Raises:
        ValueError: A parameter is not a matrix.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        ranks: DistInfo = ALONE,
        shards: Shards | None = None,
    ) -> None:
        self._ranks, self._shards = ranks, shards
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() != 2:
                    raise ValueError(f"a matrix is needed, not a shape of {parameter.shape}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [each for each in group["params"] if each.grad is not None]
            if params:
                self._update(params, group["lr"], group["weight_decay"], group["momentum"])
        return loss

    def _update(
        self, params: list[Tensor], lr: float, weight_decay: float, momentum: float
    ) -> None:
        applied: Tensor | float = 1.0 if self.found_inf is None else 1.0 - self.found_inf
        updates = []
        for parameter in params:
            grad, state = parameter.grad, self.state[parameter]
            assert grad is not None
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            buffer = state["momentum_buffer"]
            if self.found_inf is not None:
                # An average of the buffer and itself is the buffer.
                grad = torch.where(self.found_inf > 0, buffer, grad)
            buffer.lerp_(grad, 1 - momentum)
            updates.append(grad.lerp(buffer, momentum))
            parameter.mul_(1 - lr * weight_decay * applied)
        shapes = [self._shape(parameter) for parameter in params]
        for indices in self._batches(shapes):
            wide = torch.stack([_wide(each) for each in self._whole(params, updates, indices)])
            step_size = lr * _ADAMW_RMS * math.sqrt(wide.shape[2])
            directions = self._ranks.compute_shared(wide, orthogonalise)
            for index, direction in zip(indices, directions, strict=True):
                rows = direction if shapes[index][0] <= shapes[index][1] else direction.mT
                own = rows if self._shards is None else self._shards.rows(rows)
                params[index].sub_(own.float() * (step_size * applied))

    def _batches(self, shapes: Sequence[torch.Size]) -> Iterator[list[int]]:
        """Indices of the matrices to iterate together."""
        for indices in _by_shape(shapes):
            # Whole matrices of a model that is shared out must not be in memory all at once.
            size = len(indices) if self._shards is None else self._ranks.world_size
            for first in range(0, len(indices), size):
                yield indices[first : first + size]

    def _shape(self, parameter: Tensor) -> torch.Size:
        return parameter.shape if self._shards is None else self._shards.shape(parameter)

    def _whole(
        self, params: Sequence[Tensor], updates: Sequence[Tensor], indices: Sequence[int]
    ) -> Sequence[Tensor]:
        """The whole updates of the matrices at `indices`."""
        own = [updates[index] for index in indices]
        if self._shards is None:
            return own
        return [self._shards.all_gather(params[index], updates[index]) for index in indices]


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly, by five Newton-Schulz iterations in bfloat16.

    Args:
        matrices: (N, rows, columns), with at most as many rows as columns.

    Returns:
        Matrices with the same singular vectors and singular values near 1, in bfloat16.
    """
    # A Frobenius norm of 1 bounds the largest singular value.
    norms = torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=_EPS)
    x: Tensor = (matrices / norms).bfloat16()
    for iterations in _ITERATIONS:
        x = _iterate(x, iterations)
    return x


def _iterate(x: Tensor, iterations: int) -> Tensor:
    """Newton-Schulz iterations on the square matrices of x @ x.T, applied to x at the end.

    Every iteration multiplies x by a polynomial of x @ x.T, so all of them are one factor; with
    four times as many columns as rows, that is a third less arithmetic.
    """
    a, b, c = _COEFFICIENTS
    gram = x @ x.mT
    product = None
    for left in reversed(range(iterations)):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else factor @ product
        if left:
            gram = factor @ gram @ factor
    assert product is not None
    return product @ x


def _by_shape(shapes: Sequence[torch.Size]) -> list[list[int]]:
    """Indices of the shapes, grouped; a transposed shape is the same."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(tuple(sorted(shape)), []).append(index)
    return list(groups.values())


def _wide(matrix: Tensor) -> Tensor:
    """The matrix, or its transposed view if it has more rows than columns."""
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
