"""What the two kinds of experiment demand of settings that belong to the other one."""

from typing import Any, get_args

from pydantic_core import PydanticCustomError

from transformer_playground.config.base import Table, conflict
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.prepare import PrepareConfig, TokenizerType
from transformer_playground.config.train import MATRIX_OPTIMIZERS, TrainConfig

_KIND = "experiment.kind"


def gpt_conflict(
    prepare: PrepareConfig, hf_model: HfModelConfig, peft: PeftConfig
) -> PydanticCustomError | None:
    """Find a setting that has no effect on a model of our own (kind = gpt)."""
    stated = [*_changed(hf_model, "hf_model"), *_changed(peft, "peft")]
    if stated:
        return conflict(
            f"{', '.join(stated)} only have an effect with kind = 'lora', which finetunes a "
            "pretrained model; this experiment has kind = 'gpt'",
            _KIND,
            *stated,
        )
    if prepare.tokenizer_type == "huggingface":
        *others, last = (repr(name) for name in get_args(TokenizerType) if name != "huggingface")
        return conflict(
            "tokenizer_type = 'huggingface' is the tokenizer of a pretrained model, which "
            f"kind = 'gpt' has not; use {', '.join(others)} or {last}",
            "prepare.tokenizer_type",
            _KIND,
        )
    stated = [
        *_changed(prepare.columns, "prepare.columns"),
        *(["prepare.conditioning_header"] if not prepare.conditioning_header else []),
    ]
    if stated:
        return conflict(
            f"{', '.join(stated)} only have an effect with kind = 'lora', which alone reads CSV",
            _KIND,
            *stated,
        )
    return None


def lora_conflict(
    prepare: PrepareConfig, model: ModelConfig, train: TrainConfig, hf_model: HfModelConfig
) -> PydanticCustomError | None:
    """Find a setting that finetuning a pretrained model (kind = lora) lacks or cannot follow."""
    if not hf_model.model_name:
        return conflict(
            "kind = 'lora' needs hf_model.model_name: a model of the hub such as "
            "'Qwen/Qwen2.5-1.5B', or the path of a folder",
            _KIND,
            "hf_model.model_name",
        )
    if stated := _changed(model, "model"):
        return conflict(
            f"{', '.join(stated)} describe a model of our own; with kind = 'lora' the pretrained "
            "model has its own shape (block_size and dropout: hf_model.block_size and "
            "peft.lora_dropout)",
            _KIND,
            *stated,
        )
    if prepare.tokenizer_type != "huggingface":
        return conflict(
            f"tokenizer_type = '{prepare.tokenizer_type}' does not fit kind = 'lora', whose tokens "
            "are those of the pretrained model; set it to 'huggingface'",
            "prepare.tokenizer_type",
            _KIND,
        )
    separator = prepare.doc_separator
    if separator.strip() and separator.split() != [separator]:
        return conflict(
            f"doc_separator = {separator!r} cannot be a token; with kind = 'lora' it is one word "
            "such as '<|endofspeech|>', or white space for the tokenizer's own end of text",
            "prepare.doc_separator",
            _KIND,
        )
    return _training_conflict(train, hf_model)


def _training_conflict(train: TrainConfig, hf_model: HfModelConfig) -> PydanticCustomError | None:
    if (optimizer := train.optim.optimizer) in MATRIX_OPTIMIZERS:
        return conflict(
            f"optimizer = '{optimizer}' is made for whole hidden matrices, not for the thin pairs "
            "of LoRA; use 'adamw' with kind = 'lora'",
            "train.optim.optimizer",
            _KIND,
        )
    if train.runtime.compile:
        return conflict(
            "compile = true is not supported with kind = 'lora'; set compile = false",
            "train.runtime.compile",
            _KIND,
        )
    if train.runtime.dtype != "auto":
        return conflict(
            f"train.runtime.dtype = '{train.runtime.dtype}' does not apply to kind = 'lora'; "
            "hf_model.dtype is the precision of the pretrained model, and adapters are float32",
            "train.runtime.dtype",
            _KIND,
        )
    if hf_model.dtype == "float16" and train.runtime.device in ("cpu", "mps"):
        return conflict(
            f"hf_model.dtype = 'float16' needs a CUDA device, not {train.runtime.device}; "
            "use 'auto', 'bfloat16' or 'float32'",
            "hf_model.dtype",
            "train.runtime.device",
        )
    return None


def _changed(table: Table, name: str) -> list[str]:
    """Dotted names of the settings of a table that are not the default."""
    defaults: dict[str, Any] = type(table)().model_dump()
    values = table.model_dump()
    return [f"{name}.{key}" for key, value in values.items() if value != defaults[key]]
