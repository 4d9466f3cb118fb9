"""What a GGUF file holds, and writing it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from numpy.typing import NDArray
from torch import Tensor

from transformer_playground.errors import ExportError

Value = bool | int | float | str | Sequence[bool] | Sequence[int] | Sequence[float] | Sequence[str]

WEIGHT_TYPES = ("f32", "f16", "bf16", "q8_0")
"""Types of the matrices that are written without another program."""

_TYPES: Mapping[str, tuple[GGMLQuantizationType, LlamaFileType]] = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class ModelFile:
    """Content of a GGUF file.

    Attributes:
        architecture: Value of `general.architecture`.
        keys: Metadata by their full names.
        tensors: Called for all tensors, float32, one at a time; each call gives them again.
    """

    architecture: str
    keys: Mapping[str, Value]
    tensors: Callable[[], Iterator[tuple[str, Tensor]]]


def write_model_file(content: ModelFile, path: Path, weights: str) -> None:
    """Write a GGUF file.

    Args:
        content: What it holds.
        path: The new file.
        weights: Type of the matrices, one of `WEIGHT_TYPES`; vectors and position tables are
            float32. Rows that do not consist of whole blocks are float16.

    Raises:
        ExportError: A weight is too large for float16.
        OSError: While writing.
    """
    kind, file_type = _TYPES[weights]
    writer = GGUFWriter(path, content.architecture)
    try:
        for key, value in content.keys.items():
            _add(writer, key, value)
        writer.add_file_type(file_type)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for name, tensor in content.tensors():
            own = _tensor_type(name, tuple(tensor.shape), kind)
            shape = _stored_shape(tuple(tensor.shape), own)
            itemsize = np.dtype(_STORED.get(own, np.uint8)).itemsize
            size = int(np.prod(shape)) * itemsize
            writer.add_tensor_info(name, shape, np.dtype(_STORED.get(own, np.uint8)), size, own)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in content.tensors():
            own = _tensor_type(name, tuple(tensor.shape), kind)
            writer.write_tensor_data(_stored(name, tensor, own))
    finally:
        writer.close()


_STORED: Mapping[GGMLQuantizationType, type] = {
    GGMLQuantizationType.F32: np.float32,
    GGMLQuantizationType.F16: np.float16,
}


def _add(writer: GGUFWriter, key: str, value: Value) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def _tensor_type(
    name: str, shape: tuple[int, ...], wanted: GGMLQuantizationType
) -> GGMLQuantizationType:
    if len(shape) < 2 or name == "position_embd.weight":
        return GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if shape[-1] % block == 0 else GGMLQuantizationType.F16


def _stored_shape(shape: tuple[int, ...], kind: GGMLQuantizationType) -> tuple[int, ...]:
    if kind in _STORED:
        return shape
    return gguf.quants.quant_shape_to_byte_shape(shape, kind)


def _stored(name: str, tensor: Tensor, kind: GGMLQuantizationType) -> NDArray[Any]:
    values = np.ascontiguousarray(tensor.detach().float().numpy())
    # The scales of the 8-bit format are float16.
    scaled = {GGMLQuantizationType.F16: 1.0, GGMLQuantizationType.Q8_0: 127.0}
    if kind in scaled and np.abs(values).max(initial=0.0) / scaled[kind] > _LARGEST_FLOAT16:
        raise ExportError(
            f"a weight of {name} is {np.abs(values).max():.3g}, too large for float16.",
            "Export with --dtype bfloat16 or float32.",
        )
    return gguf.quants.quantize(values, kind)
