import pytest
import torch
from torch.testing import assert_close

from builders.models import lively_model, tokens_of
from transformer_playground.errors import UsageError
from transformer_playground.inspection.ablation import (
    Component,
    ablate,
    all_components,
    parse_component,
)
from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.patching import PatchKind, patch_grid
from transformer_playground.inspection.recording import Site, record


def test_mean_ablation_keeps_what_a_head_always_adds() -> None:
    model, tokens = lively_model(), tokens_of(0, 2, 6)
    site = Site("heads", 1)
    recorded = ablate(
        model, tokens, [Component(1, 2), Component(1, 0)], replacement="mean", sites=[site]
    )[site]
    whole = record(model, tokens, [site])[site]
    mean = whole.mean(dim=(0, 1))
    for head in (0, 2):
        assert_close(recorded[:, :, head], mean[head].expand(2, 6, -1))
    for head in (1, 3):
        assert torch.equal(recorded[:, :, head], whole[:, :, head])


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("1.2", Component(1, 2)),
        ("L1H2", Component(1, 2)),
        ("0.mlp", Component(0, "mlp")),
        ("0.attention", Component(0, "attention")),
        ("1", Component(1)),
    ],
)
def test_a_part_is_named_by_layer_and_head_or_branch(text: str, component: Component) -> None:
    assert parse_component(text, parts_of(lively_model())) == component


@pytest.mark.parametrize("text", ["2.0", "0.4", "9", "x", "1.-1", "", "1.mlpp"])
def test_a_part_that_the_model_lacks_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_component(text, parts_of(lively_model()))


def test_a_model_without_mlps_has_only_heads() -> None:
    parts = parts_of(lively_model(mlp_enabled=False))
    assert all_components(parts) == [Component(n, h) for n in range(2) for h in range(4)]
    with pytest.raises(UsageError, match="no MLPs"):
        parse_component("0.mlp", parts)


@pytest.mark.parametrize("kind", ["residual", "attention", "mlp"])
def test_patching_moves_the_answer_as_far_as_the_patched_position_matters(kind: PatchKind) -> None:
    model = lively_model(seed=3)
    base, other = tokens_of(0, 1, 6)[0], tokens_of(0, 1, 6)[0]
    other[3] = (other[3] + 5) % 13
    grid = patch_grid(model, base, other, kind)
    with torch.inference_mode():
        logits, wanted = model(base[None])[0, -1], model(other[None])[0, -1]
    assert (grid.base_answer, grid.source_answer) == (logits.argmax(), wanted.argmax())
    assert grid.recovered is not None
    assert grid.recovered.shape == (2, 6)
    # Before the changed token, both prompts are the same.
    assert_close(grid.recovered[:, :3], torch.zeros(2, 3), atol=1e-5, rtol=0)
    if kind == "residual":
        # The last position of the last layer decides alone.
        assert_close(grid.recovered[1], torch.tensor([0.0, 0, 0, 0, 0, 1]), atol=1e-5, rtol=0)


def test_prompts_with_the_same_answer_recover_nothing() -> None:
    tokens = tokens_of(0, 1, 6)[0]
    assert patch_grid(lively_model(), tokens, tokens).recovered is None


def test_prompts_of_different_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="6 and 5 tokens"):
        patch_grid(lively_model(), tokens_of(0, 1, 6)[0], tokens_of(0, 1, 5)[0])
