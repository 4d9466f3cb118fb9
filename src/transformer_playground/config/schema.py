"""Schema of an experiment's `config.toml`, with the checks across its tables."""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from transformer_playground.config.base import Strings, Table, check_float16, conflict, setting
from transformer_playground.config.export import ExportConfig
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.config.model import MIN_SCORED, ModelConfig
from transformer_playground.config.prepare import PrepareConfig, TokenizerType
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.train import MATRIX_OPTIMIZERS, TrainConfig


class ExperimentTable(Table):
    """`[experiment]`: kind, description and tags."""

    kind: Literal["gpt", "lora"] = setting(
        "gpt",
        "gpt = train a transformer from scratch; lora = finetune a base model with LoRA adapters.",
    )
    description: str = setting("", "One-line description.")
    tags: Strings = setting((), "Tags to filter by.")
    run_seconds: int = setting(
        0, "Measured seconds of prepare, train and sample on two CPU cores; 0 = not measured.", ge=0
    )


class ExperimentConfig(Table):
    """All tables of an experiment's `config.toml`."""

    experiment: ExperimentTable = Field(default_factory=ExperimentTable)
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    sample: SampleConfig = Field(default_factory=SampleConfig)
    hf_model: HfModelConfig = Field(default_factory=HfModelConfig)
    peft: PeftConfig = Field(default_factory=PeftConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)

    @property
    def train_block_size(self) -> int:
        """Tokens per training sequence."""
        return self.train.data.block_size or self._max_block_size

    @property
    def _max_block_size(self) -> int:
        is_lora = self.experiment.kind == "lora"
        return self.hf_model.block_size if is_lora else self.model.block_size

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.experiment.kind == "lora":
            self._check_lora()
        else:
            self._check_gpt()
        return self

    @model_validator(mode="after")
    def _check_block_sizes(self) -> Self:
        if self.train_block_size > self._max_block_size:
            table = "hf_model" if self.experiment.kind == "lora" else "model"
            raise conflict(
                f"train.data.block_size = {self.train_block_size} is longer than "
                f"{table}.block_size = {self._max_block_size}",
                "train.data.block_size",
                f"{table}.block_size",
            )
        if self.train.runtime.head_scores and self._max_block_size < MIN_SCORED:
            raise conflict(
                f"head_scores = true needs a context of at least {MIN_SCORED} tokens",
                "train.runtime.head_scores",
            )
        return self

    def _check_gpt(self) -> None:
        """Reject settings that only kind = lora uses."""
        prepare = self.prepare
        if changed := [*_changed(self.hf_model, "hf_model"), *_changed(self.peft, "peft")]:
            raise _kind_conflict(
                f"{', '.join(changed)} only have an effect with kind = 'lora', which finetunes a "
                "base model; this experiment has kind = 'gpt'",
                *changed,
            )
        if prepare.tokenizer_type == "huggingface":
            *others, last = (
                repr(name) for name in get_args(TokenizerType) if name != "huggingface"
            )
            raise _kind_conflict(
                "tokenizer_type = 'huggingface' is the tokenizer of a base model, which "
                f"kind = 'gpt' does not have; use {', '.join(others)} or {last}",
                "prepare.tokenizer_type",
            )
        changed = _changed(prepare.columns, "prepare.columns")
        changed += [] if prepare.conditioning_header else ["prepare.conditioning_header"]
        if changed:
            raise _kind_conflict(
                f"{', '.join(changed)} only have an effect with kind = 'lora', which can read CSV",
                *changed,
            )

    def _check_lora(self) -> None:
        """Reject settings that kind = lora lacks, does not use or does not support."""
        prepare, train, hf_model = self.prepare, self.train, self.hf_model
        if not hf_model.model_name:
            raise _kind_conflict(
                "kind = 'lora' needs hf_model.model_name: a model on the hub such as "
                "'Qwen/Qwen2.5-1.5B', or the path of a folder",
                "hf_model.model_name",
            )
        if changed := _changed(self.model, "model"):
            raise _kind_conflict(
                f"{', '.join(changed)} describe a model trained from scratch; with kind = 'lora' "
                "the base model has its own architecture (block_size and dropout: "
                "hf_model.block_size and peft.lora_dropout)",
                *changed,
            )
        if prepare.tokenizer_type != "huggingface":
            raise _kind_conflict(
                f"tokenizer_type = '{prepare.tokenizer_type}' does not work with kind = 'lora', "
                "which uses the tokenizer of the base model; set it to 'huggingface'",
                "prepare.tokenizer_type",
            )
        if prepare.val_split not in (None, "random_documents"):
            raise _kind_conflict(
                f"val_split = '{prepare.val_split}' cuts documents; kind = 'lora' holds out whole "
                "documents, so leave it out or set it to 'random_documents'",
                "prepare.val_split",
            )
        separator = prepare.doc_separator
        if separator.strip() and separator.split() != [separator]:
            raise _kind_conflict(
                f"doc_separator = {separator!r} cannot be a token; with kind = 'lora' it is one "
                "word such as '<|endofspeech|>', or white space for the tokenizer's own token",
                "prepare.doc_separator",
            )
        if (optimizer := train.optim.optimizer) in MATRIX_OPTIMIZERS:
            raise _kind_conflict(
                f"optimizer = '{optimizer}' is for full hidden matrices, not for low-rank LoRA "
                "matrices; use 'adamw' with kind = 'lora'",
                "train.optim.optimizer",
            )
        if train.runtime.compile:
            raise _kind_conflict(
                "compile = true is not supported with kind = 'lora'; set compile = false",
                "train.runtime.compile",
            )
        if train.runtime.dtype != "auto":
            raise _kind_conflict(
                f"train.runtime.dtype = '{train.runtime.dtype}' does not apply to kind = 'lora'; "
                "hf_model.dtype is the dtype of the base model, and adapters are float32",
                "train.runtime.dtype",
            )
        if (quantization := self.sample.runtime.quantization) != "none":
            raise _kind_conflict(
                f"sample.runtime.quantization = '{quantization}' is not supported with "
                "kind = 'lora'; use 'none'",
                "sample.runtime.quantization",
            )
        keys = "hf_model.dtype", "train.runtime.device"
        check_float16("hf_model.dtype", hf_model.dtype, train.runtime.device, *keys)


def _kind_conflict(message: str, *keys: str) -> PydanticCustomError:
    return conflict(message, "experiment.kind", *keys)


def _changed(table: Table, name: str) -> list[str]:
    """Dotted names of the settings of a table that differ from the default."""
    defaults, values = type(table)().model_dump(), table.model_dump()
    return [f"{name}.{key}" for key, value in values.items() if value != defaults[key]]
