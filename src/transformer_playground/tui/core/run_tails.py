"""The newest rows of runs that are read again and again for hours, in bounded memory."""

from collections.abc import Collection
from pathlib import Path

from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.metrics import tail_offset
from transformer_playground.runs.series import RunSeries

# Rows of a run; with more it is read again from its tail.
_MOST_ROWS = 20_000


class RunTails:
    """Follows runs from the end of their metrics files; blocks, so call it in a thread.

    Args:
        runs_dir: Folder of the runs.
        size: Bytes of a file that are read when its run is first seen.
    """

    def __init__(self, runs_dir: Path, size: int) -> None:
        self._runs_dir, self._size = runs_dir, size
        self._followed: dict[str, RunSeries] = {}

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that are followed."""
        return tuple(self._followed)

    def read(self, run_id: str) -> RunSeries:
        """The rows of a run, with those that were added since."""
        series = self._followed.get(run_id)
        if series is None or series.rows > _MOST_ROWS:
            path = RunFolder(self._runs_dir / run_id).metrics_path
            series = self._followed[run_id] = RunSeries(path, tail_offset(path, self._size))
        series.poll()
        return series

    def keep_only(self, run_ids: Collection[str]) -> None:
        """Forget all other runs; one that comes back is read from its tail."""
        self._followed = {key: value for key, value in self._followed.items() if key in run_ids}
