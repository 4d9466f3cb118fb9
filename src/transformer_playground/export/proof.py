"""The proof of an export: what another program reads is compared with the run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from transformer_playground.errors import ExportError
from transformer_playground.export.evidence import Evidence
from transformer_playground.export.exportable import Exportable
from transformer_playground.export.greedy import continue_greedily

_SHOWN = 24


class Reader(Protocol):
    """An export, opened by a program that reads it.

    Attributes:
        name: The program and its version.
    """

    name: str

    def logprobs(self, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, T, vocab_size) of the next tokens for tokens (B, T) int64."""
        ...

    def continue_greedily(self, prompt: Sequence[int], count: int) -> list[int]:
        """The `count` most likely tokens after a prompt; fewer if it stops at an end token."""
        ...

    def encode(self, text: str) -> list[int] | None:
        """Token ids without start and end tokens; None if the export has no tokenizer."""
        ...


@dataclass(frozen=True)
class Proof:
    """The result of comparing an export with its run.

    Attributes:
        reader: The program that read the export.
        origin: What it was compared on: validation text or random tokens.
        positions: Number of positions whose log-probabilities were compared.
        largest_difference: Largest difference of a log-probability, in nats.
        tolerance: Its limit; None if only bits per byte are limited.
        greedy_tokens: Number of tokens of the greedy continuations.
        greedy_equal: How many were equal, up to a token whose runner-up is as likely.
        texts: Number of texts whose token ids were compared; 0 without a tokenizer.
        bits_per_byte_before: Loss of the run's weights; None without validation text.
        bits_per_byte_after: Loss of the export.
    """

    reader: str
    origin: str
    positions: int
    largest_difference: float
    tolerance: float | None
    greedy_tokens: int
    greedy_equal: int
    texts: int
    bits_per_byte_before: float | None
    bits_per_byte_after: float | None

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """One sentence for people."""
        parts = [
            f"{self.reader} gives the run's log-probabilities within "
            f"{self.largest_difference:.1e} nats at {self.positions:,} positions of {self.origin}",
            f"{self.greedy_equal} of {self.greedy_tokens} greedy tokens are equal",
        ]
        if self.texts:
            parts.append("the tokenizer gives the same ids")
        if self.bits_per_byte_before is not None and self.bits_per_byte_after is not None:
            parts.append(
                f"bits per byte {self.bits_per_byte_before:.4f} before and "
                f"{self.bits_per_byte_after:.4f} after"
            )
        return "; ".join(parts) + "."


def prove(
    source: Exportable,
    evidence: Evidence,
    reader: Reader,
    *,
    tolerance: float,
    bits_before: float | None,
) -> Proof:
    """Compare an export with the model it was made from.

    Args:
        source: The model, with its weights rounded as they were written.
        evidence: What to compare on.
        reader: The export.
        tolerance: Limit of the difference of log-probabilities for logits up to 1; larger logits
            are less exact in proportion.
        bits_before: Bits per byte of the run, before any rounding.

    Raises:
        ExportError: They differ, with the largest difference.
    """
    largest, scale = 0.0, 1.0
    after = evidence.bits_per_byte(reader.logprobs, source.subject.tokenizer)
    for window in evidence.windows:
        logits = source.logits(window[None, :-1])
        found = reader.logprobs(window[None, :-1])
        if found.shape != logits.shape:
            raise failed(f"its logits have the shape {tuple(found.shape)}", reader)
        difference = (logits.log_softmax(-1) - found).abs().max().item()
        # NaN is larger than any limit, but max() would drop it.
        largest = difference if not difference <= largest else largest
        scale = max(scale, logits.abs().max().item())
    limit = tolerance * scale
    if not largest <= limit:
        raise failed(
            f"its log-probabilities differ by up to {largest:.2g} nats, more than {limit:.2g}",
            reader,
        )
    equal, total = compare_greedy(source, evidence, reader, limit)
    return Proof(
        reader=reader.name,
        origin=evidence.origin,
        positions=evidence.windows.shape[0] * (evidence.windows.shape[1] - 1),
        largest_difference=largest,
        tolerance=limit,
        greedy_tokens=total,
        greedy_equal=equal,
        texts=compare_texts(source, evidence, reader),
        bits_per_byte_before=bits_before,
        bits_per_byte_after=after,
    )


def compare_greedy(
    source: Exportable, evidence: Evidence, reader: Reader, limit: float
) -> tuple[int, int]:
    """Number of equal greedy tokens, and of all.

    Args:
        source: The model.
        evidence: The prompts.
        reader: The export.
        limit: Log-probabilities that differ by less than twice this are equal.

    Raises:
        ExportError: A token differs.
    """
    equal = total = 0
    for prompt in evidence.prompts:
        known = source.subject.padding.start
        expected = continue_greedily(source.logits, prompt, evidence.continued, known)
        found = reader.continue_greedily(prompt, evidence.continued)
        end = source.subject.tokenizer.eos_id
        if end in expected:
            expected = expected[: expected.index(end) + 1]
        total += len(expected)
        for place, token in enumerate(expected):
            if place < len(found) and found[place] == token:
                equal += 1
                continue
            chosen = found[place] if place < len(found) else None
            context = torch.tensor([[*prompt, *expected[:place]]])
            scores = source.logits(context)[0, -1].log_softmax(-1)
            if chosen is None or scores[token] - scores[chosen] > 2 * limit:
                raise failed(
                    f"its greedy continuation has token {chosen} where the run has {token}", reader
                )
            # From a near tie on, the texts may differ.
            break
    return equal, total


def compare_texts(source: Exportable, evidence: Evidence, reader: Reader) -> int:
    """Number of texts with the same token ids.

    Raises:
        ExportError: One has others.
    """
    count = 0
    for text in evidence.texts:
        found = reader.encode(text)
        if found is None:
            continue
        expected = source.subject.tokenizer.encode(text)
        if found != expected:
            pairs = enumerate(zip(expected, found, strict=False))
            place = next((at for at, (ours, theirs) in pairs if ours != theirs), len(expected))
            shown = source.subject.tokenizer.decode(expected[place : place + _SHOWN])
            raise failed(f"its tokenizer gives other ids for {shown!r}", reader)
        count += 1
    return count


def failed(reason: str, reader: Reader) -> ExportError:
    """The error for an export that differs from its run."""
    return ExportError(
        f"The export was not kept, because {reader.name} does not compute what the run computes: "
        f"{reason}.",
        "This is a fault of the exporter or of that version; please report it. --no-verify keeps "
        "such an export.",
    )
