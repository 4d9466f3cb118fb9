"""Checkpoint loading: read a payload, rebuild its model.

Files are read only by `torch.load(weights_only=True)`, since a pickle can run code.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.checkpoints import nanogpt
from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.checkpoints.format import check_payload, model_config, sidecar_path
from transformer_playground.config.finetuning import is_model_path
from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import CheckpointError
from transformer_playground.formatting import size_text

if TYPE_CHECKING:
    import torch

    from transformer_playground.model.base import LanguageModel
    from transformer_playground.model.gpt import GPT

_HINT = "Choose another checkpoint, or restore this file."


def load_payload(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU; a nanoGPT checkpoint is converted.

    Args:
        path: The file; it is checked against its sidecar if there is one.

    Returns:
        A payload with every key of the format (see `format.py`).

    Raises:
        CheckpointError: The file is missing, damaged, of another program or of another version.
    """
    payload = _read(path)
    try:
        if nanogpt.is_nanogpt(payload):
            payload = nanogpt.convert(payload)
        check_payload(payload)
    except CheckpointError as error:
        raise _unusable(path, error.message) from error
    return payload


def load_nanogpt(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load a nanoGPT checkpoint onto the CPU: its own content, and the payload converted from it.

    Raises:
        CheckpointError: The file is missing, damaged or of another program.
    """
    content = _read(path)
    if "format" in content:
        raise CheckpointError(
            f"{path} is a checkpoint of this program.",
            "It needs no import: copy its whole run folder into the runs folder.",
        )
    if not nanogpt.is_nanogpt(content):
        raise _unusable(path, "it is not a nanoGPT checkpoint")
    try:
        payload = nanogpt.convert(content)
        check_payload(payload)
    except CheckpointError as error:
        raise _unusable(path, error.message) from error
    return content, payload


def _refuse_compressed(path: Path) -> None:
    """Refuse an archive that unpacks to more than its own size: checkpoints are not compressed.

    Raises:
        CheckpointError: It would unpack to more.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        # torch reports what is wrong with it.
        return
    size = path.stat().st_size
    if unpacked > size:
        reason = f"it claims to unpack to {size_text(unpacked)}, more than its {size_text(size)}"
        raise _unusable(path, reason)


def build_model(
    payload: Mapping[str, Any],
    *,
    device: "torch.device | str" = "cpu",
    dtype: "torch.dtype | None" = None,
    use_ema: bool = True,
    base: str | None = None,
) -> "LanguageModel":
    """Build the model of a payload, in evaluation mode.

    Args:
        payload: From `load_payload`.
        device: Device of the model.
        dtype: Dtype of the weights; None = float32, or for a finetuned model the choice of
            `hf_model.dtype` on this device.
        use_ema: Use the EMA weights if the payload has them.
        base: New name or path of the base model of a finetuned model; None = as saved.

    Raises:
        CheckpointError: The weights do not fit the model arguments.
        ModelError: The base model cannot be loaded or is not the one that was finetuned.
    """
    weights = averaged_weights(payload) if use_ema else payload["model"]
    if payload["kind"] == "lora":
        import torch

        from transformer_playground.finetuning.build import rebuild

        args = _with_base(payload["model_args"], base)
        return rebuild(args, weights, device=torch.device(device), dtype=dtype)
    return _build_gpt(payload["model_args"], weights).to(device=device, dtype=dtype).eval()


def averaged_weights(payload: Mapping[str, Any]) -> "Mapping[str, torch.Tensor]":
    """EMA weights of a payload, or its latest weights if it has no EMA."""
    weights: Mapping[str, torch.Tensor] = payload["ema"]
    return payload["model"] if weights is None else weights


def _with_base(args: Mapping[str, Any], base: str | None) -> Mapping[str, Any]:
    """The arguments with another base model name or path; a folder has no revision."""
    stated = args.get("hf_model")
    if base is None or not isinstance(stated, Mapping):
        return args
    revision = None if is_model_path(base) else stated.get("revision")
    return {**args, "hf_model": {**stated, "model_name": base, "revision": revision}}


def _build_gpt(args: Mapping[str, Any], weights: "Mapping[str, torch.Tensor]") -> "GPT":
    from transformer_playground.model.gpt import GPT

    config, vocab_size = model_config(args)
    _check_bounds(config, vocab_size, weights)
    try:
        model = GPT(config, vocab_size)
    except (RuntimeError, MemoryError) as error:
        raise CheckpointError(
            "The checkpoint's model arguments need more memory than is available.", _HINT
        ) from error
    _check_fit({name: tuple(value.shape) for name, value in model.state_dict().items()}, weights)
    model.load_state_dict(weights)
    return model


def _read(path: Path) -> dict[str, Any]:
    # Imported late: finding and checking files must not load torch.
    import torch

    _check_bytes(path)
    _refuse_compressed(path)
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise _unusable(path, "there is no such file") from None
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    except Exception as error:
        # The errors for a damaged archive are not documented: at least RuntimeError, EOFError,
        # UnpicklingError, KeyError, ValueError, TypeError, AttributeError and UnicodeDecodeError.
        raise _unusable(path, "it is damaged or not a checkpoint") from error
    if not isinstance(payload, dict):
        raise _unusable(path, f"it holds a {type(payload).__name__}, not a checkpoint")
    return payload


def _check_bytes(path: Path) -> None:
    if not sidecar_path(path).exists():
        return
    try:
        scan_folder(path.parent).check(path)
    except CheckpointError:
        # A save may be replacing this pointer at this moment, so try a second time.
        try:
            scan_folder(path.parent).check(path)
        except CheckpointError as error:
            raise _unusable(path, error.message) from error


def _check_bounds(
    config: ModelConfig, vocab_size: int, weights: "Mapping[str, torch.Tensor]"
) -> None:
    """Reject model arguments that would allocate all memory, before the model is built."""
    if config.n_layer > len(weights):
        raise CheckpointError(
            f"The checkpoint has {len(weights)} weights, too few for {config.n_layer} layers.",
            _HINT,
        )
    expected: dict[str, tuple[int, ...]] = {"token_embedding.weight": (vocab_size, config.n_embd)}
    if config.position_table:
        expected["positions.weight"] = config.position_table
    if config.mlp_enabled:
        expected["blocks.0.mlp.up.weight"] = (config.mlp_hidden, config.n_embd)
    _check_fit(expected, {name: weights[name] for name in expected.keys() & weights.keys()})


def _check_fit(
    expected: Mapping[str, tuple[int, ...]], weights: "Mapping[str, torch.Tensor]"
) -> None:
    for name in sorted(expected.keys() - weights.keys()):
        raise CheckpointError(f"The checkpoint lacks the weight '{name}'.", _HINT)
    for name in sorted(weights.keys() - expected.keys()):
        raise CheckpointError(
            f"The checkpoint has a weight '{name}' that its model does not have.", _HINT
        )
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise CheckpointError(
                f"The weight '{name}' has shape {tuple(weights[name].shape)}, but its model "
                f"needs {shape}.",
                _HINT,
            )


def _unusable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint {path} cannot be used: {reason}.", _HINT)
