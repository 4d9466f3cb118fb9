"""Activation patching: which activations make a model answer one prompt as it does another."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from transformer_playground.errors import UsageError
from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.recording import Edit, Recording, Site, record
from transformer_playground.model.base import LanguageModel

PatchKind = Literal["residual", "attention", "mlp"]

# Copies of a prompt that are patched in one forward pass.
_COPIES = 32


def patched(
    model: LanguageModel, tokens: Tensor, source: Tensor, sites: Iterable[Site]
) -> Recording:
    """A forward pass of one text with activations of another (Vig et al. 2020; Meng et al. 2022).

    Args:
        model: The model.
        tokens: (B, T) int64.
        source: Text of the same shape, from which the activations come.
        sites: Whose activations are replaced, at all positions.

    Raises:
        UsageError: The texts have different lengths.
    """
    _check_lengths(tokens, source)
    sites = list(sites)
    recording = record(model, source, sites)
    edits = {site: _other(recording[site]) for site in sites}
    return record(model, tokens, edits=edits)


@dataclass(frozen=True)
class PatchGrid:
    """How far each patch moves the answer of a prompt towards that of another.

    Attributes:
        base_answer: Likeliest next token of the prompt.
        source_answer: Likeliest next token of the other prompt.
        base_difference: Logit of the source's answer minus that of the prompt's, unpatched.
        source_difference: The same difference for the other prompt.
        recovered: (n_layer, T) part of the way from one difference to the other: 0 = as unpatched,
            1 = as the other prompt; None if both answers are the same.
    """

    base_answer: int
    source_answer: int
    base_difference: float
    source_difference: float
    recovered: Tensor | None


def patch_grid(
    model: LanguageModel, tokens: Tensor, source: Tensor, kind: PatchKind = "residual"
) -> PatchGrid:
    """Patch each layer and position in turn (Meng et al. 2022, "causal tracing").

    Args:
        model: The model.
        tokens: The prompt (T,) int64.
        source: Another prompt of the same length.
        kind: The activation to replace: the residual stream after a layer, or a branch's output.

    Raises:
        UsageError: The prompts have different lengths, or the model has no MLPs to patch.
    """
    _check_lengths(tokens, source)
    layers = parts_of(model).layers
    if kind == "mlp" and any(layer.mlp is None for layer in layers):
        raise UsageError("This model has no MLPs.")
    sites = [Site(kind, layer) for layer in range(len(layers))]
    from_source = record(model, source.unsqueeze(0), sites)
    base = record(model, tokens.unsqueeze(0)).logits[0, -1].float()
    other = from_source.logits[0, -1].float()
    answer, wanted = int(base.argmax()), int(other.argmax())
    before, after = float(base[wanted] - base[answer]), float(other[wanted] - other[answer])
    if answer == wanted:
        return PatchGrid(answer, wanted, before, after, None)
    # Before the first token that differs, so do no activations.
    first = int((tokens != source).nonzero()[0])
    recovered = torch.zeros(len(sites), len(tokens))
    for row, site in enumerate(sites):
        logits = _patch_each_position(model, tokens, from_source[site], site, first)
        moved = logits[:, wanted] - logits[:, answer] - before
        recovered[row, first:] = moved.cpu() / (after - before)
    return PatchGrid(answer, wanted, before, after, recovered)


def _patch_each_position(
    model: LanguageModel, tokens: Tensor, source: Tensor, site: Site, first: int
) -> Tensor:
    """Final logits (T - first, vocab_size) with the activation of one position replaced in each."""
    found = []
    places = torch.arange(first, len(tokens), device=tokens.device)
    for positions in torch.split(places, _COPIES):
        copies = tokens.expand(len(positions), -1)
        edit = partial(_other_at, source, positions)
        found.append(record(model, copies, edits={site: edit}).logits[:, -1].float())
    return torch.cat(found)


def _other(source: Tensor) -> Edit:
    return lambda _: source


def _other_at(source: Tensor, positions: Tensor, value: Tensor) -> Tensor:
    changed = value.clone()
    rows = torch.arange(len(positions), device=value.device)
    changed[rows, positions] = source[0, positions]
    return changed


def _check_lengths(tokens: Tensor, source: Tensor) -> None:
    if tokens.shape != source.shape:
        raise UsageError(
            f"The prompts have {tokens.shape[-1]:,} and {source.shape[-1]:,} tokens; patching "
            "needs the same number.",
            "Change one of them.",
        )
