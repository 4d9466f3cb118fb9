import pytest
import torch
from hypothesis import given, settings

from builders.models import architectures, lively_model, tiny_model, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model.gpt import GPT
from transformer_playground.model.layers import ACTIVATIONS
from transformer_playground.model.loss import summed_cross_entropy


def test_logits_have_one_row_for_each_token() -> None:
    assert tiny_model(vocab_size=17)(tokens_of(0, 3, 7)).shape == (3, 7, 17)


@settings(max_examples=60, deadline=None)
@given(config=architectures())
def test_every_parameter_has_a_gradient(config: ModelConfig) -> None:
    model = lively_model(config=config).train()
    loss = summed_cross_entropy(model(tokens_of(0, 2, 12)), tokens_of(1, 2, 12))
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    for name, gradient in zip(names, gradients, strict=True):
        # One key alone, or two whose size does not count, leave attention no choice to learn.
        biases = "positions" in name and not model.positions.adds_vectors
        indifferent = ("qkv" in name or biases) and config.attention_window == 1
        # A few rectified units may all be inactive for every token.
        is_rectified = config.activation in ("relu", "relu2")
        indifferent |= "mlp" in name and is_rectified and config.mlp_hidden <= 4
        assert indifferent or gradient.abs().max() > 0, name


@settings(max_examples=40, deadline=None)
@given(config=architectures())
def test_bfloat16_is_the_same_model_within_rounding(config: ModelConfig) -> None:
    model = GPT(config, 13).eval()
    tokens, targets = tokens_of(0, 4, 12), tokens_of(1, 4, 12)
    exact = summed_cross_entropy(model(tokens), targets)
    rounded = model.to(torch.bfloat16)(tokens)
    assert rounded.dtype == torch.bfloat16
    loss = summed_cross_entropy(rounded, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.01, atol=0)


def test_a_softcap_bounds_logits_and_keeps_small_ones() -> None:
    free, capped = lively_model(), lively_model(logit_softcap=3.0)
    capped.load_state_dict(free.state_dict())
    tokens = tokens_of(0, 2, 12)
    logits = free(tokens)
    assert logits.abs().max() > 3
    torch.testing.assert_close(capped(tokens), 3 * torch.tanh(logits / 3))


def test_a_tied_head_is_the_embedding_table() -> None:
    model = lively_model()
    hidden = model.hidden(tokens_of(0, 2, 5))
    torch.testing.assert_close(model.logits(hidden), hidden @ model.token_embedding.weight.T)


def test_gated_activations_multiply_two_projections() -> None:
    model = lively_model(activation="swiglu", bias=True)
    mlp = model.blocks[0].get_submodule("mlp")
    x = torch.randn(3, 16)
    gate, up = mlp.get_submodule("gate")(x), mlp.get_submodule("up")(x)
    expected = mlp.get_submodule("down")(gate * gate.sigmoid() * up)
    torch.testing.assert_close(mlp(x), expected)


@pytest.mark.parametrize(
    ("name", "at_two"),
    [("gelu", 1.9545), ("gelu_tanh", 1.9546), ("relu", 2.0), ("relu2", 4.0), ("silu", 1.7616)],
)
def test_activations_match_their_names(name: str, at_two: float) -> None:
    kind = ACTIVATIONS[name]  # type: ignore[index]
    assert kind(torch.tensor(2.0)).item() == pytest.approx(at_two, abs=1e-4)
    assert kind(torch.tensor(-30.0)).item() == pytest.approx(0, abs=1e-6)


def test_parallel_branches_read_the_same_input() -> None:
    model = lively_model(n_layer=1, parallel_residual=True)
    block = model.blocks[0]
    seen: list[torch.Tensor] = []
    mlp = block.get_submodule("mlp")
    mlp.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    model.hidden(tokens_of(0, 2, 5))
    with torch.no_grad():
        block.get_parameter("attention.output.weight").normal_()
    model.hidden(tokens_of(0, 2, 5))
    assert torch.equal(seen[0], seen[1])


def test_post_norm_leaves_every_block_normalised() -> None:
    model = tiny_model(norm_position="post", norm="rmsnorm")
    hidden = model.hidden(tokens_of(0, 2, 12))
    torch.testing.assert_close(
        hidden.square().mean(dim=-1), torch.ones(2, 12), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_a_larger_norm_eps_changes_the_logits(norm: str) -> None:
    tokens = tokens_of(0, 2, 12)
    small, large = (lively_model(norm=norm, norm_eps=norm_eps)(tokens) for norm_eps in (1e-5, 0.5))
    assert not torch.allclose(small, large, rtol=1e-3)
