"""Adapters written in PEFT's own format, or merged into their base model."""

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
    """Write what was trained so that PEFT loads it without us.

    `PeftModel.from_pretrained(base, folder)` gives the same model, where `base` is the base model;
    its embeddings must first be resized to `vocab_size` if that is larger than they are.

    Args:
        model: The adapted model.
        folder: Created if it is missing. Each file is replaced as a whole.
        weights: Trained parameters by name, to be written instead of the model's own.

    Raises:
        OSError: The disk refused; each file is the old one or the new.
    """
    from peft import get_peft_model_state_dict

    state = dict(model.adapted.state_dict())
    if weights is not None:
        state |= {name.removeprefix("adapted."): tensor for name, tensor in weights.items()}
    # Rows of new tokens are adapters themselves; the tables they belong to stay with the base.
    tensors = get_peft_model_state_dict(
        model.adapted, state_dict=state, save_embedding_layers=False
    )
    # Written as one piece each: shared or strided memory has no place in the format.
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(
        folder / WEIGHTS_FILE, lambda file: file.write(save(whole, metadata={"format": "pt"}))
    )
    replace_json(folder / CONFIG_FILE, _config(model))


def _config(model: AdapterModel) -> dict[str, object]:
    """What PEFT would write: it knows only how to write it into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        model.adapted.peft_config["default"].save_pretrained(folder)
        config: dict[str, object] = json.loads(Path(folder, CONFIG_FILE).read_bytes())
    for key in ("target_modules", "modules_to_save"):
        # Sets have another order each time.
        if isinstance(names := config[key], list):
            config[key] = sorted(names)
    return config | {"inference_mode": True}


def merge(model: AdapterModel) -> Any:
    """Work the adapters into the weights of the base model, which become a plain model's.

    It takes no more memory than its largest table: `model` gives its weights away and is of no use
    afterwards.

    Returns:
        transformers' model in evaluation mode and in the format of the base model;
        `save_pretrained` writes a folder that `AutoModelForCausalLM` loads. Its configuration
        states the size of the vocabulary, and that texts end where documents did in training.

    Raises:
        CheckpointError: A merged weight is not a number.
    """
    from transformer_playground.finetuning.trained_modules import take_format

    take_format(model.adapted, model.dtype)
    try:
        whole = model.adapted.merge_and_unload(safe_merge=True).eval()
    except ValueError as error:
        if "NaN" not in str(error):
            raise
        raise CheckpointError(
            "the adapters hold weights that are not numbers: training diverged.",
            "Export an earlier checkpoint, or train with a lower learning rate.",
        ) from error
    whole.requires_grad_(False)
    whole.tie_weights()
    for config in (whole.config, whole.config.get_text_config(), whole.generation_config):
        config.eos_token_id = model.model_args.end_token
    return whole
