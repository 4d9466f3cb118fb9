import pytest
import torch
from torch import nn

from transformer_playground.training.gradients import FlatGradients


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    stored = torch.randn(5, 3, generator=generator)
    return [
        nn.Parameter(torch.randn(3, 7, generator=generator)),
        # A transposed matrix, as of widening layers.
        nn.Parameter(stored.t()),
        nn.Parameter(torch.randn(2, generator=generator)),
    ]


def backward(params: list[nn.Parameter]) -> None:
    sum((parameter.square().sum() for parameter in params), torch.zeros(())).backward()  # type: ignore[no-untyped-call]


def test_backward_adds_to_the_gradients_in_place() -> None:
    params = parameters()
    gradients = FlatGradients(params)
    for times in (1, 2):
        backward(params)
        for parameter, view in zip(params, gradients.views, strict=True):
            assert parameter.grad is view
            assert view.stride() == parameter.stride()
            torch.testing.assert_close(view, 2 * times * parameter.detach())
    gradients.zero()
    assert not any(view.any() for view in gradients.views)


@pytest.mark.parametrize("share", [0.1, 10.0])
def test_clipping_is_that_of_torch(share: float) -> None:
    ours, theirs = parameters(), parameters()
    gradients = FlatGradients(ours)
    backward(ours)
    backward(theirs)
    limit = share * torch.cat([2 * each.detach().flatten() for each in theirs]).norm().item()
    expected = nn.utils.clip_grad_norm_(theirs, limit)
    torch.testing.assert_close(gradients.clip(limit), expected)
    for own, other in zip(ours, theirs, strict=True):
        assert own.grad is not None
        torch.testing.assert_close(own.grad, other.grad)


def test_without_a_limit_the_gradients_stay_as_they_are() -> None:
    params = parameters()
    gradients = FlatGradients(params)
    backward(params)
    gradients.clip(float("inf"))
    for parameter in params:
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, 2 * parameter.detach())


def test_a_gradient_that_is_not_finite_shows_in_the_norm() -> None:
    params = parameters()
    gradients = FlatGradients(params)
    gradients.views[1][0, 0] = float("nan")
    assert not torch.isfinite(gradients.clip(1.0))
