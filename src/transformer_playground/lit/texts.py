"""The texts that LIT shows at the start: windows of the validation split, and minimal pairs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from transformer_playground.data.dataset import Dataset
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.evaluation.pairs import Pair


def windows_card(
    name: str, dataset: Dataset, tokenizer: Tokenizer, *, size: int, count: int
) -> dict[str, Any]:
    """Windows of the validation split, evenly spread.

    Args:
        name: Name of the dataset.
        dataset: The prepared dataset.
        tokenizer: Decodes its tokens.
        size: Tokens of a window.
        count: Most windows.
    """
    whole = max(1, len(dataset.val) // size)
    chosen = sorted({whole * place // count for place in range(min(count, whole))} or {0})
    examples = [
        {
            "text": tokenizer.decode(
                np.asarray(dataset.val[number * size : (number + 1) * size]).tolist()
            ),
            "window": f"{number:,}",
        }
        for number in chosen
    ]
    description = (
        f"{len(examples):,} of {whole:,} windows of {size:,} tokens of the validation text"
    )
    return _card(name, description, {"text": "text", "window": "label"}, examples)


def pairs_card(name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Minimal pairs, each sentence as one text."""
    fields = {"text": "text", "verdict": "label", "kind": "label", "pair": "label"}
    description = f"{len(pairs):,} minimal pairs: a sentence, and the same with a fault"
    return _card(name, description, fields, list(_sentences(pairs)))


def _sentences(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for number, pair in enumerate(pairs):
        for verdict, text in (("good", pair.good), ("bad", pair.bad)):
            yield {"text": text, "verdict": verdict, "kind": pair.kind, "pair": f"{number:,}"}


def _card(
    name: str, description: str, fields: Mapping[str, str], examples: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {"name": name, "description": description, "fields": fields, "examples": examples}
