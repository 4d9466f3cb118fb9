"""Which files hold a base model's weights, and what tells it from any other base model."""

import hashlib
import json
from pathlib import Path
from typing import Any

from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.errors import ModelError
from transformer_playground.files import sampled_bytes, spread_indices
from transformer_playground.hub import explained

_ROWS_READ = 4


def check_no_adapter(hf: HfModelConfig) -> None:
    """Refuse a folder or repository with an adapter: transformers would apply it without a word.

    Raises:
        ModelError: It holds an adapter, or cannot be had.
    """
    with explained(hf.model_name, hf.revision):
        from transformers.utils.peft_utils import find_adapter_config_file

        if find_adapter_config_file(hf.model_name, revision=hf.revision) is not None:
            raise ModelError(
                f"{hf.model_name} holds an adapter (adapter_config.json), not a model alone.",
                "Merge it with its base first (`tp export-adapter RUN --merge`, or PEFT's "
                "merge_and_unload) and name the merged folder; or take the adapter's files out.",
            )


def weight_files(hf: HfModelConfig) -> list[Path]:
    """The files that hold the weights, on this disk; fetched from the hub if they are missing.

    Raises:
        ModelError: They cannot be had, or an adapter lies with them.
    """
    check_no_adapter(hf)
    with explained(hf.model_name, hf.revision):
        if hf.gguf_file is not None:
            return [_file(hf, hf.gguf_file)]
        try:
            return [_file(hf, "model.safetensors")]
        except OSError as not_whole:
            try:
                index = _file(hf, "model.safetensors.index.json")
            except OSError:
                raise not_whole from None
        parts = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        return [_file(hf, part) for part in parts]


def base_fingerprint(hf: HfModelConfig) -> str:
    """Tells a base model from another one, quickly: a hash of every weight's name and some values.

    A few rows of each tensor are read, so that a variant which was trained differs wherever it was
    trained. It is taken from the files: it does not depend on the format that the weights are
    loaded in, on how they are spread over files, or on where these lie.

    Raises:
        ModelError: The weights cannot be had or read.
    """
    files = weight_files(hf)
    with explained(hf.model_name, hf.revision):
        if hf.gguf_file is not None:
            return _shortened(b"gguf " + sampled_bytes(files[0]))
        marks = sorted(mark for path in files for mark in _tensor_marks(path))
        return _shortened("".join(marks).encode())


def check_fingerprint(hf: HfModelConfig, expected: str) -> None:
    """Refuse a base model that is not the one an adapter was trained on.

    Raises:
        ModelError: It is another one, or cannot be had.
    """
    if base_fingerprint(hf) != expected:
        raise ModelError(
            f"The adapter belongs to another base model than {hf.model_name} is now.",
            "An adapter is a difference to the very weights that it was trained on: give back the "
            "former files, or set hf_model.revision to the commit that was used.",
        )


def _file(hf: HfModelConfig, name: str) -> Path:
    from transformers.utils.hub import cached_file

    path: Any = cached_file(hf.model_name, name, revision=hf.revision)
    return Path(path)


def _shortened(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _tensor_marks(path: Path) -> list[str]:
    """A line for each tensor of a file: its name, and a hash of its format, shape and some rows."""
    import torch
    from safetensors import safe_open

    marks = []
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            tensor = file.get_slice(name)
            shape = tensor.get_shape()
            content = f"{tensor.get_dtype()} {shape} ".encode()
            for row in spread_indices(shape[0] if shape else 0, _ROWS_READ):
                values = tensor[row : row + 1].contiguous()
                content += values.view(torch.uint8).numpy().tobytes()
            marks.append(f"{name} {_shortened(content)}\n")
    return marks
