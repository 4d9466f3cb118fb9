"""The whole configuration of one experiment."""

from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from transformer_playground.config.base import Strings, Table, conflict, setting
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.prepare import PrepareConfig, TokenizerType
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.train import MATRIX_OPTIMIZERS, TrainConfig


class ExperimentTable(Table):
    """`[experiment]`: what this experiment is."""

    kind: Literal["gpt", "lora"] = setting(
        "gpt",
        "gpt = train our own transformer from scratch; lora = finetune a pretrained model with "
        "adapters.",
    )
    description: str = setting("", "One line for lists.")
    tags: Strings = setting((), "Free words to filter by.")


class ExperimentConfig(Table):
    """Every table of an experiment's `config.toml`, validated as one whole."""

    experiment: ExperimentTable = Field(default_factory=ExperimentTable)
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    sample: SampleConfig = Field(default_factory=SampleConfig)
    hf_model: HfModelConfig = Field(default_factory=HfModelConfig)
    peft: PeftConfig = Field(default_factory=PeftConfig)

    @property
    def train_block_size(self) -> int:
        """Tokens per training sequence."""
        return self.train.data.block_size or self._longest_context

    @property
    def _longest_context(self) -> int:
        is_lora = self.experiment.kind == "lora"
        return self.hf_model.block_size if is_lora else self.model.block_size

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.experiment.kind == "lora":
            found = lora_conflict(self.prepare, self.model, self.train, self.hf_model)
        else:
            found = gpt_conflict(self.prepare, self.hf_model, self.peft)
        if found is not None:
            raise found
        return self

    @model_validator(mode="after")
    def _check_block_sizes(self) -> Self:
        if self.train_block_size > self._longest_context:
            table = "hf_model" if self.experiment.kind == "lora" else "model"
            raise conflict(
                f"train.data.block_size = {self.train_block_size} is longer than "
                f"{table}.block_size = {self._longest_context}",
                "train.data.block_size",
                f"{table}.block_size",
            )
        return self


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
