"""One text through one model, of which views read what they need, when they need it."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from transformer_playground.inspection.ablation import Component, Replacement, ablate
from transformer_playground.inspection.heads import HeadKind, head_kind
from transformer_playground.inspection.lens import LayerPrediction, lens_sites, read_lens
from transformer_playground.inspection.recording import Recording, Site
from transformer_playground.inspection.text import TokenScores, score_tokens
from transformer_playground.model.base import LanguageModel

# Attention patterns that are kept, in bytes: those of all layers of a long text may be gigabytes.
_KEPT_BYTES = 1 << 27


class TextPass:
    """A forward pass over a text, in which components may be switched off.

    The pass itself is made once, at the start. The lens is read from its residual stream at one
    position after another; attention patterns take a pass of their own for each layer.

    Args:
        model: The model.
        tokens: (1, T) int64, within the context.
        components: What is switched off.
        replacement: As in `ablate`.
        alternatives: How many of the likeliest tokens to keep.

    Attributes:
        scores: How well each token is predicted.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokens: Tensor,
        components: Sequence[Component] = (),
        *,
        replacement: Replacement = "zero",
        alternatives: int = 5,
    ) -> None:
        self._model, self._tokens = model, tokens
        self._components = components
        self._replacement: Replacement = replacement
        self._alternatives = alternatives
        recording = self._pass(lens_sites(model))
        self.scores: TokenScores = score_tokens(
            recording.logits[0], tokens[0], alternatives=alternatives
        )
        self._activations = recording.activations
        # All of them would be large: a number for each token of the vocabulary and of the text.
        self._last_logits: Tensor | None = recording.logits[:, -1:].clone()
        self._patterns: dict[int, Tensor] = {}

    def lens(self, position: int) -> tuple[LayerPrediction, ...]:
        """What the embedding and each layer would predict after a position.

        Raises:
            ModelError: The architecture is not known well enough.
        """
        following = self._tokens[0, position + 1 : position + 2].tolist()
        target = following[0] if following else None
        if self._last_logits is not None:
            tuple(read_lens(self._model, self._here(-1), expected=self._last_logits))
            self._last_logits = None
        return tuple(
            LayerPrediction.of(logits[0, 0], target, alternatives=self._alternatives)
            for logits in read_lens(self._model, self._here(position))
        )

    def attention(self, layer: int) -> Tensor:
        """Attention weights of the heads of a layer, (n_head, T, T).

        Raises:
            ModelError: The architecture does not give them.
        """
        if layer not in self._patterns:
            site = Site("weights", layer)
            pattern = self._pass([site])[site][0].float()
            if sum(each.nbytes for each in self._patterns.values()) + pattern.nbytes > _KEPT_BYTES:
                self._patterns.clear()
            self._patterns[layer] = pattern
        return self._patterns[layer]

    def kinds(
        self, layer: int, scores: Mapping[str, Sequence[Sequence[float]]]
    ) -> tuple[HeadKind | None, ...]:
        """What each head of a layer does.

        Args:
            layer: The layer.
            scores: Kind -> score of each layer's heads, as of `score_heads`; may be empty.
        """
        return tuple(
            head_kind(pattern, {kind: grid[layer][head] for kind, grid in scores.items()})
            for head, pattern in enumerate(self.attention(layer))
        )

    def _here(self, position: int) -> dict[Site, Tensor]:
        return {site: value[:, position].unsqueeze(1) for site, value in self._activations.items()}

    def _pass(self, sites: Sequence[Site]) -> Recording:
        return ablate(
            self._model,
            self._tokens,
            self._components,
            replacement=self._replacement,
            sites=sites,
        )
