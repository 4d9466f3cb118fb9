"""Longest verbatim matches of 200 texts with a training text, against search with `in`.

The texts are 500 characters long and concatenated from passages of 8 to 40 characters of Tiny
Shakespeare, like the output of a model that has partly memorised it. The larger reference is the
same text followed by its words in random order. The other side is the shortest correct way in plain
Python: from each position of a text, search with `in` for one character more than the longest match
so far. It is timed on a few texts; both sides must find the same lengths.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from importlib.resources import files
from typing import TypeVar

from transformer_playground.text_metrics.novelty import ngram_novelty
from transformer_playground.text_metrics.overlap import longest_matches

_TEXT_LENGTH = 500
_TEXTS = 200

T = TypeVar("T")


def stitched(source: str, chance: random.Random) -> str:
    """A text of random passages of the source."""
    text = ""
    while len(text) < _TEXT_LENGTH:
        start = chance.randrange(len(source) - 40)
        text += source[start : start + chance.randint(8, 40)]
    return text[:_TEXT_LENGTH]


def grown(source: str, size: int, chance: random.Random) -> str:
    """The source, followed by its words in random order, `size` characters in total."""
    words = source.split(" ")
    text = source
    while len(text) < size:
        chance.shuffle(words)
        text += " ".join(words)
    return text[:size]


def plain_search(text: str, reference: str) -> int:
    """Length of the longest match, found with `in`."""
    longest = 0
    for start in range(len(text)):
        while start + longest < len(text) and text[start : start + longest + 1] in reference:
            longest += 1
    return longest


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def measure(texts: list[str], reference: str, plain_texts: int) -> dict[str, float]:
    ours, matches = seconds(lambda: longest_matches(texts, reference))
    novelty, _ = seconds(lambda: ngram_novelty(texts, reference))
    plain, lengths = seconds(
        lambda: [plain_search(text, reference) for text in texts[:plain_texts]]
    )
    if lengths != [match.length for match in matches.per_text[:plain_texts]]:
        raise SystemExit("the two sides disagree about the longest matches")
    return {
        "megabytes": len(reference) / 1e6,
        "longest_matches_s": ours,
        "ngram_novelty_s": novelty,
        "plain_s_per_text": plain / plain_texts,
        "speedup": plain / plain_texts * len(texts) / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--plain-texts", type=int, default=5, help="texts for the other side")
    options = parser.parse_args()
    bundled = files("transformer_playground.data") / "bundled" / "tiny_shakespeare.txt"
    source = bundled.read_text(encoding="utf-8")
    chance = random.Random(1)
    texts = [stitched(source, chance) for _ in range(_TEXTS)]
    rows = []
    print(f"{_TEXTS} texts of {_TEXT_LENGTH} characters, seconds (plain search: for as many)")
    print(f"{'reference':>10} {'longest':>8} {'novelty':>8} {'plain':>8} {'speedup':>8}")
    for megabytes in options.megabytes:
        reference = grown(source, megabytes * 1_000_000, chance)
        row = measure(texts, reference, options.plain_texts)
        rows.append(row)
        print(
            f"{megabytes:>7} MB {row['longest_matches_s']:8.2f} {row['ngram_novelty_s']:8.2f}"
            f" {row['plain_s_per_text'] * _TEXTS:8.0f} {row['speedup']:7.0f}x"
        )
    print(json.dumps({"benchmark": "text_overlap", "rows": rows}))


if __name__ == "__main__":
    main()
