"""Abstract base class of language models and their key-value caches."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn


class Cache(Protocol):
    """A key-value cache; `length` is the number of cached tokens."""

    length: int

    def reset(self) -> None:
        """Remove all tokens."""
        ...

    def select(self, rows: Tensor) -> Self:
        """A cache with the sequences at the indices `rows`, int64 (new batch size,)."""
        ...


class LanguageModel(nn.Module, ABC):
    """A causal language model.

    Only parameters with `requires_grad` are trained, averaged and saved.

    Attributes:
        vocab_size: Size of the vocabulary, padding included.
        block_size: Maximum context length in tokens.
        has_dropout: Whether a forward pass in training mode uses random numbers.
        is_sharded: Whether the weights are shared out over processes, and put together by each
            forward pass.
    """

    vocab_size: int
    block_size: int
    has_dropout: bool
    is_sharded: bool = False

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) for tokens (B, T) int64."""

    def for_decoding(self) -> Self:
        """The model, or a copy in evaluation mode that shares its weights and decodes faster."""
        return self

    @abstractmethod
    def next_logits(self, tokens: Tensor, cache: Any) -> Tensor:
        """Logits after the last token, float32 (B, vocab_size).

        `tokens`, (B, T) int64, follow those in `cache` and are added to it.
        """

    @abstractmethod
    def new_cache(self, batch_size: int, capacity: int) -> Cache:
        """An empty cache for `batch_size` sequences of at most `capacity` tokens."""

    @abstractmethod
    def cache_bytes(self, capacity: int) -> int:
        """Size in bytes of the cache of one sequence of `capacity` tokens."""

    @abstractmethod
    def hidden_matrices(self) -> set[str]:
        """Names of the trainable matrices inside the blocks, which Muon optimizes."""

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The blocks, in order; each can be put together on its own if the weights are shared."""

    @abstractmethod
    def args(self) -> dict[str, Any]:
        """JSON values from which the model can be rebuilt, with its trained weights."""


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients in the block; afterwards the mode is as before."""
    was_training = model.training
    # Visiting every module takes time at each token.
    if was_training:
        model.eval()
    # FSDP keeps buffers from one pass to the next, which training then writes to.
    is_sharded = getattr(model, "is_sharded", False)
    try:
        with torch.no_grad() if is_sharded else torch.inference_mode():
            yield
    finally:
        if was_training:
            model.train()


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and tensors of the trainable parameters; tied ones count once."""
    return [(name, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad]


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters; tied ones count once."""
    return sum(tensor.numel() for _, tensor in trainable_parameters(model))
