import pytest
import torch

from builders.models import lively_model, tiny_config, tiny_model, tokens_of
from transformer_playground.model.positions import alibi_bias, alibi_slopes, rotate, rotation


def test_rotated_scores_depend_only_on_distance() -> None:
    config = tiny_config(positional_encoding="rope", block_size=64)
    query, key = torch.randn(2, 1, 1, 1, 4, generator=torch.Generator().manual_seed(0))

    def score(query_at: int, key_at: int) -> float:
        cpu, dtype = torch.device("cpu"), torch.float32
        turned_query = rotate(
            query, rotation(config, query_at, query_at + 1, device=cpu, dtype=dtype)
        )
        turned_key = rotate(key, rotation(config, key_at, key_at + 1, device=cpu, dtype=dtype))
        return float((turned_query * turned_key).sum())

    assert score(5, 3) == pytest.approx(score(60, 58), abs=1e-5)
    assert score(5, 3) != pytest.approx(score(5, 2), abs=1e-3)


def test_rotation_preserves_norms() -> None:
    x = torch.randn(2, 12, 4, 8, generator=torch.Generator().manual_seed(0))
    config = tiny_config(positional_encoding="rope", n_embd=32)
    turned = rotate(x, rotation(config, 0, 12, device=x.device, dtype=x.dtype))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_a_cast_to_bfloat16_and_back_leaves_rotations_exact() -> None:
    model, tokens = lively_model(positional_encoding="rope"), tokens_of(0, 1, 12)
    weights = model.state_dict()
    before = model(tokens)
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    model.to(torch.bfloat16).float().load_state_dict(weights)
    assert torch.equal(model(tokens), before)


def test_sinusoidal_positions_are_fixed_and_as_large_as_token_embeddings() -> None:
    model = tiny_model(positional_encoding="sinusoidal", n_embd=64)
    assert not [name for name in model.state_dict() if "positions" in name]
    assert model.positions is not None
    table = model.positions(0, 12)
    assert table.square().mean().sqrt().item() == pytest.approx(
        model.token_embedding.weight.std().item(), rel=0.1
    )
    assert len(table.unique(dim=0)) == 12


def test_alibi_slopes_are_those_of_the_paper() -> None:
    assert alibi_slopes(8) == [2.0**-i for i in range(1, 9)]
    assert alibi_slopes(4) == [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]
    assert alibi_slopes(12)[8:] == pytest.approx([2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5])


def test_alibi_subtracts_a_penalty_for_each_step_of_distance() -> None:
    bias = alibi_bias(2, torch.tensor([2, 3]), torch.arange(4), torch.float32)
    # Slopes of two heads are 1/16 and 1/256; keys after the query are masked elsewhere.
    expected = torch.tensor([[-2.0, -1.0, 0.0, 1.0], [-3.0, -2.0, -1.0, 0.0]])
    torch.testing.assert_close(bias, torch.stack([expected / 16, expected / 256]))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope", "alibi"])
@torch.inference_mode()
def test_the_order_of_earlier_tokens_matters(positions: str) -> None:
    model = lively_model(positional_encoding=positions, n_layer=1)
    forward = model(torch.tensor([[1, 2, 3, 4]]))[0, -1]
    swapped = model(torch.tensor([[2, 1, 3, 4]]))[0, -1]
    assert not torch.allclose(forward, swapped, atol=1e-4)


@torch.inference_mode()
def test_without_positions_one_layer_ignores_the_order_of_tokens() -> None:
    model = lively_model(positional_encoding="none", n_layer=1)
    forward = model(torch.tensor([[1, 2, 3, 4]]))[0, -1]
    swapped = model(torch.tensor([[2, 1, 3, 4]]))[0, -1]
    torch.testing.assert_close(forward, swapped)
