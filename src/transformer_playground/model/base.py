"""What everything above a language model needs to know about it, whoever made its weights."""

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn


class Cache(Protocol):
    """A model's memory of the tokens it has read."""

    length: int

    def reset(self) -> None:
        """Forget every token."""
        ...

    def select(self, rows: Tensor) -> Self:
        """A cache whose sequences are the given ones of this cache, repeats allowed.

        Args:
            rows: Indices of sequences, int64 (new batch size,).
        """
        ...


class LanguageModel(nn.Module, ABC):
    """A causal language model: token ids in, scores of the next token out.

    Only parameters with `requires_grad` are trained, averaged and saved.

    Attributes:
        vocab_size: Number of scores at each position, padding included.
    """

    vocab_size: int

    @property
    @abstractmethod
    def block_size(self) -> int:
        """Longest context in tokens."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    @abstractmethod
    def has_dropout(self) -> bool:
        """Whether a forward pass in training mode draws random numbers."""

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, vocab_size) of every possible next token for tokens (B, T) int64."""

    @abstractmethod
    def next_logits(self, tokens: Tensor, cache: Any) -> Tensor:
        """Logits of the token after the last one, float32 (B, vocab_size).

        Args:
            tokens: (B, T) int64; they follow those that `cache` holds.
            cache: What `new_cache` gave; it holds the tokens afterwards.
        """

    @abstractmethod
    def new_cache(self, batch_size: int, capacity: int) -> Cache:
        """An empty cache for `batch_size` sequences of at most `capacity` tokens."""

    @abstractmethod
    def cache_bytes(self, capacity: int) -> int:
        """Bytes that the cache of one sequence of `capacity` tokens takes."""

    @abstractmethod
    def hidden_matrices(self) -> set[str]:
        """Names of the trained matrices inside the blocks, the ones that Muon is made for."""

    @abstractmethod
    def args(self) -> dict[str, Any]:
        """Plain values from which, with its trained weights, the model can be built again."""


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and tensors of what training changes, each shared tensor once."""
    return [(name, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad]


def count_parameters(model: nn.Module) -> int:
    """Number of trained values, each shared tensor once."""
    return sum(tensor.numel() for _, tensor in trainable_parameters(model))
