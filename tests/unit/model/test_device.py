from collections.abc import Iterator
from typing import Any

import pytest
import torch

from transformer_playground.errors import ConfigError
from transformer_playground.model import device
from transformer_playground.model.device import choose_precision, set_tf32


def test_float16_without_cuda_is_rejected_for_training_and_sampling() -> None:
    with pytest.raises(ConfigError, match=r"float16' needs a CUDA device, not cpu") as caught:
        choose_precision("float16", torch.device("cpu"), 10)
    assert "train" not in str(caught.value)


@pytest.fixture
def matmul() -> Iterator[Any]:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    yield matmul
    matmul.allow_tf32 = before


@pytest.mark.parametrize(("enabled", "name"), [(True, "tf32"), (False, "ieee")])
def test_tf32_is_switched_for_cuda_by_both_of_its_settings(
    enabled: bool, name: str, matmul: Any
) -> None:
    set_tf32(torch.device("cuda"), enabled=enabled)

    assert (matmul.fp32_precision, matmul.allow_tf32) == (name, enabled)


def test_tf32_of_other_devices_is_left_alone(matmul: Any) -> None:
    before = matmul.allow_tf32

    set_tf32(torch.device("cpu"), enabled=not before)

    assert matmul.allow_tf32 == before


@pytest.mark.parametrize(("parameters", "dtype"), [(20_000, "float32"), (100_000, "bfloat16")])
def test_only_the_smallest_models_train_in_float32_where_the_cpu_has_bfloat16(
    monkeypatch: pytest.MonkeyPatch, parameters: int, dtype: str
) -> None:
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: True)
    chosen = choose_precision("auto", torch.device("cpu"), parameters)
    assert chosen.name == dtype
