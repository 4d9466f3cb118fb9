"""The text that is looked at: a prompt, or windows of the run's dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import UsageError
from transformer_playground.inspection.request import InspectSetup
from transformer_playground.model.base import LanguageModel
from transformer_playground.runs.generation import token_text

# Windows that views read beside the first one; 0 = as many as the request says.
_WINDOWS: Mapping[str, int] = {"neurons": 0, "model": 8}


@dataclass(frozen=True)
class InspectedText:
    """Tokens within the context of a model.

    Attributes:
        source: prompt, train or val; None without a text.
        window: Index of the window of the split.
        tokens: (1, T) int64; T is 0 without a text.
        windows: Windows (N, T) from that one on, for views that read more than one text.
        other: Tokens of the prompt that is patched in, (1, T).
        notices: Sentences for the user.
    """

    source: str | None
    window: int | None
    tokens: Tensor
    windows: Tensor
    other: Tensor | None = None
    notices: tuple[str, ...] = ()

    @classmethod
    def of(cls, setup: InspectSetup, model: LanguageModel) -> "InspectedText":
        """The text of a request, cut to the context of the model.

        Raises:
            UsageError: The split has no such window.
        """
        if setup.prompt is not None:
            return _prompt(setup, setup.prompt, model.block_size)
        if setup.dataset is None or setup.split is None:
            nothing = torch.zeros(1, 0, dtype=torch.int64)
            return cls(None, None, nothing, nothing)
        split = setup.dataset.val if setup.split == "val" else setup.dataset.train
        # A split shorter than the context is one window.
        size = min(model.block_size, len(split))
        first, count = setup.request.window, len(split) // size
        if not 0 <= first < count:
            raise UsageError(
                f"There is no window {first:,}: {setup.split} has {count:,} windows of {size:,} "
                "tokens, counted from 0."
            )
        wanted = _WINDOWS.get(setup.request.view, 1) or setup.request.windows
        rows = np.array(split[first * size : min(first + wanted, count) * size])
        windows = torch.from_numpy(rows.astype(np.int64)).view(-1, size)
        return cls(setup.split, first, windows[:1], windows)

    def document(self, tokenizer: Tokenizer) -> dict[str, Any] | None:
        """The text as JSON values; None without one."""
        if self.source is None:
            return None
        shown = self.document_of(self.tokens, tokenizer)
        return {"source": self.source, "window": self.window, **shown}

    @staticmethod
    def document_of(tokens: Tensor, tokenizer: Tokenizer) -> dict[str, Any]:
        """Tokens (1, T) and their texts as JSON values."""
        ids = tokens[0].tolist()
        return {"tokens": ids, "token_texts": [token_text(tokenizer, each) for each in ids]}


def _prompt(setup: InspectSetup, tokens: tuple[int, ...], block_size: int) -> InspectedText:
    notices = []
    if len(tokens) > block_size:
        notices.append(
            f"the text has {len(tokens):,} tokens and the context {block_size:,}: only the last "
            f"{block_size:,} are looked at"
        )
    rows = torch.tensor([tokens[-block_size:]])
    other = None if setup.other is None else torch.tensor([setup.other[-block_size:]])
    return InspectedText("prompt", None, rows, rows, other, tuple(notices))


def named_token(tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    """A token with its text; one that only pads the vocabulary has none."""
    text = token_text(tokenizer, token) if token < tokenizer.vocab_size else ""
    return {"token": token, "text": text}
