"""From a checkpoint file to a payload or a model; every fault becomes one clear sentence.

Files are read by `torch.load(weights_only=True)` and never otherwise: a pickle can run code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.checkpoints import nanogpt
from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.checkpoints.format import check_payload, model_config, sidecar_path
from transformer_playground.config.finetuning import is_model_path
from transformer_playground.config.model import ModelConfig
from transformer_playground.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from transformer_playground.model.base import LanguageModel
    from transformer_playground.model.gpt import GPT

_HINT = "Choose another checkpoint, or restore this file."


def load_payload(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; a nanoGPT one is converted.

    Args:
        path: The file. Its bytes are held against its sidecar when there is one.

    Returns:
        A payload with every key of the format (see `payload.py`).

    Raises:
        CheckpointError: The file is missing, truncated, changed, foreign or of another version, or
            a key is missing or of the wrong type.
    """
    payload = _read(path)
    try:
        if nanogpt.is_legacy(payload):
            payload = nanogpt.convert(payload)
        check_payload(payload)
    except CheckpointError as error:
        raise _unusable(path, error.message) from error
    return payload


def build_model(
    payload: Mapping[str, Any],
    *,
    device: "torch.device | str" = "cpu",
    dtype: "torch.dtype | None" = None,
    use_ema: bool = True,
    base: str | None = None,
) -> "LanguageModel":
    """Build the model of a payload, ready for evaluation.

    Args:
        payload: What `load_payload` returned.
        device: Where the model goes.
        dtype: Type of its floating-point weights; None keeps float32, and for a finetuned model
            what `hf_model.dtype` comes to on this device.
        use_ema: Take the averaged weights where the payload has them.
        base: Where the pretrained model of a finetuned one lies by now; None = where it lay.

    Raises:
        CheckpointError: The weights do not fit the model arguments, or the pretrained model that
            they were trained beside is not the one they find.
        ModelError: The pretrained model cannot be had.
    """
    weights = averaged_weights(payload) if use_ema else payload["model"]
    if payload["kind"] == "lora":
        import torch

        from transformer_playground.finetuning.build import rebuild

        args = _moved(payload["model_args"], base)
        return rebuild(args, weights, device=torch.device(device), dtype=dtype)
    return _build_gpt(payload["model_args"], weights).to(device=device, dtype=dtype).eval()


def averaged_weights(payload: Mapping[str, Any]) -> "Mapping[str, torch.Tensor]":
    """The averaged weights of a payload; the newest ones where no average was kept."""
    weights: Mapping[str, torch.Tensor] = payload["ema"]
    return payload["model"] if weights is None else weights


def _moved(args: Mapping[str, Any], base: str | None) -> Mapping[str, Any]:
    """The arguments with another place for the base model; a folder has no revisions."""
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
            "The checkpoint's model arguments ask for more memory than there is.", _HINT
        ) from error
    _check_fit({name: tuple(value.shape) for name, value in model.state_dict().items()}, weights)
    model.load_state_dict(weights)
    return model


def _read(path: Path) -> dict[str, Any]:
    # Importing torch takes seconds; finding and checking files must not pay for it.
    import torch

    _check_bytes(path)
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise _unusable(path, "there is no such file") from None
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    except Exception as error:
        # What a damaged archive raises is not documented: at least RuntimeError, UnpicklingError,
        # EOFError, KeyError, ValueError, TypeError, AttributeError and UnicodeDecodeError.
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
        # A save may have been switching this very pointer; by now it has passed.
        try:
            scan_folder(path.parent).check(path)
        except CheckpointError as error:
            raise _unusable(path, error.message) from error


def _check_bounds(
    config: ModelConfig, vocab_size: int, weights: "Mapping[str, torch.Tensor]"
) -> None:
    """Refuse a few hostile numbers that would ask for all the memory before anything is built."""
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
            f"The checkpoint has a weight '{name}' that its model arguments do not know.", _HINT
        )
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise CheckpointError(
                f"The weight '{name}' has shape {tuple(weights[name].shape)}, but the model "
                f"arguments ask for {shape}.",
                _HINT,
            )


def _unusable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint {path} cannot be used: {reason}.", _HINT)
