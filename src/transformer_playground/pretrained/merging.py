"""Adapters merged into their base model."""

from typing import Any

from transformer_playground.pretrained.model import AdaptedModel


def merge(model: AdaptedModel) -> Any:
    """Work the adapters into the weights of the base model, which become a plain model's.

    It takes no more memory than its largest table: `model` gives its weights away and is of no use
    afterwards.

    Returns:
        transformers' model in evaluation mode and in the format of the base model;
        `save_pretrained` writes a folder that `AutoModelForCausalLM` loads. Its configuration
        states the size of the vocabulary, and that texts end where documents did in training.
    """
    from transformer_playground.pretrained.whole_modules import take_format

    take_format(model.adapted, model.dtype)
    whole = model.adapted.merge_and_unload(safe_merge=True).eval()
    whole.requires_grad_(False)
    whole.tie_weights()
    for config in (whole.config, whole.config.get_text_config(), whole.generation_config):
        config.eos_token_id = model.recipe.end_token
    return whole
