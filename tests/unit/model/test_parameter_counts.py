from hypothesis import given, settings

from builders.models import architectures, tiny_config
from transformer_playground.config.model import ModelConfig
from transformer_playground.model.gpt import GPT
from transformer_playground.model.interface import count_parameters


def _expected(config: ModelConfig, vocab: int) -> int:
    """Counted on paper, from the configuration alone."""
    width, bias = config.n_embd, config.bias
    kv_width = config.kv_heads * config.head_dim
    norm = width * (2 if config.norm == "layernorm" and bias else 1)
    attention = width * (width + 2 * kv_width) + width * width
    attention += (2 * width + 2 * kv_width) if bias else 0
    block = norm + attention
    if config.mlp_enabled:
        ways_in = 2 if config.activation in ("swiglu", "geglu") else 1
        block += (ways_in + 1) * width * config.mlp_hidden
        block += (ways_in * config.mlp_hidden + width) if bias else 0
        block += 0 if config.parallel_residual else norm
    total = vocab * width * (1 if config.tie_embeddings else 2)
    total += config.block_size * width if config.positional_encoding == "learned" else 0
    total += norm if config.norm_position == "pre" else 0
    return total + config.n_layer * block


@settings(max_examples=200, deadline=None)
@given(config=architectures())
def test_a_model_has_exactly_the_parameters_its_settings_say(config: ModelConfig) -> None:
    model = GPT(config, 17)
    assert count_parameters(model) == _expected(config, 17)
    stored = sum(tensor.numel() for tensor in model.state_dict().values())
    assert stored == count_parameters(model)


def test_gpt2_small_has_its_124_million_parameters() -> None:
    config = ModelConfig(n_layer=12, n_head=12, n_embd=768, block_size=1024, bias=True)
    assert _expected(config, 50257) == 124_439_808


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
