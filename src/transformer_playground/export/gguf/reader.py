"""A GGUF file, read by llama.cpp and compared with the run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from transformer_playground.errors import ExportError
from transformer_playground.export.evidence import Evidence
from transformer_playground.export.exportable import Exportable
from transformer_playground.export.gguf.llama_cpp import LlamaCpp, serving
from transformer_playground.export.proof import Proof, compare_greedy, compare_texts, failed
from transformer_playground.files import spread_indices

_MAX_POSITIONS = 384
# Log-probabilities of all positions; llama.cpp answers with about 100 bytes for each.
_MAX_ENTRIES = 1 << 21


@dataclass(frozen=True)
class Limits:
    """How much an export may differ from its run.

    Attributes:
        difference: Of log-probabilities in nats, for logits up to 1; larger logits are less exact
            in proportion. Infinite = not limited.
        bits: Additional bits per byte.
    """

    difference: float
    bits: float = math.inf


class LlamaCppReader:
    """A GGUF file that is served by llama.cpp.

    Attributes:
        name: The program and its version.
        client: For further requests.
    """

    def __init__(self, client: LlamaCpp, known: int) -> None:
        self.name = client.name
        self.client = client
        self._known = known

    def next_logprobs(self, prompt: Sequence[int], rows: int) -> Tensor:
        """Log-probabilities (known,) of the tokens after a prompt, among the known ones."""
        found = self.client.logprobs(prompt, rows)
        scores = torch.full((self._known,), -math.inf)
        for token, logprob in found.items():
            if token < self._known:
                scores[token] = logprob
        return scores.log_softmax(-1)

    def logprobs(self, tokens: Tensor) -> Tensor:
        """See `Reader.logprobs`; without rows that no token has."""
        return torch.stack([
            torch.stack([
                self.next_logprobs(row[: place + 1], self._known + 1) for place in range(len(row))
            ])
            for row in tokens.tolist()
        ])  # fmt: skip

    def continue_greedily(self, prompt: Sequence[int], count: int) -> list[int]:
        """See `Reader.continue_greedily`."""
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(next(iter(self.client.logprobs(tokens, 1))))
        return tokens[len(prompt) :]

    def encode(self, text: str) -> list[int]:
        """See `Reader.encode`."""
        return self.client.tokenize(text)


def plain_token(source: Exportable) -> int:
    """The first token of complete characters that neither starts nor ends a text."""
    tokenizer = source.subject.tokenizer
    special = {tokenizer.bos_id, tokenizer.eos_id}
    for token in range(tokenizer.vocab_size):
        content = tokenizer.token_bytes(token)
        if token not in special and content and content.isascii():
            return token
    return 0


def prove_file(path: Path, source: Exportable, evidence: Evidence, limits: Limits) -> Proof:
    """Compare a GGUF file with the model it was made from.

    Args:
        path: The file.
        source: The model, with its weights as in the run.
        evidence: What to compare on.
        limits: By how much they may differ.

    Raises:
        ExportError: They differ, or llama.cpp cannot be run.
    """
    subject = source.subject
    with serving(path, subject.block_size, plain_token=plain_token(source)) as client:
        reader = LlamaCppReader(client, subject.padding.start)
        comparison = _compare_logprobs(source, evidence, reader)
        limit = limits.difference * comparison.scale
        if not comparison.largest <= limit:
            raise failed(
                f"its log-probabilities differ by up to {comparison.largest:.2g} nats, more than "
                f"{limit:.2g}",
                reader,
            )
        before, after = comparison.before, comparison.after
        if before is not None and after is not None and not after - before <= limits.bits:
            raise ExportError(
                f"The export was not kept, because its weights lose too much: {after:.3f} bits per "
                f"byte instead of {before:.3f}.",
                "Choose a larger type of weights.",
            )
        equal, total = compare_greedy(source, evidence, reader, limit)
        return Proof(
            reader=reader.name,
            origin=evidence.origin,
            positions=comparison.positions,
            largest_difference=comparison.largest,
            # JSON has no infinity.
            tolerance=limit if math.isfinite(limit) else None,
            greedy_tokens=total,
            greedy_equal=equal,
            texts=compare_texts(source, evidence, reader),
            bits_per_byte_before=before,
            bits_per_byte_after=after,
        )


@dataclass(frozen=True)
class _Comparison:
    """Differences at a number of positions; `scale` is the largest logit, or 1."""

    largest: float
    scale: float
    positions: int
    before: float | None
    after: float | None


def _compare_logprobs(
    source: Exportable, evidence: Evidence, reader: LlamaCppReader
) -> _Comparison:
    known = source.subject.padding.start
    # A prompt leaves room for a token, which is not read.
    windows = evidence.windows[:, : source.subject.block_size]
    budget = max(4, min(_MAX_POSITIONS, _MAX_ENTRIES // known))
    per_window = max(4, budget // len(windows))
    largest, scale, positions = 0.0, 1.0, 0
    nats, size = [0.0, 0.0], 0
    for window in windows[: max(1, budget // per_window)]:
        logits = source.logits(window[None, :-1])[0, :, :known]
        scale = max(scale, logits.abs().max().item())
        expected = logits.log_softmax(-1)
        tokens = window.tolist()
        for place in spread_indices(len(tokens) - 1, per_window):
            found = reader.next_logprobs(tokens[: place + 1], known + 1)
            difference = (expected[place] - found).abs().max().item()
            # NaN is larger than any limit, but max() would drop it.
            largest = difference if not difference <= largest else largest
            target = tokens[place + 1]
            nats[0] -= expected[place, target].item()
            nats[1] -= found[target].item()
            size += len(source.subject.tokenizer.token_bytes(target))
            positions += 1
    bits = [value / math.log(2) / max(size, 1) for value in nats]
    before, after = bits if evidence.origin == "validation text" else (None, None)
    return _Comparison(largest, scale, positions, before, after)
