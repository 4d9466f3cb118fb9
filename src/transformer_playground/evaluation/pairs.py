"""Minimal pairs: whether a model finds a sentence likelier than the same one with a fault."""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, get_args

import torch
from torch.nn import functional

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import DataError
from transformer_playground.model.base import LanguageModel, evaluating

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_FILE = Path(__file__).with_name("minimal_pairs.toml")
# What a sentence may follow, where the tokenizer has no start-of-text token.
_BREAK = "\n"
_SENTENCE = re.compile(r"[^\n.!?:;]+")
_FEWEST_WORDS, _MOST_WORDS = 4, 12


@dataclass(frozen=True)
class Pair:
    """A sentence and the same with a fault of some kind."""

    kind: str
    good: str
    bad: str


@dataclass(frozen=True)
class PairScore:
    """Log-likelihoods of both sentences in nats."""

    pair: Pair
    good: float
    bad: float

    @property
    def credit(self) -> float:
        """1 if the good one is likelier, 0 if the bad one is, a half if they tie."""
        return 0.5 if self.good == self.bad else float(self.good > self.bad)


def bundled_pairs(language: Language) -> list[Pair]:
    """The pairs of a language that come with the program, by kind of fault."""
    kinds = tomllib.loads(_FILE.read_text(encoding="utf-8"))[language]
    return [Pair(kind, good, bad) for kind, pairs in kinds.items() for good, bad in pairs]


def swapped_pairs(text: str, count: int, seed: int = 0) -> list[Pair]:
    """Pairs made from a text: two neighbouring words of a sentence in the wrong order.

    Args:
        text: Any text; clauses of 4 to 12 words are used.
        count: Most pairs to make, spread over the text.
        seed: Chooses the words.
    """
    draw = Random(seed).random
    clauses = [clause.split() for clause in _SENTENCE.findall(text)]
    fitting = [words for words in clauses if _FEWEST_WORDS <= len(words) <= _MOST_WORDS]
    step = max(1, len(fitting) // count)
    pairs: list[Pair] = []
    for words in fitting[::step][:count]:
        # The first word may begin with a capital, which would give the swap away.
        places = [
            place
            for place in range(1, len(words) - 1)
            if words[place].casefold() != words[place + 1].casefold()
        ]
        if places:
            place = places[int(draw() * len(places))]
            swapped = [*words]
            swapped[place], swapped[place + 1] = words[place + 1], words[place]
            pairs.append(Pair("word order", " ".join(words), " ".join(swapped)))
    return pairs


def score_pairs(
    model: LanguageModel,
    tokenizer: Tokenizer,
    pairs: Sequence[Pair],
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[PairScore], int]:
    """Scores of pairs, as in BLiMP (Warstadt et al. 2020), and how many were left out.

    A sentence follows the start-of-text token, else a line break; without either, its first token
    is not scored. Pairs that the tokenizer cannot encode or the context cannot hold are left out.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        pairs: The pairs.
        cancelled: Called before each pair; true ends the work.
    """
    start = _start(tokenizer)
    scores: list[PairScore] = []
    skipped = 0
    with evaluating(model):
        for pair in pairs:
            if cancelled():
                break
            try:
                both = [[*start, *tokenizer.encode(text)] for text in (pair.good, pair.bad)]
            except DataError:
                skipped += 1
                continue
            if max(map(len, both)) > model.block_size + 1 or min(map(len, both)) < 2:
                skipped += 1
                continue
            good, bad = (_log_likelihood(model, tokens) for tokens in both)
            scores.append(PairScore(pair, good, bad))
    return scores, skipped


def _start(tokenizer: Tokenizer) -> list[int]:
    if tokenizer.bos_id is not None:
        return [tokenizer.bos_id]
    try:
        return tokenizer.encode(_BREAK)
    except DataError:
        return []


def _log_likelihood(model: LanguageModel, tokens: Sequence[int]) -> float:
    sequence = torch.tensor([tokens], device=model.device)
    logits = model(sequence[:, :-1]).float()
    # In float64, so that equal sentences tie and others do not.
    losses = functional.cross_entropy(logits[0].double(), sequence[0, 1:], reduction="sum")
    return -float(losses)
