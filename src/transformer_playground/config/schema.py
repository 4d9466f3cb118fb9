"""The whole configuration of one experiment."""

from typing import Literal, Self

from pydantic import Field, model_validator

from transformer_playground.config.base import Table, Words, conflict, setting
from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.config.kind_checks import gpt_conflict, lora_conflict
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.train import TrainConfig


class ExperimentTable(Table):
    """`[experiment]`: what this experiment is."""

    kind: Literal["gpt", "lora"] = setting(
        "gpt",
        "gpt = train our own transformer from scratch; lora = finetune a pretrained model with "
        "adapters.",
    )
    description: str = setting("", "One line for lists.")
    tags: Words = setting((), "Free words to filter by.")


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
