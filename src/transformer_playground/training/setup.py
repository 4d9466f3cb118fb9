"""Training setup: load and check dataset, model and device before anything is written."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.build_finetuning import base_identity
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.data.meta import META_FILE, read_meta
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.data.training_batches import Batches, training_batches
from transformer_playground.errors import ConfigError, DataError, TrainingError
from transformer_playground.evaluation.loss import fixed_windows
from transformer_playground.generation.prompts import Prompt, resolve_prompt
from transformer_playground.model.base import LanguageModel, count_parameters
from transformer_playground.model.device import (
    Precision,
    choose_device,
    choose_precision,
    is_out_of_memory,
    set_tf32,
)
from transformer_playground.model.gpt import GPT
from transformer_playground.training.exports import check_exports
from transformer_playground.training.rng import derived_seed, initialisation_generator


def build_adapter_model(
    config: ExperimentConfig, dataset: Dataset, device: torch.device, *, prepare_command: str
) -> tuple[LanguageModel, Precision]:
    """Load the base model in the chosen precision and add adapters.

    Raises:
        ModelError: The base model cannot be loaded.
        ConfigError: The settings do not fit the model.
        DataError: The dataset was prepared for another model.
    """
    # Imported late: it takes seconds, and only finetuning needs it.
    from transformer_playground.finetuning.base_model import choose_base_precision, load_base
    from transformer_playground.finetuning.build import adapt
    from transformer_playground.finetuning.checks import check_bias

    hf = config.hf_model
    meta = read_meta(dataset.folder / META_FILE)
    new_tokens, settings = meta.get("new_tokens"), meta.get("settings")
    if dataset.end_token is None or not isinstance(new_tokens, list):
        raise DataError(
            f"the dataset in {dataset.folder} was not prepared for finetuning.",
            f"Run `{prepare_command}`.",
        )
    # Another model would read the same token ids as other text, without an error.
    if not isinstance(settings, dict) or settings.get("base") != base_identity(hf):
        raise DataError(
            f"the dataset in {dataset.folder} was prepared for another base model than "
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


@dataclass(frozen=True)
class TrainingSetup:
    """Config, data and model on its device.

    `precision` is the compute dtype of forward and backward; the trainer casts the trained weights
    to `weights_dtype`. `prompt` is the prompt of the samples drawn during training.
    """

    config: ExperimentConfig
    dataset: Dataset
    tokenizer: Tokenizer
    batches: Batches
    prompt: Prompt
    model: LanguageModel
    device: torch.device
    precision: Precision
    weights_dtype: torch.dtype


def build_setup(config: ExperimentConfig, *, prepare_command: str) -> TrainingSetup:
    """Open the dataset and build or load the model.

    Args:
        config: Configuration with absolute paths.
        prepare_command: Command to suggest if the dataset is missing or belongs to another model.

    Raises:
        DataError: The dataset is missing, damaged or shorter than a block, or the tokenizer lacks
            characters of the prompt.
        SamplingError: The prompt is empty or its file cannot be read.
        ConfigError: The vocabulary, the device or the layers to adapt do not fit.
        ModelError: The base model cannot be loaded.
        ExportError: An export that is to follow is not possible.
    """
    dataset = open_dataset(config.prepare.dataset_dir, prepare_command=prepare_command)
    tokenizer = load_tokenizer(dataset.folder)
    batches = training_batches(config, dataset)
    next(fixed_windows(dataset.val, config, dataset))
    prompt = resolve_prompt(
        config.sample.sample, tokenizer, config.prepare, first_token=dataset.first_token
    )
    device = choose_device(config.train.runtime.device)
    set_tf32(device, enabled=config.train.runtime.tf32)
    model: LanguageModel
    if config.experiment.kind == "lora":
        model, precision = build_adapter_model(
            config, dataset, device, prepare_command=prepare_command
        )
        weights_dtype = torch.float32
    else:
        model = _build_gpt(config, dataset).to(device)
        precision = choose_precision(config.train.runtime.dtype, device, count_parameters(model))
        weights_dtype = precision.dtype
    check_exports(config, tokenizer, model)
    return TrainingSetup(
        config=config,
        dataset=dataset,
        tokenizer=tokenizer,
        batches=batches,
        prompt=prompt,
        model=model,
        device=device,
        precision=precision,
        weights_dtype=weights_dtype,
    )


def _build_gpt(config: ExperimentConfig, dataset: Dataset) -> GPT:
    vocab_size = config.model.vocab_size or dataset.vocab_size
    if vocab_size < dataset.vocab_size:
        raise ConfigError(
            f"model.vocab_size = {vocab_size} is smaller than the dataset's "
            f"{dataset.vocab_size} tokens.",
            "Omit it, or set it to at least that number.",
        )
    generator = initialisation_generator(config.train.runtime.seed)
    return GPT(config.model, vocab_size, generator=generator)


@contextlib.contextmanager
def translate_oom() -> Iterator[None]:
    """Translate out-of-memory errors of torch and numpy into a `TrainingError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "out of memory.",
            "Lower train.data.batch_size and raise grad_accum_steps, or shrink the model.",
        ) from error
