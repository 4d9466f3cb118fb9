"""Random sample of the lines of a text, in memory of the size of the sample."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

# Characters of consecutive lines that are taken or left together. A block keeps lines of one
# document side by side, and is one object in memory instead of hundreds.
_BLOCK = 1 << 15
_SEED = 0


@dataclass(frozen=True)
class LineSample:
    """Blocks of lines in the order of the text.

    Attributes:
        characters: Characters of the blocks, with line ends.
        total: Characters of the text.
    """

    blocks: tuple[str, ...]
    characters: int
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole text."""
        return self.characters == self.total

    def __iter__(self) -> Iterator[str]:
        """The lines, without line ends."""
        for block in self.blocks:
            yield from block.split("\n")


def sample_lines(lines: Iterable[str], most: int) -> LineSample:
    """Choose at random about `most` characters of a text, or the whole text if it has no more.

    The same text gives the same sample. Every block is as likely to be in it (reservoir sampling:
    Vitter 1985, algorithm R).
    """
    kept: list[tuple[int, str]] = []
    capacity: int | None = None
    size = total = 0
    generator = np.random.default_rng(_SEED)
    for number, block in enumerate(_blocks(lines)):
        total += len(block) + 1
        if capacity is None:
            if size + len(block) + 1 <= most or not kept:
                kept.append((number, block))
                size += len(block) + 1
                continue
            capacity = len(kept)
        place = int(generator.integers(number + 1))
        if place < capacity:
            size += len(block) - len(kept[place][1])
            kept[place] = (number, block)
    kept.sort()
    return LineSample(tuple(block for _, block in kept), size, total)


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    waiting: list[str] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line) + 1
        if size >= _BLOCK:
            yield "\n".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield "\n".join(waiting)
