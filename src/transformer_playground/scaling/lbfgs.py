"""L-BFGS (Liu and Nocedal 1989) for many small problems at once, in numpy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]
Objective = Callable[[FloatArray, Rows], tuple[FloatArray, FloatArray]]
"""Points (problems, variables) of the problems with these numbers -> values (problems,) and
gradients (problems, variables)."""

_MEMORY = 10
_ARMIJO = 1e-4
_HALVINGS = 20
_NO_CURVATURE = 1e-14


def minimise(
    objective: Objective, starts: FloatArray, *, steps: int = 200, tolerance: float = 1e-7
) -> tuple[FloatArray, FloatArray]:
    """A local minimum of each problem, found from its start.

    Args:
        objective: Problems that are still moving are evaluated together.
        starts: Shape (problems, variables).
        steps: Iterations at most.
        tolerance: A problem ends when a step decreases it by less than this share.

    Returns:
        Points of the shape of `starts`, and their values, shape (problems,).
    """
    points = np.array(starts, dtype=np.float64)
    rows = np.arange(len(points))
    values, gradient = objective(points, rows)
    # Moves and changes of the gradient, (problems, memory, variables), newest last.
    moves = np.zeros((len(points), 0, points.shape[1]))
    changes = moves.copy()
    for _ in range(steps):
        x, value = points[rows], values[rows]
        direction = -_product(gradient, moves, changes)
        slope = np.sum(direction * gradient, axis=1)
        is_uphill = ~(slope < 0)
        direction[is_uphill] = -gradient[is_uphill]
        if not moves.shape[1]:
            # Without a known curvature the length of a gradient means nothing.
            direction /= np.maximum(1.0, np.linalg.norm(direction, axis=1))[:, None]
        slope = np.sum(direction * gradient, axis=1)
        length = _step_lengths(objective, rows, x, value, direction, slope)
        moved = x + length[:, None] * direction
        new_value, new_gradient = objective(moved, rows)
        points[rows], values[rows] = moved, new_value
        moves = np.concatenate([moves[:, -_MEMORY + 1 :], (moved - x)[:, None]], axis=1)
        changes = np.concatenate(
            [changes[:, -_MEMORY + 1 :], (new_gradient - gradient)[:, None]], axis=1
        )
        goes_on = value - new_value > tolerance * np.abs(value)
        rows, gradient = rows[goes_on], new_gradient[goes_on]
        moves, changes = moves[goes_on], changes[goes_on]
        if not rows.size:
            break
    return points, values


def _step_lengths(
    objective: Objective,
    rows: Rows,
    x: FloatArray,
    value: FloatArray,
    direction: FloatArray,
    slope: FloatArray,
) -> FloatArray:
    """The first of 1, 1/2, 1/4, … that decreases a problem enough (Armijo); 0 if none does."""
    length = np.ones(len(x))
    left = np.arange(len(x))
    for _ in range(_HALVINGS):
        found, _gradient = objective(x[left] + length[left, None] * direction[left], rows[left])
        left = left[~(found <= value[left] + _ARMIJO * length[left] * slope[left])]
        if not left.size:
            return length
        length[left] /= 2
    length[left] = 0.0
    return length


def _product(gradient: FloatArray, moves: FloatArray, changes: FloatArray) -> FloatArray:
    """The inverse Hessian that the last moves suggest, times the gradient (two-loop recursion)."""
    result = gradient.copy()
    curvature = np.sum(moves * changes, axis=2)
    is_usable = curvature > _NO_CURVATURE
    # A pair without positive curvature has no weight.
    weight = np.where(is_usable, 1.0 / np.where(is_usable, curvature, 1.0), 0.0)
    shares = np.zeros_like(curvature)
    scale = np.ones(len(gradient))
    for place in reversed(range(moves.shape[1])):
        shares[:, place] = weight[:, place] * np.sum(moves[:, place] * result, axis=1)
        result -= shares[:, place, None] * changes[:, place]
    for place in range(moves.shape[1]):
        squares = np.sum(changes[:, place] ** 2, axis=1)
        ratio = curvature[:, place] / np.where(squares > 0, squares, 1.0)
        scale = np.where(is_usable[:, place], ratio, scale)
    result *= scale[:, None]
    for place in range(moves.shape[1]):
        back = weight[:, place] * np.sum(changes[:, place] * result, axis=1)
        result += (shares[:, place] - back)[:, None] * moves[:, place]
    return result
