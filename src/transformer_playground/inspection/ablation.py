"""Ablation: what a text costs without a head, an MLP or a layer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from transformer_playground.errors import UsageError
from transformer_playground.inspection.parts import ModelParts, parts_of
from transformer_playground.inspection.recording import Edit, Recording, Site, record
from transformer_playground.model.base import LanguageModel

Replacement = Literal["zero", "mean"]
Branch = Literal["attention", "mlp", "layer"]

_BRANCHES: dict[str, Branch] = {name: name for name in get_args(Branch)}
_NAME = re.compile(r"L?(\d{1,4})(?:[.H](\d{1,4}|mlp|attention))?", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Component:
    """A part of the model that can be switched off; `part` is a head or a whole branch."""

    layer: int
    part: int | Branch = "layer"

    def __str__(self) -> str:
        return str(self.layer) if self.part == "layer" else f"{self.layer}.{self.part}"


def parse_component(text: str, parts: ModelParts) -> Component:
    """A component of a model from text: 2.1 (or L2H1), 2.mlp, 2.attention or 2 for the layer.

    Raises:
        UsageError: The text names no part of this model.
    """
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"'{text}' is not a part of a model.",
            "Write LAYER.HEAD, LAYER.mlp, LAYER.attention or LAYER, counted from 0.",
        )
    layer, named = int(found[1]), (found[2] or "layer").lower()
    if layer >= len(parts.layers):
        raise UsageError(
            f"There is no layer {layer}: the model has layers 0 to {len(parts.layers) - 1}."
        )
    if named in _BRANCHES:
        if named == "mlp" and parts.layers[layer].mlp is None:
            raise UsageError("This model has no MLPs.")
        return Component(layer, _BRANCHES[named])
    if int(named) >= parts.n_head:
        raise UsageError(f"There is no head {named}: layers have heads 0 to {parts.n_head - 1}.")
    return Component(layer, int(named))


def all_components(parts: ModelParts) -> list[Component]:
    """Every head and every MLP, by layer."""
    found: list[Component] = []
    for number, layer in enumerate(parts.layers):
        found += [Component(number, head) for head in range(parts.n_head)]
        found += [Component(number, "mlp")] if layer.mlp is not None else []
    return found


def ablate(
    model: LanguageModel,
    tokens: Tensor,
    components: Sequence[Component],
    *,
    replacement: Replacement = "zero",
    sites: Sequence[Site] = (),
) -> Recording:
    """A forward pass in which the outputs of components are replaced.

    - zero: as if the weights of their output projections and its bias were 0; of a head, its part
      of the projection. A layer is both of its branches.
    - mean: by their mean over all tokens of the text (Wang et al. 2022, "Interpretability in the
      Wild"), which keeps what they always add.

    Args:
        model: The model.
        tokens: (B, T) int64.
        components: What to switch off at once.
        replacement: What replaces their outputs.
        sites: Activations to record.
    """
    parts = parts_of(model)
    touched = sorted({site for component in components for site in _sites(component, parts)})
    means: Mapping[Site, Tensor] = {}
    if replacement == "mean":
        means = {
            site: value.mean(dim=(0, 1))
            for site, value in record(model, tokens, touched).activations.items()
        }
    edits: dict[Site, Edit] = {}
    for site in touched:
        heads = None
        if site.kind == "heads":
            in_layer = (each.part for each in components if each.layer == site.layer)
            heads = [part for part in in_layer if isinstance(part, int)]
        edits[site] = partial(_replaced, mean=means.get(site), heads=heads)
    return record(model, tokens, sites, edits)


def continuation(
    model: LanguageModel,
    tokens: Tensor,
    components: Sequence[Component],
    *,
    replacement: Replacement = "zero",
    count: int,
    vocab_size: int | None = None,
) -> Iterator[int]:
    """The likeliest continuation of a text while components are switched off, token by token.

    Each token takes a whole forward pass, for edits reach all positions.

    Args:
        model: The model.
        tokens: (1, T) int64; only the end that fits the context is read.
        components: What to switch off; nothing continues the text as the model does.
        replacement: As in `ablate`.
        count: Number of tokens.
        vocab_size: Tokens below this id are chosen; None = all, padding included.
    """
    for _ in range(count):
        tokens = tokens[:, -model.block_size :]
        logits = ablate(model, tokens, components, replacement=replacement).logits
        following = logits[:, -1, :vocab_size].argmax(dim=-1, keepdim=True)
        yield int(following)
        tokens = torch.cat([tokens, following], dim=1)


def _sites(component: Component, parts: ModelParts) -> list[Site]:
    layer = component.layer
    match component.part:
        case "mlp":
            return [Site("mlp", layer)]
        case "attention":
            return [Site("attention", layer)]
        case "layer":
            has_mlp = parts.layers[layer].mlp is not None
            return [Site("attention", layer), *([Site("mlp", layer)] if has_mlp else [])]
    return [Site("heads", layer)]


def _replaced(value: Tensor, *, mean: Tensor | None, heads: list[int] | None) -> Tensor:
    replacement = torch.zeros_like(value) if mean is None else mean.to(value).expand_as(value)
    if heads is None:
        return replacement
    changed = value.clone()
    changed[:, :, heads] = replacement[:, :, heads]
    return changed
