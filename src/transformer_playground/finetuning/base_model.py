"""Base models from the hub, its cache or a folder, and what tells one from another.

Only safe formats are read, and no program code that comes with a model is run.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.files import sampled_bytes, spread_indices
from transformer_playground.hub import translate_load_errors
from transformer_playground.model.device import Precision, cpu_has_bfloat16

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Below this, a step is mostly small kernels, and bfloat16's casts eat its gain.
_SMALL_FILES = 2_000_000
_SHOWN_NAMES = 3
_GGUF_MAGIC = b"GGUF"
_ROWS_READ = 4


def choose_base_precision(hf: HfModelConfig, device: torch.device) -> Precision:
    """The number format of the frozen weights, and why.

    Adapters are trained in float32 whatever it is.

    Raises:
        ConfigError: The device cannot compute in the configured format.
        ModelError: The model is needed to decide and cannot be had.
    """
    if hf.dtype == "auto":
        return _automatic(hf, device)
    if hf.dtype == "float16" and device.type != "cuda":
        raise ConfigError(
            f"hf_model.dtype = 'float16' needs a CUDA device, not {device.type}.",
            "Use 'auto', 'bfloat16' or 'float32'.",
        )
    if hf.dtype == "bfloat16" and device.type == "mps" and not _mps_has_bfloat16():
        return Precision(torch.float32, "bfloat16 on MPS needs macOS 14; fell back to float32")
    return Precision(_FORMATS[hf.dtype], "as configured")


def _automatic(hf: HfModelConfig, device: torch.device) -> Precision:
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(torch.bfloat16, "this GPU computes in bfloat16")
        return Precision(torch.float32, "this GPU has no bfloat16; fell back to float32")
    if device.type == "mps":
        return Precision(torch.float32, "the safe choice on MPS")
    if not cpu_has_bfloat16():
        return Precision(torch.float32, "this CPU has no bfloat16 arithmetic")
    if sum(path.stat().st_size for path in weight_files(hf)) < _SMALL_FILES:
        return Precision(torch.float32, "the model is too small to gain from bfloat16")
    return Precision(torch.bfloat16, "this CPU multiplies matrices in bfloat16")


def _mps_has_bfloat16() -> bool:
    return torch.backends.mps.is_macos_or_newer(14, 0)


def load_base(hf: HfModelConfig, *, device: torch.device, dtype: torch.dtype) -> Any:
    """Load a causal language model with its pretrained weights.

    Weights are read file by file, safetensors or GGUF, straight into the format asked for.

    Returns:
        transformers' model on `device`, in evaluation mode.

    Raises:
        ModelError: It cannot be had, is no causal language model, lacks weights, or has an adapter
            with it.
    """
    check_no_adapter(hf)
    if hf.gguf_file is not None:
        _check_gguf(hf)
    with translate_load_errors(hf.model_name, hf.revision), _without_bar(hf):
        from transformers import AutoModelForCausalLM

        options: dict[str, Any] = (
            {"use_safetensors": True} if hf.gguf_file is None else {"gguf_file": hf.gguf_file}
        )
        if hf.revision is not None:
            options["revision"] = hf.revision
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            hf.model_name,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            # Refused below, by name.
            ignore_mismatched_sizes=True,
            **options,
        )
        model, report = loaded
        _check_complete(hf.model_name, report)
        if hf.gguf_file is not None:
            # Its tensors were made whole; transformers would refuse to write the model otherwise.
            model.hf_quantizer.remove_quantization_config(model)
        return model.to(device)


def _check_gguf(hf: HfModelConfig) -> None:
    # What reads these files fails on others in a dozen ways.
    (path,) = weight_files(hf)
    with path.open("rb") as file:
        if file.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise ModelError(
                f"{hf.gguf_file} of {hf.model_name} is no GGUF file.",
                "Download it again and check hf_model.gguf_file.",
            )


@contextlib.contextmanager
def _without_bar(hf: HfModelConfig) -> Iterator[None]:
    """Keep the bar from being drawn that transformers has no switch for: that of GGUF tensors."""
    if hf.gguf_file is None:
        yield
        return
    from transformers import modeling_gguf_pytorch_utils as gguf

    module: Any = gguf
    bar = module.tqdm
    module.tqdm = functools.partial(bar, disable=True)
    try:
        yield
    finally:
        module.tqdm = bar


def _check_complete(model_name: str, report: dict[str, Any]) -> None:
    # transformers fills what is missing with random numbers and only logs it.
    lacking = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if lacking:
        shown = ", ".join(lacking[:_SHOWN_NAMES])
        raise ModelError(
            f"{model_name} lacks {len(lacking)} of the weights of a causal language model, "
            f"such as {shown}.",
            "It is of another kind, or its files do not fit its config.json.",
        )


def check_no_adapter(hf: HfModelConfig) -> None:
    """Refuse a folder or repository with an adapter: transformers would apply it without a word.

    Raises:
        ModelError: It holds an adapter, or cannot be had.
    """
    with translate_load_errors(hf.model_name, hf.revision):
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
    with translate_load_errors(hf.model_name, hf.revision):
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
    with translate_load_errors(hf.model_name, hf.revision):
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
