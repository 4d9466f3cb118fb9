"""How many of the texts' word n-grams the reference text does not hold."""

from collections.abc import Iterable, Sequence

from transformer_playground.analysis.texts import split_words


def ngram_novelty(
    texts: Sequence[str], reference: str, sizes: Iterable[int] = range(1, 11)
) -> dict[int, float | None]:
    """Share of the texts' word n-grams that do not occur in the reference, for each size.

    Every occurrence in the texts counts (tokens, not types). N-grams do not cross from one text
    into the next; in the reference they cross lines, since white space only separates words.
    Source: McCoy et al. 2023, "How Much Do Language Models Copy From Their Training Data?
    Evaluating Linguistic Novelty in Text Generation Using RAVEN".

    Args:
        texts: What was generated.
        reference: What the model was trained on.
        sizes: Words in an n-gram, each at least 1.

    Returns:
        For each size the share, or None if no text has that many words.
    """
    words = [split_words(text) for text in texts]
    known = split_words(reference)
    novelty: dict[int, float | None] = {}
    for size in sizes:
        seen = {tuple(known[start : start + size]) for start in range(len(known) - size + 1)}
        grams = [
            tuple(one[start : start + size])
            for one in words
            for start in range(len(one) - size + 1)
        ]
        novelty[size] = sum(gram not in seen for gram in grams) / len(grams) if grams else None
    return novelty
