"""What there is to show: experiments and runs, refreshed off the console's own thread."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError

if TYPE_CHECKING:
    from transformer_playground.experiments.discovery import Experiment
    from transformer_playground.runs.row import RunRow

_SHORTEST_WAIT = 1.0
# Looking around may take this share of one core at most, so that training keeps the rest.
_LARGEST_SHARE = 0.02


@dataclass(frozen=True)
class Snapshot:
    """What was there at one moment.

    Attributes:
        runs: Id -> row, newest first.
        experiments: In order of name.
        problem: Why runs or experiments could not be listed.
        next_look: Seconds to wait before looking again.
    """

    runs: "Mapping[str, RunRow]" = field(default_factory=dict)
    experiments: "tuple[Experiment, ...]" = ()
    problem: str | None = None
    next_look: float = _SHORTEST_WAIT


def look(experiments_dir: Path, runs_dir: Path) -> Snapshot:
    """List what there is; a folder that cannot be listed counts as empty, with a reason."""
    # Imported by the first look, which comes after the first frame.
    from transformer_playground.experiments.discovery import discover
    from transformer_playground.runs.listing import list_runs

    began = time.thread_time()
    problem: str | None = None
    experiments: list[Experiment] = []
    runs: list[RunRow] = []
    try:
        runs = list_runs(runs_dir)
        experiments = discover(experiments_dir)
    except PlaygroundError as error:
        problem = str(error)
    spent = time.thread_time() - began
    return Snapshot(
        {row.run_id: row for row in runs},
        tuple(experiments),
        problem,
        max(_SHORTEST_WAIT, spent / _LARGEST_SHARE),
    )
