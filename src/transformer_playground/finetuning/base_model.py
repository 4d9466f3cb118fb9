"""Base models: load them from the hub, its cache or a folder, and compute their fingerprint.

Only safetensors and GGUF files are read, and no code that comes with a model is run.
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
from transformer_playground.errors import ModelError
from transformer_playground.files import sampled_bytes, spread_indices
from transformer_playground.hub import translate_load_errors
from transformer_playground.model.device import Precision, auto_precision, choose_precision

# With fewer bytes of weights, the casts of bfloat16 cost more than it gains.
_SMALL_FILES = 2_000_000
_SHOWN_NAMES = 3
_GGUF_MAGIC = b"GGUF"
_ROWS_READ = 4


def choose_base_precision(hf: HfModelConfig, device: torch.device) -> Precision:
    """The dtype of the frozen weights and the activations; adapters are always trained in float32.

    Raises:
        ConfigError: The device does not support the configured dtype.
        ModelError: "auto" needs the size of the model, which cannot be loaded.
    """
    if hf.dtype == "auto":
        return auto_precision(
            device,
            is_small=lambda: sum(path.stat().st_size for path in weight_files(hf)) < _SMALL_FILES,
        )
    if (
        hf.dtype == "bfloat16"
        and device.type == "mps"
        and not (torch.backends.mps.is_macos_or_newer(14, 0))
    ):
        return Precision(torch.float32, "bfloat16 on MPS needs macOS 14; fell back to float32")
    return choose_precision(hf.dtype, device, setting="hf_model.dtype")


def load_base(hf: HfModelConfig, *, device: torch.device, dtype: torch.dtype) -> Any:
    """Load a causal language model with its pretrained weights, in evaluation mode.

    Returns:
        A transformers model on `device`.

    Raises:
        ModelError: It cannot be loaded, is not a causal language model, lacks weights, or its
            folder has an adapter.
    """
    check_no_adapter(hf)
    if hf.gguf_file is not None:
        _check_gguf(hf)
    with translate_load_errors(hf.model_name, hf.revision), _without_progress_bar(hf):
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
            # Reported by _check_complete.
            ignore_mismatched_sizes=True,
            **options,
        )
        model, report = loaded
        _check_complete(hf.model_name, report)
        if hf.gguf_file is not None:
            # The tensors are dequantized; otherwise transformers would not save the model.
            model.hf_quantizer.remove_quantization_config(model)
        return model.to(device)


def base_shapes(hf: HfModelConfig) -> Any:
    """A causal language model on the meta device, which has shapes but no weights.

    Nothing is downloaded: only the configuration is read, from a folder or the cache of the hub.

    Raises:
        ModelError: There is none, or it is not that of a causal language model.
    """
    with translate_load_errors(hf.model_name, hf.revision):
        from transformers import AutoConfig, AutoModelForCausalLM

        options: dict[str, Any] = {} if hf.gguf_file is None else {"gguf_file": hf.gguf_file}
        if hf.revision is not None:
            options["revision"] = hf.revision
        config = AutoConfig.from_pretrained(hf.model_name, local_files_only=True, **options)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _check_gguf(hf: HfModelConfig) -> None:
    # The GGUF reader fails on other files in many ways.
    (path,) = weight_files(hf)
    with path.open("rb") as file:
        if file.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise ModelError(
                f"{hf.gguf_file} of {hf.model_name} is not a GGUF file.",
                "Download it again and check hf_model.gguf_file.",
            )


@contextlib.contextmanager
def _without_progress_bar(hf: HfModelConfig) -> Iterator[None]:
    """Disable the progress bar of GGUF tensors, for which transformers has no option."""
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
    # transformers initialises missing weights randomly and only logs it.
    missing = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if missing:
        shown = ", ".join(missing[:_SHOWN_NAMES])
        raise ModelError(
            f"{model_name} lacks {len(missing)} of the weights of a causal language model, "
            f"such as {shown}.",
            "It is not a causal language model, or its files do not match its config.json.",
        )


def check_no_adapter(hf: HfModelConfig) -> None:
    """Reject a folder or repository with an adapter, which transformers would apply silently.

    Raises:
        ModelError: It has an adapter, or cannot be loaded.
    """
    with translate_load_errors(hf.model_name, hf.revision):
        from transformers.utils.peft_utils import find_adapter_config_file

        if find_adapter_config_file(hf.model_name, revision=hf.revision) is not None:
            raise ModelError(
                f"{hf.model_name} has an adapter (adapter_config.json), not only a model.",
                "Merge it with its base model first (`tp export-adapter RUN --merge`, or PEFT's "
                "merge_and_unload) and use the merged folder; or remove the adapter's files.",
            )


def weight_files(hf: HfModelConfig) -> list[Path]:
    """Local paths of the weight files, downloaded from the hub if they are missing.

    Raises:
        ModelError: They cannot be loaded, or there is an adapter with them.
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
    """Fingerprint of a base model: a hash of the name, dtype, shape and some rows of each tensor.

    It is computed from the files, so it depends neither on the dtype the model is loaded in nor on
    the location and sharding of the files.

    Raises:
        ModelError: The weights cannot be loaded.
    """
    files = weight_files(hf)
    with translate_load_errors(hf.model_name, hf.revision):
        if hf.gguf_file is not None:
            return _digest(b"gguf " + sampled_bytes(files[0]))
        lines = sorted(line for path in files for line in _tensor_lines(path))
        return _digest("".join(lines).encode())


def check_fingerprint(hf: HfModelConfig, expected: str) -> None:
    """Check that the base model is the one that an adapter was trained on.

    Raises:
        ModelError: It is another one, or cannot be loaded.
    """
    if base_fingerprint(hf) != expected:
        raise ModelError(
            f"The adapter belongs to another base model: the weights of {hf.model_name} differ.",
            "Restore the former files, or set hf_model.revision to the commit used in training.",
        )


def _file(hf: HfModelConfig, name: str) -> Path:
    from transformers.utils.hub import cached_file

    path: Any = cached_file(hf.model_name, name, revision=hf.revision)
    return Path(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _tensor_lines(path: Path) -> list[str]:
    """A line for each tensor of a file: its name, and a hash of its dtype, shape and some rows."""
    from safetensors import safe_open

    lines = []
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            tensor = file.get_slice(name)
            shape = tensor.get_shape()
            content = f"{tensor.get_dtype()} {shape} ".encode()
            for row in spread_indices(shape[0] if shape else 0, _ROWS_READ):
                values = tensor[row : row + 1].contiguous()
                content += values.view(torch.uint8).numpy().tobytes()
            lines.append(f"{name} {_digest(content)}\n")
    return lines
