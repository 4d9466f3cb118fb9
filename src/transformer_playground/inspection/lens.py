"""Logit lens and direct logit attribution: how the prediction comes about, layer by layer."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformer_playground.errors import ModelError
from transformer_playground.inspection.parts import ModelParts, parts_of
from transformer_playground.inspection.recording import Edit, Site, hooked, record
from transformer_playground.inspection.text import entropy, top_tokens
from transformer_playground.model.base import LanguageModel, evaluating

ATTRIBUTION_TOLERANCE = 1e-3
"""Largest difference of a float32 logit and the sum of its attributions, relative to its size."""

# Makes the epsilon of a norm negligible.
_PROBE = 1e4


def logit_lens(model: LanguageModel, tokens: Tensor) -> Iterator[Tensor]:
    """Logits of each layer's residual stream, as if it were the last (nostalgebraist 2020).

    The final norm and the head are applied to the stream before the first layer and after each.

    Args:
        model: The model.
        tokens: (B, T) int64.

    Yields:
        n_layer + 1 times (B, T, vocab_size); the last are the model's logits.

    Raises:
        ModelError: The last ones are not, so that the architecture is not known well enough.
    """
    recording = record(model, tokens, lens_sites(model))
    yield from read_lens(model, recording.activations, expected=recording.logits)


def lens_sites(model: LanguageModel) -> list[Site]:
    """What `read_lens` needs of a forward pass: the residual stream before and after each layer."""
    layers = range(len(parts_of(model).layers))
    return [Site("embedding"), *(Site("residual", layer) for layer in layers)]


def read_lens(
    model: LanguageModel, activations: Mapping[Site, Tensor], *, expected: Tensor | None = None
) -> Iterator[Tensor]:
    """The logit lens of a forward pass that is over; see `logit_lens`.

    Args:
        model: The model.
        activations: Of `lens_sites`, at all positions or at some of them.
        expected: The model's logits there, which the last layer's must equal; None = not checked.
    """
    parts = parts_of(model)
    *_, last = sites = lens_sites(model)
    for site in sites:
        with evaluating(model):
            logits = parts.readout(activations[site])
        if (
            site == last
            and expected is not None
            and not torch.allclose(logits.float(), expected.float(), rtol=1e-2, atol=1e-2)
        ):
            raise ModelError(
                "The logit lens does not know how this base model turns its last layer into "
                "logits: they differ.",
                "Its other views work.",
            )
        yield logits


@dataclass(frozen=True)
class LayerPrediction:
    """What one layer would predict at a position.

    Attributes:
        entropy: Of the prediction, in nats.
        likeliest: The likeliest tokens with their probabilities.
        target_probability: That of the token that follows; None if none does.
        target_rank: 1 = the likeliest.
    """

    entropy: float
    likeliest: tuple[tuple[int, float], ...]
    target_probability: float | None
    target_rank: int | None

    @classmethod
    def of(cls, logits: Tensor, target: int | None, *, alternatives: int = 5) -> "LayerPrediction":
        """From the logits (vocab_size,) of a layer at a position."""
        probabilities = logits.float().softmax(dim=-1)
        (likeliest,) = top_tokens(logits[None], alternatives)
        probability = rank = None
        if target is not None:
            probability = float(probabilities[target])
            rank = int((probabilities > probabilities[target]).sum()) + 1
        return cls(float(entropy(logits)), likeliest, probability, rank)


def decided_from(layers: Sequence[LayerPrediction], target: int) -> int | None:
    """The first of the layers from which on all predict a token; None if the last does not."""
    place = len(layers)
    while place and layers[place - 1].likeliest[0][0] == target:
        place -= 1
    return place if place < len(layers) else None


@dataclass(frozen=True)
class Attribution:
    """What each part adds directly to the logits of target tokens, before a softcap.

    Attributes:
        logits: (B, T).
        embedding: (B, T).
        heads: (n_layer, B, T, n_head).
        mlps: (n_layer, B, T); zero without MLPs.
        biases: What biases of norms and branches add, (B, T).
    """

    logits: Tensor
    embedding: Tensor
    heads: Tensor
    mlps: Tensor
    biases: Tensor


def attribute_logits(
    model: LanguageModel, tokens: Tensor, targets: Tensor, against: Tensor | None = None
) -> Attribution:
    """Direct logit attribution by head and MLP (Elhage et al. 2021; Wang et al. 2022).

    With the scale of each norm fixed at its value in this forward pass, logits are a linear
    function of the embedding and of the outputs of heads and MLPs; each attribution is such a term.
    Effects through later layers are not counted.

    Args:
        model: The model.
        tokens: (B, T) int64.
        targets: Tokens (B, T) whose logits at each position are attributed.
        against: Tokens (B, T) whose logits are subtracted.

    Raises:
        ModelError: A norm is of an unknown kind.
    """
    parts = parts_of(model)
    leaves: dict[Site, Tensor] = {}
    last: list[Tensor] = []
    edits = {site: _leaf(leaves, site) for site in _component_sites(parts)}
    edits[Site("residual", len(parts.layers) - 1)] = _keep(last)
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad(), hooked(parts, {}, (), edits), _fixed_norms(parts):
            model(tokens)
            logits = parts.unembed(parts.final_norm(last[0])).float()
            chosen = _chosen(logits, targets)
            if against is not None:
                chosen = chosen - _chosen(logits, against)
            sites = list(leaves)
            gradients = torch.autograd.grad(chosen.sum(), [leaves[site] for site in sites])
    finally:
        model.train(was_training)
    terms = {
        site: (leaves[site].detach().float() * gradient.float()).sum(dim=-1)
        for site, gradient in zip(sites, gradients, strict=True)
    }
    return _collect(parts, terms, chosen.detach())


def _component_sites(parts: ModelParts) -> list[Site]:
    sites = [Site("embedding")]
    for number, layer in enumerate(parts.layers):
        sites.append(Site("heads", number))
        if layer.mlp is not None:
            sites.append(Site("mlp", number))
    return sites


def _leaf(leaves: dict[Site, Tensor], site: Site) -> Edit:
    def edit(value: Tensor) -> Tensor:
        leaves[site] = value.detach().requires_grad_()
        return leaves[site]

    return edit


def _keep(kept: list[Tensor]) -> Edit:
    def edit(value: Tensor) -> Tensor:
        kept.append(value)
        return value

    return edit


def _chosen(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


def _collect(parts: ModelParts, terms: dict[Site, Tensor], logits: Tensor) -> Attribution:
    embedding = terms[Site("embedding")]
    layers = range(len(parts.layers))
    heads = torch.stack([terms[Site("heads", layer)] for layer in layers])
    nothing = torch.zeros_like(embedding)
    mlps = torch.stack([terms.get(Site("mlp", layer), nothing) for layer in layers])
    biases = logits - embedding - heads.sum(dim=(0, -1)) - mlps.sum(dim=0)
    return Attribution(logits, embedding, heads, mlps, biases)


@contextlib.contextmanager
def _fixed_norms(parts: ModelParts) -> Iterator[None]:
    """Norms that are linear in the block: with the scale of the forward pass, as a constant."""
    handles = [norm.register_forward_hook(_linearised) for norm in parts.norms()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _linearised(norm: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = args[0]
    inner = x.float()
    if isinstance(norm, nn.LayerNorm):
        inner = inner - inner.mean(dim=-1, keepdim=True)
    with torch.no_grad():
        gain = _gain(norm, x)
        bias = getattr(norm, "bias", None)
        scaled = output.float() - (0.0 if bias is None else bias.float())
        aligned = inner * gain
        # The one factor per token: exact but for rounding.
        size = aligned.square().sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        scale = (scaled * aligned).sum(-1, keepdim=True) / size
        if not torch.allclose(scaled, aligned * scale, rtol=1e-2, atol=1e-2):
            raise ModelError(f"The norm {type(norm).__name__} of this base model is not known.")
    linear = inner * (gain * scale)
    # The value of the forward pass, with the derivative of the linear function.
    return output.detach() + (linear - linear.detach()).to(output.dtype)


def _gain(norm: nn.Module, x: Tensor) -> Tensor:
    """Factor of each channel; transformers stores that of some norms less one."""
    weight = getattr(norm, "weight", None)
    if isinstance(norm, nn.LayerNorm | nn.RMSNorm):
        return torch.ones(x.shape[-1], device=x.device) if weight is None else weight.float()
    probe = torch.full((1, x.shape[-1]), _PROBE, device=x.device, dtype=torch.float32)
    gain: Tensor = type(norm).forward(norm, probe)[0].float()
    return gain
