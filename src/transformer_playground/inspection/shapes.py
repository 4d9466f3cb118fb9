"""Models without weights: names and shapes of all modules, on torch's meta device."""

import warnings

import torch

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.finetuning.build import adapted_shapes
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.gpt import GPT


def shapes_of(config: ExperimentConfig, vocab_size: int | None) -> LanguageModel:
    """The model that a configuration describes, without weights; nothing is downloaded.

    Args:
        config: Settings of a run or an experiment.
        vocab_size: Vocabulary of the dataset; None = not known: our transformer then has no rows in
            the table of embeddings, a base model those of its own vocabulary.

    Raises:
        ModelError: The configuration of the base model is not on this machine, or cannot be used.
        ConfigError: The settings do not fit the base model.
    """
    if config.experiment.kind == "lora":
        return adapted_shapes(
            config.hf_model,
            config.peft,
            vocab_size=vocab_size or 0,
            block_size=config.train_block_size,
        )
    size = config.model.vocab_size or vocab_size or 0
    with warnings.catch_warnings(), torch.device("meta"):
        # A layer without outputs has nothing to initialise.
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        return GPT(config.model, size).eval()
