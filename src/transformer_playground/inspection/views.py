"""The views of `tp inspect` as JSON documents: of one text, for one checkpoint after another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transformer_playground.checkpoints.discovery import FoundCheckpoint
from transformer_playground.config.model import MIN_SCORED
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import CheckpointError, DataError, UsageError
from transformer_playground.inspection.ablation import (
    Component,
    Replacement,
    ablate,
    all_components,
    parse_component,
)
from transformer_playground.inspection.heads import score_heads
from transformer_playground.inspection.lens import (
    LayerPrediction,
    attribute_logits,
    lens_sites,
    read_lens,
)
from transformer_playground.inspection.module_view import model_view, neighbours_view, neurons_view
from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.patching import patch_grid
from transformer_playground.inspection.recording import Recording, Site, record
from transformer_playground.inspection.request import (
    ABLATABLE,
    ALL,
    InspectRequest,
    InspectSetup,
    View,
)
from transformer_playground.inspection.text import TokenScores, score_tokens, top_tokens
from transformer_playground.inspection.tokens import InspectedText, named_token
from transformer_playground.model.base import LanguageModel
from transformer_playground.runs.generation import load_model, token_text

_LIKELIEST = 5
# A document with the whole attention of longer texts would have millions of numbers.
_MAX_PATTERN = 128


def inspect_run(
    setup: InspectSetup, *, progress: Callable[[str], object] = lambda _: None
) -> dict[str, Any]:
    """Answer a request, as described by docs/schemas/inspect.json.

    With several checkpoints, one that has vanished meanwhile is left out.

    Args:
        setup: From `resolve_inspection`.
        progress: Called with sentences for the user.

    Raises:
        PlaygroundError: No checkpoint can be loaded, or the model or text does not fit the request.
    """
    for notice in setup.notices:
        progress(notice)
    text: InspectedText | None = None
    results: list[dict[str, Any]] = []
    earlier: Mapping[str, Tensor] | None = None
    for found in setup.found:
        try:
            model, step = load_model(found.path, setup.runtime, base=setup.request.base)
        except CheckpointError as error:
            if len(setup.found) == 1:
                raise
            progress(f"left out: {error.message}")
            continue
        if text is None:
            text = InspectedText.of(setup, model)
            for notice in text.notices:
                progress(notice)
        context = ViewContext(model, text, setup.tokenizer, setup.request, setup.token, earlier)
        results.append(_checkpoint(found, step) | {"result": _VIEWS[setup.request.view](context)})
        if setup.request.view == "model":
            earlier = {name: each.detach() for name, each in model.named_parameters()}
    if text is None:
        raise CheckpointError(
            f"None of the checkpoints of {setup.run.run_id} can be loaded any more.",
            "Training may have replaced them meanwhile; try again.",
        )
    return {
        "schema_version": 1,
        "run_id": setup.run.run_id,
        "view": setup.request.view,
        "without": _without(setup.request),
        "text": text.document(setup.tokenizer),
        "checkpoints": results,
    }


def _replacement(request: InspectRequest) -> Replacement:
    return "mean" if request.mean else "zero"


def _without(request: InspectRequest) -> dict[str, Any] | None:
    """What is switched off in a view that shows the rest of the model."""
    if request.view not in ABLATABLE or not request.parts:
        return None
    return {"parts": list(request.parts), "replacement": _replacement(request)}


def _checkpoint(found: FoundCheckpoint, step: int) -> dict[str, Any]:
    return {
        "checkpoint": found.path.name,
        "step": step,
        "val_loss": found.info.metric if found.info else None,
    }


@dataclass(frozen=True)
class ViewContext:
    """What a view of one checkpoint is made from.

    Attributes:
        earlier: Parameters of the checkpoint before, for updates.
    """

    model: LanguageModel
    text: InspectedText
    tokenizer: Tokenizer
    request: InspectRequest
    token: int | None
    earlier: Mapping[str, Tensor] | None

    @property
    def tokens(self) -> Tensor:
        """The text, (1, T) int64 on the device of the model."""
        return self.text.tokens.to(self.model.device)

    @property
    def position(self) -> int:
        """Index of the token after which a prediction is looked at.

        Raises:
            UsageError: The text has no such token.
        """
        length, position = self.text.tokens.shape[1], self.request.position
        if not -length <= position < length:
            raise UsageError(
                f"There is no position {position}: the text has {length:,} tokens.",
                f"Use 0 to {length - 1}, or negative ones from the end.",
            )
        return position % length

    @property
    def components(self) -> list[Component]:
        """The parts that the request names, each once.

        Raises:
            UsageError: The model has no such part.
        """
        parts, found = parts_of(self.model), list[Component]()
        for name in self.request.parts:
            found += all_components(parts) if name == ALL else [parse_component(name, parts)]
        return list(dict.fromkeys(found))

    def recorded(self, sites: Sequence[Site] = ()) -> Recording:
        """A pass over the text without the parts that the request names."""
        if not self.request.parts:
            # Not every architecture has parts that are known.
            return record(self.model, self.tokens, sites)
        replacement = _replacement(self.request)
        return ablate(
            self.model, self.tokens, self.components, replacement=replacement, sites=sites
        )

    def named(self, token: int, **more: Any) -> dict[str, Any]:
        """A token with its text."""
        return named_token(self.tokenizer, token) | more

    def likeliest(self, logits: Tensor) -> list[list[dict[str, Any]]]:
        """The likeliest tokens of predictions (T, vocab_size)."""
        return [
            [self.named(token, probability=probability) for token, probability in row]
            for row in top_tokens(logits, _LIKELIEST)
        ]

    def scores(self, logits: Tensor) -> TokenScores:
        """Scores of the text by logits (1, T, vocab_size)."""
        return score_tokens(logits[0], self.tokens[0], alternatives=_LIKELIEST)


def _text(context: ViewContext) -> dict[str, Any]:
    logits = context.recorded().logits
    scores = context.scores(logits)
    return {
        "loss": scores.mean_loss,
        "surprisals": list(scores.surprisals),
        "probabilities": list(scores.probabilities),
        "ranks": list(scores.ranks),
        "entropies": list(scores.entropies),
        "likeliest": context.likeliest(logits[0]),
    }


def _lens(context: ViewContext) -> dict[str, Any]:
    position, tokens = context.position, context.tokens[0]
    target = int(tokens[position + 1]) if position + 1 < len(tokens) else None
    layers, grid_tokens, grid_probabilities = [], [], []
    recording = context.recorded(lens_sites(context.model))
    streams = read_lens(context.model, recording.activations, expected=recording.logits)
    for number, logits in enumerate(streams):
        top = logits[0].float().softmax(dim=-1).max(dim=-1)
        grid_tokens.append(top.indices.tolist())
        grid_probabilities.append(top.values.tolist())
        here = LayerPrediction.of(logits[0, position], target, alternatives=_LIKELIEST)
        layers.append(
            {
                "layer": "embedding" if number == 0 else number - 1,
                "entropy": here.entropy,
                "likeliest": [context.named(token, probability=p) for token, p in here.likeliest],
                "target_probability": here.target_probability,
                "target_rank": here.target_rank,
            }
        )
    return {
        "position": position,
        "target": None if target is None else context.named(target),
        "layers": layers,
        "grid": {
            "texts": [[token_text(context.tokenizer, each) for each in row] for row in grid_tokens],
            "probabilities": grid_probabilities,
        },
    }


def _attribution(context: ViewContext) -> dict[str, Any]:
    position, tokens = context.position, context.tokens
    if position + 1 < tokens.shape[1]:
        target = int(tokens[0, position + 1])
    else:
        target = int(record(context.model, tokens).logits[0, position].argmax())
    prefix = tokens[:, : position + 1]
    found = attribute_logits(context.model, prefix, torch.full_like(prefix, target))
    return {
        "position": position,
        "target": context.named(target),
        "logit": float(found.logits[0, position]),
        "embedding": float(found.embedding[0, position]),
        "heads": found.heads[:, 0, position].tolist(),
        "mlps": found.mlps[:, 0, position].tolist(),
        "biases": float(found.biases[0, position]),
    }


def _attention(context: ViewContext) -> dict[str, Any]:
    position = context.position
    sites = [Site("weights", layer) for layer in range(len(parts_of(context.model).layers))]
    recording = context.recorded(sites)
    patterns = torch.stack([recording[site][0].float() for site in sites])
    is_short = patterns.shape[-1] <= _MAX_PATTERN
    return {
        "position": position,
        "weights": patterns[:, :, position, : position + 1].tolist(),
        "patterns": _rounded(patterns) if is_short else None,
    }


def _rounded(values: Tensor) -> Any:
    return values.double().mul(1e4).round().div(1e4).tolist()


def _heads(context: ViewContext) -> dict[str, Any]:
    _require_context(context.model)
    scores = score_heads(
        context.model,
        vocab_size=min(context.tokenizer.vocab_size, context.model.vocab_size),
        excluded=context.tokenizer.eos_id,
    )
    return {kind: grid.tolist() for kind, grid in scores.by_kind().items()}


def _require_context(model: LanguageModel) -> None:
    if model.block_size < MIN_SCORED:
        raise UsageError(
            f"The context of {model.block_size} tokens is too short to score heads: it must hold "
            f"{MIN_SCORED}."
        )


def _ablate(context: ViewContext) -> dict[str, Any]:
    model, tokens = context.model, context.tokens
    if tokens.shape[1] < 2:
        raise DataError("A single token has no loss to compare.", "Give a longer text.")
    replacement = _replacement(context.request)
    whole = record(model, tokens).logits
    before = context.scores(whole)
    found = []
    each_once = context.components
    is_together = context.request.together
    for out in [each_once] if is_together else [[component] for component in each_once]:
        logits = ablate(model, tokens, out, replacement=replacement).logits
        after = context.scores(logits)
        pairs = zip(after.surprisals[1:], before.surprisals[1:], strict=True)
        found.append(
            {
                "part": " + ".join(map(str, out)),
                "loss": after.mean_loss,
                "change": (after.mean_loss or 0.0) - (before.mean_loss or 0.0),
                "changes": [None, *((new or 0.0) - (old or 0.0) for new, old in pairs)],
                "likeliest": context.likeliest(logits[0, -1:])[0],
            }
        )
    return {
        "replacement": replacement,
        "loss": before.mean_loss,
        "likeliest": context.likeliest(whole[0, -1:])[0],
        "parts": found,
    }


def _patch(context: ViewContext) -> dict[str, Any]:
    other = context.text.other
    if other is None:
        raise UsageError("Patching needs two prompts.")
    kind = context.request.patch
    grid = patch_grid(context.model, context.tokens[0], other.to(context.model.device)[0], kind)
    return {
        "kind": kind,
        "other": context.text.document_of(other, context.tokenizer),
        "base_answer": context.named(grid.base_answer),
        "source_answer": context.named(grid.source_answer),
        "base_difference": grid.base_difference,
        "source_difference": grid.source_difference,
        "recovered": None if grid.recovered is None else grid.recovered.tolist(),
    }


def _neurons(context: ViewContext) -> dict[str, Any]:
    return neurons_view(
        context.model,
        context.text.windows.to(context.model.device),
        context.tokenizer,
        context.request.neurons,
    )


def _neighbours(context: ViewContext) -> dict[str, Any]:
    return neighbours_view(context.model, context.tokenizer, context.token or 0)


def _model(context: ViewContext) -> dict[str, Any]:
    windows = context.text.windows.to(context.model.device)
    return model_view(context.model, windows if windows.numel() else None, context.earlier)


_VIEWS: dict[View, Callable[[ViewContext], dict[str, Any]]] = {
    "text": _text,
    "lens": _lens,
    "attribution": _attribution,
    "attention": _attention,
    "heads": _heads,
    "ablate": _ablate,
    "patch": _patch,
    "neurons": _neurons,
    "neighbours": _neighbours,
    "model": _model,
}
