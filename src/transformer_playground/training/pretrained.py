"""A pretrained model with fresh adapters, ready to be finetuned on a dataset."""

import torch

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.finetuning_recipe import base_identity
from transformer_playground.data.meta import META_FILE, read_meta
from transformer_playground.errors import DataError
from transformer_playground.model.hardware import Precision
from transformer_playground.model.interface import LanguageModel
from transformer_playground.training.randomness import derived_seed


def pretrained_model(
    config: ExperimentConfig, dataset: Dataset, device: torch.device, *, prepare_command: str
) -> tuple[LanguageModel, Precision]:
    """Load the base model and put adapters into it, drawn from the run's seed.

    Args:
        config: With `[hf_model]` and `[peft]`.
        dataset: Its tokenizer says which tokens are new to the base model.
        device: Where the model goes.
        prepare_command: What to tell the user to run if the dataset is of another model.

    Returns:
        The model, its frozen weights in the format of the precision.

    Raises:
        ModelError: The base model cannot be had.
        ConfigError: The settings do not fit the model.
        DataError: The dataset was prepared for another model.
    """
    # Imported late: it takes seconds, and runs of our own models do without it.
    from transformer_playground.pretrained.adaptation import adapt
    from transformer_playground.pretrained.checks import check_bias
    from transformer_playground.pretrained.loading import choose_base_precision, load_base

    hf = config.hf_model
    meta = read_meta(dataset.folder / META_FILE)
    new_tokens, settings = meta.get("new_tokens"), meta.get("settings")
    if dataset.end_token is None or not isinstance(new_tokens, list):
        raise DataError(
            f"the dataset in {dataset.folder} was not prepared for finetuning.",
            f"Run `{prepare_command}`.",
        )
    # Its numbers would be other words to another model, and nothing would tell.
    if not isinstance(settings, dict) or settings.get("base") != base_identity(hf):
        raise DataError(
            f"the dataset in {dataset.folder} was prepared for another pretrained model than "
            f"{hf.model_name}.",
            f"Run `{prepare_command}`.",
        )
    precision = choose_base_precision(hf, device)
    base = load_base(hf, device=device, dtype=precision.dtype)
    check_bias(base, config.peft)
    model = adapt(
        base,
        config.peft,
        hf=hf,
        new_tokens=new_tokens,
        vocab_size=dataset.vocab_size,
        block_size=hf.block_size,
        end_token=dataset.end_token,
        seed=derived_seed(config.train.runtime.seed, "initialisation"),
    )
    return model, precision
