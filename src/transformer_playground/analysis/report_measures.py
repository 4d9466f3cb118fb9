"""Every measure of a report's texts, for samples and for real text alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformer_playground.analysis.novelty import ngram_novelty
from transformer_playground.analysis.overlap import (
    ExactMatches,
    exact_line_matches,
    exact_match_ratio,
    exact_matches,
    longest_matches,
)
from transformer_playground.analysis.report_corpus import Corpus
from transformer_playground.analysis.report_parts import LongestMatch, TextMeasures
from transformer_playground.analysis.texts import text_statistics


@dataclass(frozen=True)
class Compared:
    """Texts against a dataset: see `TextMeasures`."""

    exact_match: ExactMatches
    longest_match: LongestMatch | None
    ngram_novelty: dict[str, float | None]


def measure(texts: Sequence[str], compared: Compared | None) -> TextMeasures:
    """What a set of texts is like, with what a comparison found."""
    return TextMeasures(
        statistics=text_statistics(texts),
        exact_match=compared.exact_match if compared else None,
        longest_match=compared.longest_match if compared else None,
        ngram_novelty=compared.ngram_novelty if compared else None,
    )


def compare_samples(texts: Sequence[str], corpus: Corpus) -> Compared:
    """Hold samples against both splits."""
    find = exact_line_matches if corpus.by_line else exact_matches
    return _compared(texts, corpus, find(texts, corpus.train, corpus.val))


def compare_real(texts: Sequence[str], corpus: Corpus) -> Compared:
    """Hold validation text against the training text; that it is validation text needs no proof."""
    if corpus.by_line:
        train = exact_line_matches(texts, corpus.train, "").train
    else:
        train = exact_match_ratio(texts, corpus.train)
    novel = None if train is None else 1 - train
    return _compared(texts, corpus, ExactMatches(train=train, val=None, either=None, novel=novel))


def _compared(texts: Sequence[str], corpus: Corpus, exact: ExactMatches) -> Compared:
    novelty = ngram_novelty(texts, corpus.train)
    return Compared(
        exact_match=exact,
        longest_match=_longest(texts, corpus.train),
        ngram_novelty={str(size): share for size, share in novelty.items()},
    )


def _longest(texts: Sequence[str], train: str) -> LongestMatch | None:
    matches = longest_matches(texts, train)
    longest, length, share = matches.longest, matches.mean_length, matches.mean_share
    if longest is None or length is None or share is None:
        return None
    return LongestMatch(longest.length, longest.text, longest.sample, length, share)
