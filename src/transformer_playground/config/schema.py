"""The whole configuration of one experiment."""

from typing import Literal, Self

from pydantic import Field, model_validator

from transformer_playground.config.base import Table, Words, conflict, setting
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.train import TrainConfig


class ExperimentTable(Table):
    """`[experiment]`: what this experiment is."""

    kind: Literal["gpt"] = setting("gpt", "gpt = train our own transformer from scratch.")
    description: str = setting("", "One line for lists.")
    tags: Words = setting((), "Free words to filter by.")


class ExperimentConfig(Table):
    """Every table of an experiment's `config.toml`, validated as one whole."""

    experiment: ExperimentTable = Field(default_factory=ExperimentTable)
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    sample: SampleConfig = Field(default_factory=SampleConfig)

    @property
    def train_block_size(self) -> int:
        """Tokens per training sequence."""
        return self.train.data.block_size or self.model.block_size

    @model_validator(mode="after")
    def _check_block_sizes(self) -> Self:
        if self.train_block_size > self.model.block_size:
            raise conflict(
                f"train.data.block_size = {self.train_block_size} is longer than "
                f"model.block_size = {self.model.block_size}",
                "train.data.block_size",
                "model.block_size",
            )
        return self
