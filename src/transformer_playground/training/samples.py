"""Samples drawn during training."""

from collections.abc import Callable

from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.training.events import Sampled
from transformer_playground.training.rng import derived_seed
from transformer_playground.training.setup import TrainingSetup


def draw_samples(
    setup: TrainingSetup, step: int, *, cancelled: Callable[[], bool]
) -> list[Sampled] | None:
    """Draw the experiment's samples at a training step, from a seed of their own.

    Returns:
        One event for each sample, or None if cancelled.
    """
    config, prompt, tokenizer = setup.config, setup.prompt, setup.tokenizer
    decoding = config.sample.sample
    seed = derived_seed(config.train.runtime.seed, "sample", step)
    samples = generate(
        setup.model,
        prompt.tokens,
        SamplingSettings.from_config(decoding, seed),
        n_samples=decoding.num_samples,
        tokenizer=tokenizer,
        cancelled=cancelled,
    )
    if any(sample.finish_reason == "cancelled" for sample in samples):
        return None
    return [
        Sampled(
            step=step,
            prompt=prompt.text,
            text=sample.text,
            seed=seed,
            temperature=decoding.temperature,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
        )
        for sample in samples
    ]
