"""What is measured of a run between its steps: losses, scores of attention heads, samples."""

from collections.abc import Callable, Mapping, Sequence

from transformer_playground.evaluation.loss import Losses
from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.model.base import LanguageModel
from transformer_playground.training.events import Evaluated, Sampled
from transformer_playground.training.rng import derived_seed
from transformer_playground.training.setup import TrainingSetup

HeadScores = Mapping[str, Sequence[Sequence[float]]]
"""Scores by kind, layer and head."""


def evaluated(
    step: int,
    losses: Losses,
    head_scores: HeadScores | None,
    *,
    seconds: float,
    is_best: bool,
) -> Evaluated:
    """The event of an evaluation."""
    return Evaluated(
        step=step,
        train_loss=losses.train_loss,
        val_loss=losses.val_loss,
        train_ppl=losses.train_ppl,
        val_ppl=losses.val_ppl,
        val_bits_per_byte=losses.val_bits_per_byte,
        eval_windows=losses.eval_set.windows,
        window_tokens=losses.eval_set.window_tokens,
        seconds=seconds,
        is_best=is_best,
        head_scores=head_scores,
    )


def measured_heads(model: LanguageModel, setup: TrainingSetup) -> HeadScores:
    """Scores of each kind by layer and head, see `inspection/heads.py`.

    The random tokens depend on the vocabulary alone: all evaluations of all runs on the same data
    read the same ones.

    Raises:
        ModelError: The attention of a base model does not give its weights.
    """
    # Its hooks are only loaded where they are used.
    from transformer_playground.inspection.heads import score_heads

    tokenizer = setup.tokenizer
    scores = score_heads(
        model,
        vocab_size=min(tokenizer.vocab_size, model.vocab_size),
        excluded=tokenizer.eos_id,
    )
    return {kind: grid.tolist() for kind, grid in scores.by_kind().items()}


def draw_samples(
    setup: TrainingSetup, model: LanguageModel, step: int, *, cancelled: Callable[[], bool]
) -> list[Sampled] | None:
    """Draw the configured samples; None if `cancelled` was true in between.

    Args:
        setup: Prompt, tokenizer and settings.
        model: The model with the weights to use.
        step: Seeds the samples.
        cancelled: Called between tokens.
    """
    decoding = setup.config.sample.sample
    seed = derived_seed(setup.config.train.runtime.seed, "sample", step)
    samples = generate(
        model,
        setup.prompt.tokens,
        SamplingSettings.from_config(decoding, seed),
        n_samples=decoding.num_samples,
        tokenizer=setup.tokenizer,
        cancelled=cancelled,
    )
    if any(sample.finish_reason == "cancelled" for sample in samples):
        return None
    return [
        Sampled(
            step=step,
            prompt=setup.prompt.text,
            text=sample.text,
            seed=seed,
            temperature=decoding.temperature,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
        )
        for sample in samples
    ]
