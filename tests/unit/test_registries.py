"""Every registry has exactly the names that the schema allows."""

from collections.abc import Collection
from typing import Any, get_args

import pytest

from transformer_playground.config.model import GATED, Activation, Norm, PositionalEncoding
from transformer_playground.config.prepare import PrepareConfig, TokenizerType
from transformer_playground.config.train import MATRIX_OPTIMIZERS, Optimizer, Schedule
from transformer_playground.data.tokenizers import tokenizers
from transformer_playground.model.layers import ACTIVATIONS, NORMS
from transformer_playground.model.positions import POSITIONS
from transformer_playground.training.optimizers import OPTIMIZERS
from transformer_playground.training.schedules import SCHEDULES


@pytest.mark.parametrize(
    ("choices", "registry"),
    [
        (TokenizerType, tokenizers()),
        (PositionalEncoding, POSITIONS),
        (Norm, NORMS),
        (Activation, ACTIVATIONS),
        (Optimizer, OPTIMIZERS),
        (Schedule, SCHEDULES),
    ],
    ids=["tokenizer", "positions", "norm", "activation", "optimizer", "schedule"],
)
def test_a_registry_has_the_names_of_the_schema(choices: Any, registry: Collection[str]) -> None:
    assert set(registry) == set(get_args(choices))


def test_tokenizers_bear_their_names_and_read_settings_that_exist() -> None:
    for name, tokenizer in tokenizers().items():
        assert tokenizer.kind == name
        assert set(tokenizer.settings) <= PrepareConfig.model_fields.keys()


def test_subsets_of_choices_name_choices() -> None:
    assert set(get_args(Activation)) >= GATED
    assert set(get_args(Optimizer)) >= MATRIX_OPTIMIZERS
