"""Adapters merged into their base model."""

import copy
from typing import Any

from transformer_playground.pretrained.model import AdaptedModel


def merged(model: AdaptedModel) -> Any:
    """A plain model of transformers with the adapters worked into its weights.

    It takes the base model's memory once more: `model` stays as it is.

    Returns:
        transformers' model in evaluation mode and in the format of the base model;
        `save_pretrained` writes a folder that `AutoModelForCausalLM` loads. Its configuration
        states the size of the vocabulary, and that texts end where documents did in training.
    """
    from transformer_playground.pretrained.whole_modules import take_format

    adapted = copy.deepcopy(model.adapted)
    take_format(adapted, model.dtype)
    whole = adapted.merge_and_unload(safe_merge=True).eval()
    whole.requires_grad_(False)
    whole.tie_weights()
    for config in (whole.config, whole.config.get_text_config(), whole.generation_config):
        config.eos_token_id = model.recipe.end_token
    return whole
