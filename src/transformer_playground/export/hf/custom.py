"""A folder with our own modeling file beside the weights, for settings that no class has."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from torch import Tensor

from transformer_playground.config.model import ModelConfig
from transformer_playground.export.exportable import Subject
from transformer_playground.export.weights import position_table
from transformer_playground.model.gpt import GPT
from transformer_playground.model.positions import alibi_slopes

MODELING_FILE = "modeling_playground.py"
_MODULES = "transformers_modules"
_CONFIG_CLASS, _MODEL_CLASS = "PlaygroundConfig", "PlaygroundForCausalLM"
# Settings of training, and those that are written in another form.
_OMITTED = {"dropout", "init_std", "zero_init_output", "mlp_ratio", "tie_embeddings", "vocab_size"}


def custom_configuration(config: ModelConfig, subject: Subject) -> dict[str, Any]:
    """The `config.json` of our modeling file."""
    module = MODELING_FILE.removesuffix(".py")
    is_alibi = config.positional_encoding == "alibi"
    return config.model_dump(mode="json", exclude=_OMITTED) | {
        "model_type": "transformer_playground",
        "architectures": [_MODEL_CLASS],
        "auto_map": {
            "AutoConfig": f"{module}.{_CONFIG_CLASS}",
            "AutoModelForCausalLM": f"{module}.{_MODEL_CLASS}",
        },
        "vocab_size": subject.vocab_size,
        "n_kv_head": config.kv_heads,
        "mlp_hidden": config.mlp_hidden,
        "alibi_slopes": alibi_slopes(config.n_head) if is_alibi else None,
        "tie_word_embeddings": config.tie_embeddings,
        "bos_token_id": subject.tokenizer.bos_id,
        "eos_token_id": subject.tokenizer.eos_id,
        "pad_token_id": subject.tokenizer.eos_id,
    }


def custom_tensors(model: GPT) -> dict[str, Tensor]:
    """Our tensors under our own names; any positions that are added become a table."""
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    if model.config.positional_encoding == "sinusoidal":
        tensors["positions.weight"] = position_table(model)
    return tensors


def copy_modeling_file(folder: Path) -> None:
    """Put the modeling file into a folder."""
    shutil.copyfile(Path(__file__).with_name(MODELING_FILE), folder / MODELING_FILE)


@contextlib.contextmanager
def private_modules() -> Iterator[None]:
    """Let transformers copy a modeling file to a temporary folder instead of the user's cache."""
    from transformers import dynamic_module_utils

    path = list(sys.path)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(dynamic_module_utils, "HF_MODULES_CACHE", folder),
    ):
        _forget_modules()
        try:
            yield
        finally:
            sys.path[:] = path
            _forget_modules()


def _forget_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == _MODULES]:
        del sys.modules[name]
