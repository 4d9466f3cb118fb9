"""What a run says about texts, as JSON values for LIT."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.tokenizers import StreamDecoder, Tokenizer
from transformer_playground.errors import UsageError
from transformer_playground.formatting import percent_text
from transformer_playground.generation.sampler import check_numbers
from transformer_playground.inspection.heads import attention_patterns
from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.recording import Site, record
from transformer_playground.inspection.salience import gradient_salience
from transformer_playground.inspection.text import TokenScores, score_tokens
from transformer_playground.model.base import LanguageModel
from transformer_playground.runs.generation import LoadedRun, token_text
from transformer_playground.terminal import visible_line

_ALTERNATIVES = 10
# Tokens of a text that are marked as unexpected.
_MARKED = 12
_Mark = dict[str, Any]
# Tokens that would be empty boxes.
_SIGNS = {" ": "␣", "\n": "↵"}


@dataclass(frozen=True)
class AskedModel:
    """A model that LIT asks about texts.

    Characters that the tokenizer lacks are left out, and of texts longer than the context the end
    is read.

    Attributes:
        name: Id of the run.
    """

    name: str
    description: str
    model: LanguageModel
    tokenizer: Tokenizer
    opening: tuple[int, ...]

    @classmethod
    def of(cls, loaded: LoadedRun, prepare: PrepareConfig) -> "AskedModel":
        """The model of a run, with the settings of its training data."""
        tokenizer = loaded.tokenizer
        begins = prepare.documents == "lines" or tokenizer.prepends_bos
        opening = (tokenizer.bos_id,) if begins and tokenizer.bos_id is not None else ()
        description = f"{loaded.run_id}, {loaded.checkpoint.name}, step {loaded.step:,}"
        return cls(loaded.run_id, description, loaded.model, tokenizer, opening)

    def card(self) -> dict[str, Any]:
        """What LIT must know to show it."""
        parts = parts_of(self.model)
        return {
            "name": self.name,
            "description": self.description,
            "n_layer": len(parts.layers),
            "n_head": parts.n_head,
            "highest_loss": 2 * math.log(self.model.vocab_size),
        }

    @torch.inference_mode()
    def predict(self, text: str) -> dict[str, Any]:
        """Tokens, surprisals in nats, alternatives, mean loss, and the mean of the last layer.

        Raises:
            SamplingError: The model's output is NaN.
        """
        tokens = self._tokens(text)
        last = Site("residual", len(parts_of(self.model).layers) - 1)
        recording = record(self.model, tokens, [last])
        check_numbers(recording.logits)
        scores = score_tokens(recording.logits[0], tokens[0], alternatives=_ALTERNATIVES)
        unexpected, following = self._marks(text, scores)
        return {
            "tokens": self._shown(tokens),
            # The first token has no prediction.
            "surprisals": [each or 0.0 for each in scores.surprisals],
            "expected": [[], *map(self._named, scores.likeliest[:-1])],
            "unexpected": unexpected,
            "next": following,
            "loss": scores.mean_loss or 0.0,
            "embedding": recording[last][0].float().mean(dim=0).tolist(),
        }

    @torch.inference_mode()
    def attention(self, text: str, layer: int, head: int, position: int) -> dict[str, Any]:
        """Weights of a head over all tokens, from the token at a position (negative: from the end).

        Raises:
            UsageError: There is no such layer, head or token.
            SamplingError: The model's output is NaN.
        """
        tokens = self._tokens(text)
        length = tokens.shape[1]
        card = self.card()
        for kind, number, count in (
            ("layer", layer, card["n_layer"]),
            ("head", head, card["n_head"]),
        ):
            if not 0 <= number < count:
                raise UsageError(f"There is no {kind} {number}: {self.name} has {count}.")
        if not -length <= position < length:
            raise UsageError(f"There is no token {position}: the text has {length}.")
        weights = attention_patterns(self.model, tokens)[layer, 0, head, position]
        check_numbers(weights)
        return {"tokens": self._shown(tokens), "weights": weights.tolist()}

    def salience(self, text: str) -> dict[str, Any]:
        """How much each token matters for the last one; see `gradient_salience`.

        Products are in proportion to the largest, so that they lie between -1 and 1.

        Raises:
            SamplingError: The model's output is NaN.
        """
        tokens = self._tokens(text)
        if tokens.shape[1] < 2:
            return {"tokens": self._shown(tokens), "norms": [0.0], "products": [0.0]}
        found = gradient_salience(self.model, tokens)
        check_numbers(found.products)
        most = found.products.abs().max().clamp(min=1e-30)
        return {
            "tokens": self._shown(tokens),
            # The last one is what is explained.
            "norms": [*found.norms.tolist(), 0.0],
            "products": [*(found.products / most).tolist(), 0.0],
        }

    def _tokens(self, text: str) -> Tensor:
        known, _ = self.tokenizer.encode_known(text)
        ids = [*self.opening, *known.tolist()][-self.model.block_size :]
        return torch.tensor([ids or [0]], device=self.model.device)

    def _shown(self, tokens: Tensor) -> list[str]:
        return [self._text(token) for token in tokens[0].tolist()]

    def _text(self, token: int) -> str:
        if token >= self.tokenizer.vocab_size:
            return f"#{token}"
        text = token_text(self.tokenizer, token)
        return _SIGNS.get(text) or visible_line(text.replace("\n", _SIGNS["\n"]))

    def _named(self, row: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
        return [(self._text(token), probability) for token, probability in row]

    def _marks(self, text: str, scores: TokenScores) -> tuple[list[_Mark], list[_Mark]]:
        """Marks in the text: the most surprising tokens, and at its end what may follow.

        Empty where the tokens are not the end of the text, as with characters that were left out.
        """
        decoder = StreamDecoder(self.tokenizer)
        pieces = [decoder.push(token) for token in scores.tokens]
        start = len(text) - sum(map(len, pieces))
        if start < 0 or text[start:] != "".join(pieces):
            return [], []
        ends = [start + length for length in accumulate(map(len, pieces))]
        surprising = [
            (surprisal, place)
            for place, surprisal in enumerate(scores.surprisals)
            if surprisal is not None and pieces[place]
        ]
        unexpected: list[_Mark] = []
        for surprisal, place in sorted(surprising, reverse=True)[:_MARKED]:
            shown = self._text(scores.tokens[place])
            likeliest = self._likely(scores.likeliest[place - 1][0])
            label = f"“{shown}” {surprisal:.1f} nats, not {likeliest}"
            unexpected.append(_mark(label, ends[place - 1], ends[place], surprisal))
        following = [
            _mark(self._likely(each), ends[-1] - len(pieces[-1]), ends[-1], each[1])
            for each in scores.likeliest[-1]
        ]
        return unexpected, following

    def _likely(self, candidate: tuple[int, float]) -> str:
        token, probability = candidate
        return f"“{self._text(token)}” {percent_text(probability)}"


def _mark(label: str, start: int, end: int, score: float) -> _Mark:
    return {"label": label, "start": start, "end": end, "score": score}
