from typing import Any

import pytest
import torch
from torch import nn

from transformer_playground.config.train import OptimConfig
from transformer_playground.training.optimizers import OptimizerSet, build_optimizers
from transformer_playground.training.without_compiler import AdamW


def parameters() -> list[tuple[str, nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"embedding": (7, 4), "block.matrix": (4, 4), "block.gain": (4,)}
    return [
        (name, nn.Parameter(torch.randn(*shape, generator=generator)))
        for name, shape in shapes.items()
    ]


def optimizers(named: list[tuple[str, nn.Parameter]], **settings: Any) -> OptimizerSet:
    return build_optimizers(OptimConfig.model_validate(settings), named, {"block.matrix"})


def step(
    named: list[tuple[str, nn.Parameter]], chosen: OptimizerSet, gradient: float = 0.0
) -> None:
    for _, tensor in named:
        tensor.grad = torch.full_like(tensor, gradient)
    for optimizer in chosen:
        optimizer.step()


def test_matrices_decay_and_vectors_do_not() -> None:
    named = parameters()
    before = {name: tensor.detach().clone() for name, tensor in named}
    step(named, optimizers(named, learning_rate=0.1, weight_decay=0.5))
    after = dict(named)
    torch.testing.assert_close(after["embedding"].detach(), before["embedding"] * 0.95)
    torch.testing.assert_close(after["block.matrix"].detach(), before["block.matrix"] * 0.95)
    torch.testing.assert_close(after["block.gain"].detach(), before["block.gain"])


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    named = parameters()
    by_name = {type(each).__name__: each for each in optimizers(named, optimizer="muon")}
    owned = {
        name: {id(tensor) for group in each.param_groups for tensor in group["params"]}
        for name, each in by_name.items()
    }
    identities = {name: id(tensor) for name, tensor in named}
    assert owned["Muon"] == {identities["block.matrix"]}
    assert owned["AdamW"] == {identities["embedding"], identities["block.gain"]}


def test_a_muon_step_is_orthogonal_whatever_the_gradient_size() -> None:
    steps = []
    for scale in (1e-3, 1e3):
        named = parameters()
        chosen = optimizers(named, optimizer="muon", weight_decay=0.0)
        matrix = dict(named)["block.matrix"]
        before = matrix.detach().clone()
        for _, tensor in named:
            tensor.grad = torch.zeros_like(tensor)
        matrix.grad = scale * torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0]))
        for optimizer in chosen:
            optimizer.step()
        steps.append(matrix.detach() - before)
    torch.testing.assert_close(steps[0], steps[1], rtol=0.05, atol=1e-4)
    singular = torch.linalg.svdvals(steps[0])
    assert singular.max() / singular.min() < 2.0


def test_the_schedule_scales_every_group_by_the_same_share() -> None:
    named = parameters()
    chosen = optimizers(named, optimizer="muon", learning_rate=1e-3, muon_learning_rate=0.02)
    chosen.set_learning_rate(2.5e-4)
    rates = {type(each).__name__: each.param_groups[0]["lr"] for each in chosen}
    assert rates == {"AdamW": pytest.approx(2.5e-4), "Muon": pytest.approx(0.005)}


@pytest.mark.parametrize(
    ("key", "value"), [("beta1", 0.5), ("beta2", 0.5), ("eps", 1.0), ("learning_rate", 0.5)]
)
def test_every_setting_of_adamw_changes_the_step(key: str, value: float) -> None:
    weights = []
    for settings in ({}, {key: value}):
        named = parameters()
        chosen = optimizers(named, **settings)
        step(named, chosen, 1.0)
        step(named, chosen, -0.3)
        weights.append(dict(named)["embedding"].detach().clone())
    assert not torch.equal(*weights)


@pytest.mark.parametrize(("key", "value"), [("muon_momentum", 0.1), ("muon_learning_rate", 0.5)])
def test_every_setting_of_muon_changes_the_step(key: str, value: float) -> None:
    weights = []
    for settings in ({}, {key: value}):
        named = parameters()
        chosen = optimizers(named, optimizer="muon", **settings)
        matrix = dict(named)["block.matrix"]
        for seed in (1, 2):
            for _, tensor in named:
                tensor.grad = torch.zeros_like(tensor)
            noise = torch.Generator().manual_seed(seed)
            matrix.grad = torch.randn(4, 4, generator=noise)
            for optimizer in chosen:
                optimizer.step()
        weights.append(matrix.detach().clone())
    assert not torch.equal(*weights)


def test_state_of_another_optimizer_is_refused() -> None:
    named = parameters()
    with pytest.raises(ValueError, match="Muon"):
        optimizers(named).load_state_dict(optimizers(named, optimizer="muon").state_dict())


def test_a_restored_optimizer_keeps_its_moments_and_takes_the_present_settings() -> None:
    named = parameters()
    first = optimizers(named, weight_decay=0.1, beta1=0.9)
    step(named, first, 1.0)
    second = optimizers(named, weight_decay=0.5, beta1=0.8)
    second.load_state_dict(first.state_dict())
    (adamw,) = second
    assert adamw.param_groups[0]["weight_decay"] == 0.5
    assert adamw.param_groups[1]["weight_decay"] == 0.0
    assert adamw.param_groups[0]["betas"] == (0.8, 0.99)
    assert adamw.state[dict(named)["embedding"]]["exp_avg"].abs().max() > 0


@pytest.mark.parametrize("fused", [True, False])
def test_adamw_without_the_compiler_takes_the_steps_of_torch(fused: bool) -> None:
    ours, theirs = parameters(), parameters()
    first = AdamW([tensor for _, tensor in ours], lr=0.1, fused=fused)
    second = torch.optim.AdamW([tensor for _, tensor in theirs], lr=0.1, fused=fused)
    for number in range(3):
        for optimizer, named in ((first, ours), (second, theirs)):
            for _, tensor in named:
                tensor.grad = torch.full_like(tensor, 0.1 * number - 0.1)
            optimizer.step()
    for (_, mine), (_, other) in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
        assert mine.grad_fn is None
    assert type(first).__name__ == type(second).__name__
    assert first.state_dict().keys() == second.state_dict().keys()
    second.load_state_dict(first.state_dict())
    first.load_state_dict(second.state_dict())
    first.zero_grad()
    assert all(tensor.grad is None for _, tensor in ours)
