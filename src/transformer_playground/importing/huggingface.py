"""Hugging Face folders: models of the classes that our export writes, read by transformers."""

from pathlib import Path
from typing import Any

import torch

from transformer_playground.errors import ModelError
from transformer_playground.hub import translate_load_errors
from transformer_playground.importing.foreign import ForeignModel
from transformer_playground.importing.hf_settings import choose_class, model_settings
from transformer_playground.importing.hf_tokenizer import read_tokenizer
from transformer_playground.importing.hf_weights import read_weights

CONFIG_FILE = "config.json"


def is_huggingface(path: Path) -> bool:
    """Whether a path is a folder of transformers."""
    return path.is_dir() and (path / CONFIG_FILE).is_file()


def read_huggingface(folder: Path) -> ForeignModel:
    """Read a folder; code in it is not run, and only safetensors are read.

    Raises:
        ModelError: transformers cannot load it, or it has an architecture, setting or tensor that
            our model has not.
        DataError: Its tokenizer is damaged.
    """
    source = str(folder)
    with translate_load_errors(source):
        import transformers

        config: Any = transformers.AutoConfig.from_pretrained(
            source, trust_remote_code=False, local_files_only=True
        )
    row = choose_class(config.architectures, source)
    table = model_settings(row, config, source)
    with translate_load_errors(source):
        kind: Any = getattr(transformers, row.name)
        model, report = kind.from_pretrained(
            source,
            dtype=torch.float32,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    for name in (*report["missing_keys"], *report["unexpected_keys"]):
        raise ModelError(
            f"{source} cannot be imported: the tensor {name} of {row.name} is missing or unknown.",
            "Restore its weights (model.safetensors).",
        )
    found = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    table, weights = read_weights(row, table, found, source)
    end_token = model.generation_config.eos_token_id
    if isinstance(end_token, list):
        end_token = next(iter(end_token), None)
    tokenizer, problem = read_tokenizer(folder, end_token)
    return ForeignModel(
        source=folder,
        format="huggingface",
        model_args=table.model_dump(mode="json"),
        weights=weights,
        tokenizer=tokenizer,
        tokenizer_problem=problem,
    )
