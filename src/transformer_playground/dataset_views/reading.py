"""Windows, batches and places of an open dataset."""

from dataclasses import dataclass

import numpy as np

from transformer_playground.data.browsing.search import Match
from transformer_playground.data.browsing.statistics import SplitStatistics, place_of
from transformer_playground.data.loader import IGNORED
from transformer_playground.data.training_batches import micro_batches
from transformer_playground.dataset_views.source import DataSource, Split
from transformer_playground.errors import DataError, UsageError

CHANGED = "The dataset was prepared again or removed meanwhile."


@dataclass(frozen=True)
class ShownToken:
    """A token with its text, untrusted.

    Attributes:
        is_target: Whether a model learns to predict it.
        is_found: Whether it belongs to the text that was searched for.
    """

    token: int
    text: str
    is_target: bool = True
    is_found: bool = False


@dataclass(frozen=True)
class TokenWindow:
    """Consecutive tokens of a split.

    Attributes:
        line: Line of the split in which it begins, or in which its match does, counted from 1;
            None if not counted.
        part: Document or paragraph of that place, counted from 1.
        parts: How many there are.
        unit: What the parts are.
    """

    split: Split
    first: int
    total: int
    tokens: tuple[ShownToken, ...]
    line: int | None = None
    part: int | None = None
    parts: int | None = None
    unit: str = "document"


@dataclass(frozen=True)
class BatchRow:
    """One sequence of a batch: its inputs, and the last target at the end."""

    micro_batch: int
    tokens: tuple[ShownToken, ...]

    @property
    def masked(self) -> int:
        """Tokens that are no target; the first one has nothing before it and does not count."""
        return sum(not each.is_target for each in self.tokens[1:])


@dataclass(frozen=True)
class StepBatch:
    """The sequences that a step draws.

    Attributes:
        targets: Number of tokens that are predicted.
    """

    step: int
    rows: tuple[BatchRow, ...]
    targets: int


def require_current(source: DataSource) -> None:
    """Refuse to read files that are not those that were opened.

    Raises:
        DataError: The dataset has changed.
    """
    if not source.is_current:
        raise DataError(CHANGED, "Open it again.")


def read_window(
    source: DataSource,
    split: Split,
    first: int,
    length: int,
    *,
    statistics: SplitStatistics | None = None,
    match: Match | None = None,
) -> TokenWindow:
    """Tokens from a position on; a position beyond the ends is moved to them.

    Args:
        source: The dataset.
        split: Name of the split.
        first: Position of the first token.
        length: Number of tokens.
        statistics: Counts of the split, which know lines and documents.
        match: Tokens that were searched for.

    Raises:
        DataError: The dataset has changed, or has a token beyond the vocabulary.
    """
    require_current(source)
    tokens = source.split(split)
    first = max(0, min(first, len(tokens) - 1))
    found = range(match.first, match.last + 1) if match else range(0)
    ids = np.asarray(tokens[first : first + length]).tolist()
    window = TokenWindow(
        split,
        first,
        len(tokens),
        tuple(
            ShownToken(token, source.table.shown(token), is_found=first + number in found)
            for number, token in enumerate(ids)
        ),
    )
    if statistics is None:
        return window
    place = place_of(tokens, source.table, statistics, match.first if match else first)
    return TokenWindow(
        split,
        first,
        len(tokens),
        window.tokens,
        place.line,
        place.part,
        statistics.parts,
        statistics.unit,
    )


def read_batch(source: DataSource, step: int) -> StepBatch:
    """What a step of a run draws, by the sampler of the training.

    Args:
        source: The dataset, with the settings of the run.
        step: Number of the step, counted from 1.

    Raises:
        UsageError: There is no such step.
        DataError: The dataset has changed, or is too short for the settings.
    """
    if not 1 <= step <= source.config.train.runtime.max_iters:
        raise UsageError(
            f"There is no step {step:,} in {source.config.train.runtime.max_iters:,}.",
            "Steps are counted from 1.",
        )
    require_current(source)
    rows = []
    count = 0
    for number, (inputs, targets) in enumerate(micro_batches(source.config, source.dataset, step)):
        for given, wanted in zip(inputs, targets, strict=True):
            ids = [*given.tolist(), int(wanted[-1])]
            is_target = [False, *(wanted != IGNORED).tolist()]
            # The padding at the end is no target, and not of interest.
            length = len(ids)
            while length > 1 and not is_target[length - 1]:
                length -= 1
            count += sum(is_target)
            rows.append(
                BatchRow(
                    number,
                    tuple(
                        ShownToken(token, source.table.shown(token), is_target=wanted_)
                        for token, wanted_ in zip(ids[:length], is_target[:length], strict=True)
                    ),
                )
            )
    return StepBatch(step, tuple(rows), count)
