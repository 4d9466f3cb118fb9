"""Loading and checking what a trainer needs, before anything is written."""

from dataclasses import dataclass

import torch

from transformer_playground.analysis.losses import fixed_windows
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.batches import BatchSampler
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.errors import ConfigError
from transformer_playground.model.gpt import GPT, count_parameters
from transformer_playground.model.hardware import Precision, choose_device, choose_precision
from transformer_playground.sampling.prompts import Prompt, resolve_prompt
from transformer_playground.training.randomness import initialisation_generator


@dataclass(frozen=True)
class Materials:
    """Config, data and an initialised model in float32 on its device.

    The trainer casts the model to `precision`. `prompt` is what samples during training start with.
    """

    config: ExperimentConfig
    dataset: Dataset
    tokenizer: Tokenizer
    batches: BatchSampler
    prompt: Prompt
    model: GPT
    device: torch.device
    precision: Precision


def gather_materials(config: ExperimentConfig, *, prepare_command: str) -> Materials:
    """Open the dataset and build the model.

    Args:
        config: With absolute paths.
        prepare_command: What to tell the user to run if the dataset is missing.

    Raises:
        DataError: The dataset is missing, damaged or shorter than a block, or the prompt has
            characters that the tokenizer lacks.
        SamplingError: The prompt is empty or its file cannot be read.
        ConfigError: The vocabulary or device does not fit.
    """
    runtime, data = config.train.runtime, config.train.data
    dataset = open_dataset(config.prepare.dataset_dir, prepare_command=prepare_command)
    tokenizer = load_tokenizer(dataset.folder)
    vocab_size = config.model.vocab_size or dataset.vocab_size
    if vocab_size < dataset.vocab_size:
        raise ConfigError(
            f"model.vocab_size = {vocab_size} is smaller than the dataset's "
            f"{dataset.vocab_size} tokens.",
            "Omit it, or choose at least that many.",
        )
    batches = BatchSampler(
        dataset.train,
        batch_size=data.batch_size,
        block_size=config.train_block_size,
        seed=runtime.seed,
        order=data.sampler,
        vocab_size=dataset.vocab_size,
    )
    next(fixed_windows(dataset.val, config, dataset.vocab_size))
    prompt = resolve_prompt(config.sample.sample, tokenizer, config.prepare)
    device = choose_device(runtime.device)
    generator = initialisation_generator(runtime.seed)
    model = GPT(config.model, vocab_size, generator=generator)
    precision = choose_precision(runtime.dtype, device, count_parameters(model))
    return Materials(
        config=config,
        dataset=dataset,
        tokenizer=tokenizer,
        batches=batches,
        prompt=prompt,
        model=model.to(device),
        device=device,
        precision=precision,
    )
