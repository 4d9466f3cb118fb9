"""A model whose weights diverged in training."""

import math

import pytest
import torch

from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import SamplingError
from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.model.gpt import GPT


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_with_nan_output_is_refused(bad: float, temperature: float) -> None:
    model = GPT(ModelConfig(n_layer=1, n_head=2, n_embd=8, block_size=8), 11)
    with torch.no_grad():
        next(model.parameters()).fill_(bad)
    settings = SamplingSettings(
        max_new_tokens=3, temperature=temperature, top_k=0, top_p=1.0, seed=1
    )
    with pytest.raises(SamplingError, match="is NaN"):
        generate(model, [1, 2], settings)
