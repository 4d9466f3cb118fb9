from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from builders.models import architectures, tiny_config, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.model.base import count_parameters
from transformer_playground.model.gpt import GPT


@settings(max_examples=200, deadline=None)
@given(config=architectures())
def test_a_model_has_exactly_the_predicted_number_of_parameters(config: ModelConfig) -> None:
    model = GPT(config, 17)
    assert count_parameters(model) == config.parameter_count(17)
    stored = sum(tensor.numel() for tensor in model.state_dict().values())
    assert stored == count_parameters(model)


@settings(max_examples=25, deadline=None)
@given(config=architectures())
def test_matrix_products_of_forward_and_backward_are_counted_exactly(config: ModelConfig) -> None:
    model = GPT(config, 17)
    tokens = tokens_of(0, 2, 10, vocab_size=17)
    with FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    assert counter.get_total_flops() == tokens.numel() * config.flop_per_token(17, 10)
    names = model.hidden_matrices()
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert config.hidden_parameter_count == sum(sizes[name] for name in names)


def test_gpt2_small_has_its_124_million_parameters() -> None:
    config = ModelConfig(n_layer=12, n_head=12, n_embd=768, block_size=1024, bias=True)
    assert config.parameter_count(50257) == 124_439_808


def test_an_mlp_switched_off_is_not_allocated() -> None:
    names = GPT(tiny_config(mlp_enabled=False), 17).state_dict()
    assert not [name for name in names if "mlp" in name]


def test_only_the_matrices_inside_the_blocks_are_hidden_matrices() -> None:
    model = GPT(tiny_config(n_layer=1, bias=True, activation="swiglu", tie_embeddings=False), 17)
    assert model.hidden_matrices() == {
        "blocks.0.attention.qkv.weight",
        "blocks.0.attention.output.weight",
        "blocks.0.mlp.gate.weight",
        "blocks.0.mlp.up.weight",
        "blocks.0.mlp.down.weight",
    }
