"""Ready the induction experiment: write repeated random letters if there is no text."""

import random
from pathlib import Path

from transformer_playground.data.sources.corpora import check_unread, find_inputs
from transformer_playground.experiments.registry import PrepareContext, register
from transformer_playground.files import replace_text

COUNT = 12_000
SEED = 314
SHORTEST, LONGEST = 6, 24
REPETITIONS = 3

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CORPUS = "repeated.txt"


@register("induction")
def main(context: PrepareContext) -> None:
    """Write sequences into `raw_dir` unless it holds text; the standard preparer does the rest."""
    raw_dir: Path = context.config.prepare.raw_dir
    if find_inputs(raw_dir):
        return
    check_unread(raw_dir)
    raw_dir.mkdir(parents=True, exist_ok=True)
    # No separator: it would tell where a sequence begins, and be a letter of the random tokens.
    replace_text(raw_dir / _CORPUS, "".join(generate()))
    context.report(f"{raw_dir} had no text: {COUNT:,} sequences were written to {_CORPUS} there.")


def generate(count: int = COUNT, seed: int = SEED) -> list[str]:
    """`count` texts, each a sequence of 6 to 24 random letters said three times."""
    # random() is the one draw whose sequence Python promises to keep between versions.
    draw = random.Random(seed).random
    texts = []
    for _ in range(count):
        length = SHORTEST + int(draw() * (LONGEST - SHORTEST + 1))
        sequence = "".join(_LETTERS[int(draw() * len(_LETTERS))] for _ in range(length))
        texts.append(sequence * REPETITIONS)
    return texts
