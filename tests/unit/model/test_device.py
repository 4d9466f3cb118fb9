from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from transformer_playground.errors import ConfigError
from transformer_playground.model import device
from transformer_playground.model.device import (
    choose_precision,
    current_memory,
    gpu_uuids,
    process_memory,
    set_tf32,
)


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


def test_gpus_are_identified_from_a_device_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda index: SimpleNamespace(uuid=f"{index}-f9")
    )
    assert gpu_uuids(torch.device("cuda", 0), 1) == ("GPU-0-f9",)
    # A device without a number is the current one.
    assert gpu_uuids(torch.device("cuda"), 9) == ("GPU-1-f9", "GPU-2-f9")
    assert gpu_uuids(torch.device("cpu"), 1) == ()


def test_memory_that_the_system_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert current_memory(cpu) == pytest.approx(process_memory(), rel=0.5)

    def refuse(*_: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    assert current_memory(cpu) is None
