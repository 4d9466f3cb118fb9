"""Adapter I/O: save adapters in PEFT's format, or merge them into their base model."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from transformer_playground.errors import CheckpointError
from transformer_playground.files import replace_file, replace_json
from transformer_playground.finetuning.model import AdapterModel

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def save_adapter(
    model: AdapterModel, folder: Path, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Save an adapter that plain PEFT loads with `PeftModel.from_pretrained(base, folder)`.

    The embeddings of the base model must first be resized if they have fewer than `vocab_size`
    rows.

    Args:
        model: The model with adapters.
        folder: Created if missing; each file is replaced atomically.
        weights: Trained parameters by name to save instead of the model's own.

    Raises:
        OSError: OSError while writing.
    """
    from peft import get_peft_model_state_dict

    state = dict(model.adapted.state_dict())
    if weights is not None:
        state |= {name.removeprefix("adapted."): tensor for name, tensor in weights.items()}
    # Embedding rows of new tokens are part of the adapter; the embedding tables are not.
    tensors = get_peft_model_state_dict(
        model.adapted, state_dict=state, save_embedding_layers=False
    )
    # safetensors cannot store shared or strided memory.
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(
        folder / WEIGHTS_FILE, lambda file: file.write(save(contiguous, metadata={"format": "pt"}))
    )
    replace_json(folder / CONFIG_FILE, _config(model))


def _config(model: AdapterModel) -> dict[str, object]:
    """PEFT's adapter configuration; PEFT can only write it to a folder."""
    with tempfile.TemporaryDirectory() as folder:
        model.adapted.peft_config["default"].save_pretrained(folder)
        config: dict[str, object] = json.loads(Path(folder, CONFIG_FILE).read_bytes())
    for key in ("target_modules", "modules_to_save"):
        # PEFT writes sets, in random order.
        if isinstance(names := config[key], list):
            config[key] = sorted(names)
    return config | {"inference_mode": True}


def merge(model: AdapterModel) -> Any:
    """Merge the adapters into the base model, in place: `model` cannot be used afterwards.

    Returns:
        The transformers model in evaluation mode, in the dtype of the base model and with the
        vocabulary size and end token of training in its configuration.

    Raises:
        CheckpointError: A merged weight is NaN.
    """
    from transformer_playground.finetuning.trained_modules import cast_trained_modules

    cast_trained_modules(model.adapted, model.dtype)
    try:
        merged = model.adapted.merge_and_unload(safe_merge=True).eval()
    except ValueError as error:
        if "NaN" not in str(error):
            raise
        raise CheckpointError(
            "the adapters have NaN weights: training diverged.",
            "Export an earlier checkpoint, or train with a lower learning rate.",
        ) from error
    merged.requires_grad_(False)
    merged.tie_weights()
    for config in (merged.config, merged.config.get_text_config(), merged.generation_config):
        config.eos_token_id = model.model_args.end_token
    return merged
