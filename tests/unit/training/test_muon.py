"""Muon beside torch's own, which iterates on one matrix at a time."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from transformer_playground.training.muon import Muon, orthogonalise

SHAPES = [(8, 24), (24, 8), (16, 16), (8, 24), (1, 5)]


def matrices(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in SHAPES]


def muon(params: Sequence[nn.Parameter]) -> Muon:
    return Muon(params, lr=0.02, weight_decay=0.1, momentum=0.9)


def muon_of_torch(params: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Muon(
        params, lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw"
    )


def take_steps(params: Sequence[nn.Parameter], *optimizers: torch.optim.Optimizer) -> None:
    for seed in (1, 2, 3):
        for parameter, gradient in zip(params, matrices(seed), strict=True):
            parameter.grad = gradient.detach()
        for optimizer in optimizers:
            optimizer.step()


def test_stacked_matrices_are_updated_as_by_the_optimizer_of_torch() -> None:
    ours, theirs = matrices(), matrices()
    take_steps(ours, muon(ours))
    take_steps(theirs, muon_of_torch(theirs))
    before = matrices()
    for own, other, start in zip(ours, theirs, before, strict=True):
        # Both round to bfloat16 in every product, which has a precision of 0.4 %.
        change = (own - other).norm() / (other - start).norm()
        assert change < 0.05


def test_a_matrix_is_updated_alike_alone_and_in_a_stack() -> None:
    together, alone = matrices(), matrices()
    take_steps(together, muon(together))
    take_steps(alone, *(muon([parameter]) for parameter in alone))
    for own, other in zip(together, alone, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=2e-3)


def test_checkpoints_with_the_state_of_torchs_optimizer_can_be_resumed() -> None:
    params = matrices()
    theirs = muon_of_torch(params)
    take_steps(params, theirs)
    ours = muon(params)
    ours.load_state_dict(theirs.state_dict())
    for parameter in params:
        buffer = theirs.state[parameter]["momentum_buffer"]
        assert torch.equal(ours.state[parameter]["momentum_buffer"], buffer)
    take_steps(params, ours)


def test_singular_values_become_similar_and_zero_stays_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    scaled = (
        torch.randn(3, 6, 9, generator=generator) * torch.tensor([1e-4, 1.0, 0.0])[:, None, None]
    )
    values = torch.linalg.svdvals(orthogonalise(scaled).float())
    assert values[:2].min() > 0.5
    assert values[:2].max() < 1.4
    assert not values[2].any()


def five_iterations(matrix: Tensor) -> Tensor:
    """The plain iteration of the paper in float64."""
    x: Tensor = matrix.double() / matrix.norm()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(12, 16), (16, 64), (3, 40)])
def test_the_result_is_that_of_five_plain_iterations(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    direction = orthogonalise(matrix.unsqueeze(0))[0].double()
    expected = five_iterations(matrix)
    assert (direction - expected).norm() < 0.05 * expected.norm()


def test_rounding_errors_do_not_grow_in_directions_that_a_matrix_lacks() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(16, 2, generator=generator) @ torch.randn(2, 64, generator=generator)
    values = torch.linalg.svdvals(orthogonalise(flat.unsqueeze(0))[0].float())
    assert values[:2].min() > 0.6
    assert values.max() < 1.3


def test_parameters_without_gradients_stay_as_they_are() -> None:
    first, second = matrices()[:2]
    before = second.detach().clone()
    first.grad = torch.ones_like(first)
    optimizer = muon([first, second])
    optimizer.step()
    assert torch.equal(second, before)
    assert second not in optimizer.state


def test_a_step_that_is_to_be_skipped_changes_nothing() -> None:
    params = matrices()
    optimizer = muon(params)
    take_steps(params, optimizer)
    before = [parameter.detach().clone() for parameter in params]
    buffers = [optimizer.state[parameter]["momentum_buffer"].clone() for parameter in params]
    for parameter in params:
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    for parameter, weights, buffer in zip(params, before, buffers, strict=True):
        assert torch.equal(parameter, weights)
        assert torch.equal(optimizer.state[parameter]["momentum_buffer"], buffer)


def test_only_matrices_are_accepted() -> None:
    with pytest.raises(ValueError, match="matrix"):
        muon([nn.Parameter(torch.ones(3))])
