import itertools
import math

import pytest
import torch
from hypothesis import given, settings

from builders.models import architectures, tiny_config, tiny_model, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model.gpt import GPT
from transformer_playground.model.loss import summed_cross_entropy

_VOCAB = 65


def _untrained_loss(config: ModelConfig) -> float:
    model = GPT(config, _VOCAB, generator=torch.Generator().manual_seed(3)).eval()
    length = config.block_size
    inputs, targets = tokens_of(1, 16, length, _VOCAB), tokens_of(2, 16, length, _VOCAB)
    with torch.inference_mode():
        return summed_cross_entropy(model(inputs), targets).item() / targets.numel()


@settings(max_examples=100, deadline=None)
@given(config=architectures())
def test_an_untrained_model_of_any_architecture_predicts_uniformly(config: ModelConfig) -> None:
    assert _untrained_loss(config) == pytest.approx(math.log(_VOCAB), rel=0.03)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rope", "alibi", "none"])
def test_a_wide_untrained_model_predicts_uniformly(positions: str) -> None:
    for tied, norm, zero, (norm_position, parallel) in itertools.product(
        (True, False),
        ("layernorm", "rmsnorm"),
        (True, False),
        (("pre", False), ("pre", True), ("post", False)),
    ):
        config = tiny_config(
            n_layer=1,
            n_embd=384,
            positional_encoding=positions,
            tie_embeddings=tied,
            norm=norm,
            zero_init_output=zero,
            norm_position=norm_position,
            parallel_residual=parallel,
        )
        assert _untrained_loss(config) == pytest.approx(math.log(_VOCAB), rel=0.03), config


@pytest.mark.parametrize("n_layer", [1, 8])
def test_the_untrained_loss_does_not_depend_on_depth(n_layer: int) -> None:
    assert _untrained_loss(tiny_config(n_layer=n_layer, n_embd=64)) == pytest.approx(
        math.log(_VOCAB), rel=0.03
    )


@settings(max_examples=30, deadline=None)
@given(config=architectures())
def test_the_same_seed_gives_the_same_weights_whatever_the_global_generator(
    config: ModelConfig,
) -> None:
    torch.manual_seed(1)
    first = GPT(config, _VOCAB, generator=torch.Generator().manual_seed(7)).state_dict()
    torch.manual_seed(2)
    second = GPT(config, _VOCAB, generator=torch.Generator().manual_seed(7)).state_dict()
    other = GPT(config, _VOCAB, generator=torch.Generator().manual_seed(8)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])


def test_building_a_model_does_not_advance_the_global_generator() -> None:
    before = torch.get_rng_state()
    tiny_model()
    assert torch.equal(torch.get_rng_state(), before)


def test_every_weight_is_set() -> None:
    # Uninitialised memory has arbitrary content, so two models would differ.
    config = tiny_config(bias=True, activation="swiglu", tie_embeddings=False)
    first, second = GPT(config, _VOCAB).state_dict(), GPT(config, _VOCAB).state_dict()
    for name, weights in first.items():
        assert torch.equal(weights, second[name]), name
        assert weights.abs().max() < 10, name


def test_branches_that_start_at_zero_pass_the_residual_stream_through() -> None:
    model = tiny_model(zero_init_output=True)
    tokens = tokens_of(0, 2, 12)
    embedded = model.token_embedding(tokens)
    assert model.positions is not None
    embedded = embedded + model.positions(0, 12)
    assert model.final_norm is not None
    torch.testing.assert_close(model.hidden(tokens), model.final_norm(embedded))


def test_matrices_that_write_into_the_residual_stream_start_smaller_in_deep_models() -> None:
    block = tiny_model(n_layer=8, n_embd=64).blocks[0]
    inner = block.get_parameter("mlp.up.weight").std().item()
    output = block.get_parameter("mlp.down.weight").std().item()
    assert inner == pytest.approx(0.02, rel=0.1)
    assert output == pytest.approx(0.02 / 4, rel=0.1)
