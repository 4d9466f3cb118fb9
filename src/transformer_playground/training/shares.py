"""Which sequences of an optimizer step each process computes.

A step has `batch_size` x `grad_accum_steps` sequences, whatever the number of processes: they are
shared out, so that every split of a step sees the same sequences.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_playground.errors import ConfigError

if TYPE_CHECKING:
    from transformer_playground.config.train import DataConfig


@dataclass(frozen=True)
class Piece:
    """Sequences `start` … `stop - 1` of a step, which one forward pass computes.

    Attributes:
        batch_start: First sequence of the micro-batch that the piece is a part of, or `start`.
        batch_stop: Last sequence of that micro-batch + 1, or `stop`.
    """

    start: int
    stop: int
    batch_start: int
    batch_stop: int

    @property
    def is_part(self) -> bool:
        """Whether it is only a part of its micro-batch."""
        return (self.start, self.stop) != (self.batch_start, self.batch_stop)

    @property
    def rows(self) -> slice:
        """Its rows in the micro-batch."""
        return slice(self.start - self.batch_start, self.stop - self.batch_start)


def check_shares(data: "DataConfig", processes: int) -> None:
    """Check that every process has a sequence in each step.

    Raises:
        ConfigError: There are more processes than sequences.
    """
    sequences = data.batch_size * data.grad_accum_steps
    if processes > sequences:
        raise ConfigError(
            f"{processes} processes share the {sequences} sequences of a step "
            "(train.data.batch_size x grad_accum_steps), so some would have none.",
            "Start fewer processes, or raise train.data.batch_size.",
        )


def pieces(data: "DataConfig", rank: int, processes: int, *, of_each_batch: bool) -> list[Piece]:
    """The pieces of a step that one process computes, as many as every other process.

    One process computes the micro-batches as configured. Of several, each takes consecutive
    sequences, in as few pieces of at most `batch_size` as they need; where processes would differ
    in their number of pieces, some are empty.

    Args:
        data: Batch size and micro-batches of a step.
        rank: Number of this process.
        processes: Number of all processes, at most one for each sequence.
        of_each_batch: Take a part of every micro-batch instead, so that masks drawn for a whole
            micro-batch are those of one process. Needs a batch size of at least `processes`.
    """
    size, n_micro = data.batch_size, data.grad_accum_steps
    batches = [range(first, first + size) for first in range(0, size * n_micro, size)]
    if processes == 1 or of_each_batch:
        parts = [(_part(batch, rank, processes), batch) for batch in batches]
        return [Piece(part.start, part.stop, of.start, of.stop) for part, of in parts]
    step = range(size * n_micro)
    own = _part(step, rank, processes)
    most = max(len(_part(step, each, processes)) for each in range(processes))
    count = -(-most // size)
    return [
        Piece(part.start, part.stop, part.start, part.stop)
        for part in (_part(own, number, count) for number in range(count))
    ]


def _part(whole: range, number: int, count: int) -> range:
    """Part `number` of a range in `count` parts that differ in length by at most 1."""
    return whole[len(whole) * number // count : len(whole) * (number + 1) // count]
