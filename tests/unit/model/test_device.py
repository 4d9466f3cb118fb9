import pytest
import torch

from transformer_playground.errors import ConfigError
from transformer_playground.model.device import choose_precision


def test_float16_without_cuda_is_rejected_for_training_and_sampling() -> None:
    with pytest.raises(ConfigError, match=r"float16' needs a CUDA device, not cpu") as caught:
        choose_precision("float16", torch.device("cpu"), 10)
    assert "train" not in str(caught.value)
