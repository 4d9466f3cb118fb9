"""Adapters merged into their base model."""

from typing import Any

from transformer_playground.errors import CheckpointError
from transformer_playground.pretrained.model import AdaptedModel


def merge(model: AdaptedModel) -> Any:
    """Work the adapters into the weights of the base model, which become a plain model's.

    It takes no more memory than its largest table: `model` gives its weights away and is of no use
    afterwards.

    Returns:
        transformers' model in evaluation mode and in the format of the base model;
        `save_pretrained` writes a folder that `AutoModelForCausalLM` loads. Its configuration
        states the size of the vocabulary, and that texts end where documents did in training.

    Raises:
        CheckpointError: A merged weight is not a number.
    """
    from transformer_playground.pretrained.whole_modules import take_format

    take_format(model.adapted, model.dtype)
    try:
        whole = model.adapted.merge_and_unload(safe_merge=True).eval()
    except ValueError as error:
        if "NaN" not in str(error):
            raise
        raise CheckpointError(
            "the adapters hold weights that are not numbers: training diverged.",
            "Export an earlier checkpoint, or train with a lower learning rate.",
        ) from error
    whole.requires_grad_(False)
    whole.tie_weights()
    for config in (whole.config, whole.config.get_text_config(), whole.generation_config):
        config.eos_token_id = model.recipe.end_token
    return whole
