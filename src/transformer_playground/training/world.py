"""Which of several training processes this one is.

Today a run is one process. Everything that would differ between processes asks here: which
micro-batch to read, and who writes files.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """A process's place among the processes of one run."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def batch_index(self, drawn: int) -> int:
        """The batch this process reads after `drawn` others: no two processes share one."""
        return drawn * self.size + self.rank
