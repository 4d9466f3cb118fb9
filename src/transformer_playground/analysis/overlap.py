"""How much of a set of texts is copied, character by character, from a reference text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformer_playground.analysis.verbatim import CHUNK_SIZE, LongestShared


@dataclass(frozen=True)
class Match:
    """The longest passage of one text that occurs verbatim in the reference.

    Attributes:
        sample: Which text, counted from 0.
        start: Where the passage begins in the text, in code points.
        reference_start: Where it begins in the reference, in code points; the earliest place
            where any passage of that length occurs.
        text: The passage; empty if the two share no character (both starts are 0 then).
        share: The passage's share of the text's characters; 0 for an empty text.
    """

    sample: int
    start: int
    reference_start: int
    text: str
    share: float

    @property
    def length(self) -> int:
        """Code points in the passage."""
        return len(self.text)


@dataclass(frozen=True)
class Matches:
    """The longest verbatim matches of a set of texts.

    Attributes:
        per_text: One match for each text, in order.
        longest: The longest of them, the first of equals; None without texts.
        mean_length: Mean length in code points over the texts; None without texts.
        mean_share: Mean over the texts of the share that the match covers; None without texts.
    """

    per_text: tuple[Match, ...]
    longest: Match | None
    mean_length: float | None
    mean_share: float | None


@dataclass(frozen=True)
class ExactMatches:
    """Shares of the non-empty texts that occur whole in the splits; None if all are empty.

    Attributes:
        train: In the training text.
        val: In the validation text.
        either: In at least one of them.
        novel: In neither: one minus `either`.
    """

    train: float | None
    val: float | None
    either: float | None
    novel: float | None


def longest_matches(
    texts: Sequence[str], reference: str, *, chunk_size: int = CHUNK_SIZE
) -> Matches:
    """For each text the longest passage that occurs verbatim in the reference.

    Exact and case-sensitive, in code points: nothing is normalised. Of several passages of equal
    length the one that occurs earliest in the reference counts, at its first place in the text.

    `LongestShared` says how it is found: in time that grows with the reference and in memory that
    grows with the texts.

    Args:
        texts: What was generated.
        reference: What the model was trained on.
        chunk_size: Code points of the reference that are worked on at a time: decides about
            memory (some 60 bytes each), never about the result.
    """
    shared = LongestShared(texts, reference, chunk_size=chunk_size)
    found = tuple(
        _match(index, text, reference, int(place), int(length))
        for index, (text, place, length) in enumerate(
            zip(texts, shared.places, shared.lengths, strict=True)
        )
    )
    return Matches(
        per_text=found,
        longest=max(found, key=lambda match: match.length, default=None),
        mean_length=_mean([match.length for match in found]),
        mean_share=_mean([match.share for match in found]),
    )


def exact_match_ratio(texts: Sequence[str], reference: str) -> float | None:
    """Share of the non-empty texts that occur whole in the reference.

    A text is compared without the white space around it and may lie anywhere in the reference,
    inside a line or a word too; `exact_line_matches` asks for whole lines.

    Returns:
        The share, or None if no text holds more than white space.
    """
    return _true_share([text in reference for text in _stripped(texts)])


def exact_matches(texts: Sequence[str], train: str, val: str) -> ExactMatches:
    """Shares of the non-empty texts that occur verbatim anywhere in the splits."""
    return _exact_matches(texts, lambda text: text in train, lambda text: text in val)


def exact_line_matches(texts: Sequence[str], train: str, val: str) -> ExactMatches:
    """Shares of the non-empty texts that equal a line, or successive lines, of the splits.

    For corpora whose documents are lines: "Ann" is no copy of the line "Anna". White space at
    both ends of each line is ignored in the texts and in the splits, and empty lines count.
    """
    train_lines, val_lines = _framed_lines(train), _framed_lines(val)
    return _exact_matches(
        texts,
        lambda text: _framed_lines(text) in train_lines,
        lambda text: _framed_lines(text) in val_lines,
    )


def _exact_matches(
    texts: Sequence[str], in_train: Callable[[str], bool], in_val: Callable[[str], bool]
) -> ExactMatches:
    stripped = _stripped(texts)
    trained = [in_train(text) for text in stripped]
    validated = [in_val(text) for text in stripped]
    either = [train or val for train, val in zip(trained, validated, strict=True)]
    return ExactMatches(
        train=_true_share(trained),
        val=_true_share(validated),
        either=_true_share(either),
        novel=_true_share([not found for found in either]),
    )


def _match(index: int, text: str, reference: str, place: int, length: int) -> Match:
    passage = reference[place : place + length]
    return Match(index, text.index(passage), place, passage, length / len(text) if text else 0.0)


def _stripped(texts: Sequence[str]) -> list[str]:
    return [bare for text in texts if (bare := text.strip())]


def _framed_lines(text: str) -> str:
    return "\n" + "\n".join(line.strip() for line in text.split("\n")) + "\n"


def _true_share(answers: Sequence[bool]) -> float | None:
    return _mean(answers)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
