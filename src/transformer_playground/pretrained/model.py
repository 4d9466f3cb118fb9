"""A pretrained model with adapters that looks like our own to everything above it."""

from typing import Any

import torch
from torch import Tensor, nn

from transformer_playground.model.interface import LanguageModel, trained_parameters
from transformer_playground.pretrained.cache import AdaptedCache
from transformer_playground.pretrained.recipe import Recipe


class AdaptedModel(LanguageModel):
    """A frozen causal language model and the small matrices that are trained beside it.

    Trained are exactly the parameters that require gradients, all in float32; their names stay the
    same for the same recipe.

    Args:
        adapted: PEFT's model around transformers' one.
        recipe: What it was made from.
    """

    def __init__(self, adapted: Any, recipe: Recipe) -> None:
        super().__init__()
        self.adapted = adapted
        self.recipe = recipe
        self.vocab_size = recipe.vocab_size
        self._cached_bytes: list[tuple[int, int | None]] | None = None

    @property
    def base(self) -> Any:
        """The model of transformers, adapters in place."""
        return self.adapted.get_base_model()

    @property
    def block_size(self) -> int:
        """Longest context in tokens."""
        return self.recipe.block_size

    @property
    def has_dropout(self) -> bool:
        """True: adapters have dropout, and base models may have their own."""
        return True

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._table.device

    @property
    def dtype(self) -> torch.dtype:
        """The format of the frozen weights and the activations."""
        return self._table.dtype

    @property
    def _table(self) -> Tensor:
        # The frozen weight itself: PEFT's wrapper would build a copy with the new rows in place.
        embedding = self.base.get_input_embeddings()
        while hasattr(embedding, "original_module"):
            embedding = embedding.original_module
        table: Tensor = embedding.weight
        return table

    def forward(self, tokens: Tensor) -> Tensor:
        """Score every possible next token at every position.

        With packing, no token sees what comes before the end of the document before its own.

        Args:
            tokens: (B, T) int64, T at most `block_size`.

        Returns:
            Logits (B, T, vocab_size) in the format of the activations.

        Raises:
            ValueError: More tokens than `block_size`.
        """
        if tokens.shape[1] > self.block_size:
            raise ValueError(
                f"{tokens.shape[1]} tokens do not fit into a context of {self.block_size}"
            )
        options = {"position_ids": self._positions(tokens)} if self.recipe.hf_model.packing else {}
        logits: Tensor = self.base(input_ids=tokens, **options, use_cache=False).logits
        return logits

    def _positions(self, tokens: Tensor) -> Tensor:
        """Of each token in its document (B, T): transformers lets none see another document's."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        is_end = tokens == self.recipe.end_token
        begins = torch.where(is_end, places + 1, 0).cummax(dim=1).values.roll(1, dims=1)
        begins[:, 0] = 0
        return places - begins

    def next_logits(self, tokens: Tensor, cache: AdaptedCache) -> Tensor:
        """Read tokens that follow those in the cache, which holds them afterwards.

        Args:
            tokens: (B, T) int64.
            cache: From `new_cache`, for B sequences.

        Returns:
            Logits of the next token, float32 (B, vocab_size).

        Raises:
            ValueError: More tokens than fit into the cache.
        """
        end = cache.length + tokens.shape[1]
        if end > min(cache.capacity, self.block_size):
            raise ValueError(f"{end} tokens do not fit into a context of {cache.capacity}")
        logits: Tensor = self.base(
            input_ids=tokens, past_key_values=cache.states, use_cache=True, logits_to_keep=1
        ).logits
        cache.length = end
        return logits[:, -1].float()

    def new_cache(self, batch_size: int, capacity: int) -> AdaptedCache:
        """An empty cache for sequences of at most `capacity` tokens."""
        return AdaptedCache(self.base.config, batch_size=batch_size, capacity=capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Bytes that one sequence's keys and values take when `capacity` tokens are read."""
        if self._cached_bytes is None:
            self._cached_bytes = self._measured_cache()
        return sum(
            each * (capacity if window is None else min(capacity, window))
            for each, window in self._cached_bytes
        )

    def _measured_cache(self) -> list[tuple[int, int | None]]:
        """Bytes a token, and the most tokens that are kept, of each layer."""
        cache = self.new_cache(1, 1)
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            self.next_logits(torch.zeros(1, 1, dtype=torch.int64, device=self.device), cache)
        self.train(was_training)
        return [_layer_bytes(layer) for layer in cache.states.layers]

    def hidden_matrices(self) -> set[str]:
        """No weight is one that Muon is made for: an adapter's matrices are thin."""
        return set()

    def args(self) -> dict[str, Any]:
        """Plain values from which `rebuild` makes this model again, with its trained weights."""
        return self.recipe.args()

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        return dict(trained_parameters(self))


def _layer_bytes(layer: Any) -> tuple[int, int | None]:
    """Bytes a token, and the most tokens that are kept, of a layer that has read one."""
    grown = [
        value for name in ("keys", "values") if (value := getattr(layer, name, None)) is not None
    ]
    if not grown:
        # A recurrent layer's state is as large after any number of tokens.
        return sum(value.nbytes for value in vars(layer).values() if isinstance(value, Tensor)), 1
    # A sliding layer keeps its window but for the token that is read next.
    window = layer.sliding_window - 1 if layer.is_sliding else None
    return sum(value.nbytes for value in grown), window
