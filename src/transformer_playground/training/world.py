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

    def batch_index(self, step: int, micro_step: int, grad_accum_steps: int) -> int:
        """The batch that this process reads: no two processes or micro-steps share one."""
        return (step * grad_accum_steps + micro_step) * self.size + self.rank
