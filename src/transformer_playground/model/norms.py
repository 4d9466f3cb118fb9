"""Normalisation layers, by their name in the configuration."""

from collections.abc import Callable

from torch import nn

from transformer_playground.config.model import ModelConfig, Norm


def layer_norm(config: ModelConfig) -> nn.Module:
    """Centre and scale each token to unit variance (Ba et al. 2016, "Layer Normalization")."""
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


def rms_norm(config: ModelConfig) -> nn.Module:
    """Scale to unit root mean square only (Zhang & Sennrich 2019); has no bias to switch on."""
    return nn.RMSNorm(config.n_embd, eps=config.norm_eps)


NORMS: dict[Norm, Callable[[ModelConfig], nn.Module]] = {
    "layernorm": layer_norm,
    "rmsnorm": rms_norm,
}


def build_norm(config: ModelConfig) -> nn.Module:
    """One normalisation layer over `n_embd` channels; both compute in float32 inside."""
    return NORMS[config.norm](config)
