"""Shapes for a number of parameters."""

import pytest

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import UsageError
from transformer_playground.scaling.shapes import parse_sizes, shape_for

MODEL = ModelConfig(n_layer=4, n_head=4, n_embd=128)
VOCAB = 65


@pytest.mark.parametrize("target", [2e4, 1e5, 1e6, 1e7, 1e9])
def test_a_shape_has_about_the_wanted_size_and_the_ratio_of_the_experiment(target: float) -> None:
    shape = shape_for(target, MODEL, VOCAB)

    assert 0.85 < shape.parameters / target < 1.15
    # 32 wide per layer; a single layer cannot be less deep.
    assert 0.6 < shape.n_embd / shape.n_layer / 32 < 1.6
    # A valid model, of the size that was said.
    model = ModelConfig(n_layer=shape.n_layer, n_head=shape.n_head, n_embd=shape.n_embd)
    assert model.parameter_count(VOCAB) == shape.parameters


def test_the_own_size_of_an_experiment_is_its_own_shape() -> None:
    shape = shape_for(MODEL.parameter_count(VOCAB), MODEL, VOCAB)

    assert (shape.n_layer, shape.n_embd, shape.n_head) == (4, 128, 4)


def test_a_size_can_be_width_and_layers_and_sizes_are_sorted() -> None:
    shapes = parse_sizes("128x4, 20k,64x2", MODEL, VOCAB)

    assert [(shape.n_embd, shape.n_layer) for shape in shapes] == [(36, 1), (64, 2), (128, 4)]


def test_rotary_heads_have_pairs_of_channels_and_shared_keys_divide_the_heads() -> None:
    model = ModelConfig(n_layer=2, n_head=4, n_kv_head=2, n_embd=24, positional_encoding="rope")

    for width in range(4, 100, 2):
        (shape,) = parse_sizes(f"{width}x2", model, VOCAB)
        # Its check refuses what does not divide.
        ModelConfig(
            n_layer=2,
            n_embd=width,
            n_head=shape.n_head,
            n_kv_head=shape.n_kv_head,
            positional_encoding="rope",
        )


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ("big", "'big' is not a size"),
        ("20k,,50k", "'' is not a size"),
        ("0x3", "is not a size"),
        ("-5", "is not a size"),
        ("20", "No shape of this experiment has about 20 parameters"),
        ("20k,20.1k", "are the same shape, 36x1"),
    ],
)
def test_what_is_no_size_is_refused_in_a_sentence(sizes: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_sizes(sizes, MODEL, VOCAB)
