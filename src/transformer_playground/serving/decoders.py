"""Decoders of the engine: sequences that join and leave between steps."""

from collections.abc import Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from transformer_playground.generation.generate import DecodingContext
from transformer_playground.generation.ragged import RaggedDecoder
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.gpt import GPT


class Decoder(Protocol):
    """Decodes several sequences; `rows` names them in the order of the rows of all tensors."""

    rows: list[Hashable]

    def add(
        self, sequences: Sequence[Hashable], prompt: Sequence[int], *, max_new_tokens: int
    ) -> Tensor:
        """Add sequences with a common prompt as last rows; their logits (sequences, vocab_size)."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each row, int64 (rows,); logits of the next, (rows, vocab_size)."""
        ...

    def remove(self, sequence: Hashable) -> None:
        """Remove a sequence; the order of the other rows may change."""
        ...


def build_decoder(model: LanguageModel) -> Decoder:
    """The decoder of a model: one batch for our own models, one for each prompt for others."""
    return RaggedDecoder(model) if isinstance(model, GPT) else PromptDecoder(model)


class PromptDecoder:
    """Decodes each prompt as a batch of its own, for models whose rows have one length.

    Args:
        model: The model, in evaluation mode.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.rows: list[Hashable] = []
        self._batches: list[tuple[list[Hashable], DecodingContext]] = []

    @torch.inference_mode()
    def add(
        self, sequences: Sequence[Hashable], prompt: Sequence[int], *, max_new_tokens: int
    ) -> Tensor:
        """Add sequences with a common prompt as last rows; their logits (sequences, vocab_size)."""
        context = DecodingContext(
            self._model, prompt, n_samples=len(sequences), max_new_tokens=max_new_tokens
        )
        logits = context.next_logits()
        self._batches.append((list(sequences), context))
        self.rows += sequences
        return logits

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Append a token to each row, int64 (rows,); logits of the next, (rows, vocab_size)."""
        parts = torch.split(tokens, [len(names) for names, _ in self._batches])
        logits = []
        for (_, context), part in zip(self._batches, parts, strict=True):
            context.append(part)
            logits.append(context.next_logits())
        return torch.cat(logits)

    @torch.inference_mode()
    def remove(self, sequence: Hashable) -> None:
        """Remove a sequence; the others keep their order."""
        batch = next(each for each in self._batches if sequence in each[0])
        names, context = batch
        kept = [row for row, name in enumerate(names) if name is not sequence]
        names.remove(sequence)
        self.rows.remove(sequence)
        if names:
            context.keep(torch.tensor(kept, device=self._model.device))
        else:
            self._batches.remove(batch)
