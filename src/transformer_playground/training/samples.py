"""Texts drawn while training goes on."""

from collections.abc import Callable

from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.model.interface import LanguageModel
from transformer_playground.sampling.generate import SamplingSettings, generate
from transformer_playground.sampling.prompts import Prompt
from transformer_playground.training.events import Sampled
from transformer_playground.training.randomness import derived_seed


def draw_samples(
    model: LanguageModel,
    prompt: Prompt,
    decoding: DecodingConfig,
    tokenizer: Tokenizer,
    *,
    seed: int,
    step: int,
    cancelled: Callable[[], bool],
) -> list[Sampled] | None:
    """Draw the experiment's samples at a training step, from their own seed.

    Returns:
        One event for each text, or None if cancelled.
    """
    step_seed = derived_seed(seed, "sample", step)
    settings = SamplingSettings(
        max_new_tokens=decoding.max_new_tokens,
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        seed=step_seed,
    )
    generations = generate(
        model,
        prompt.tokens,
        settings,
        n_samples=decoding.num_samples,
        stop_token=tokenizer.eos_id,
        valid_vocab=tokenizer.vocab_size,
        cancelled=cancelled,
    )
    if any(generation.finish_reason == "cancelled" for generation in generations):
        return None
    return [
        Sampled(
            step=step,
            prompt=prompt.text,
            text=tokenizer.decode(generation.tokens),
            seed=step_seed,
            temperature=decoding.temperature,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
        )
        for generation in generations
    ]
