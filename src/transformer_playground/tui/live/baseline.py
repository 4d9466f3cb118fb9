"""N-gram baseline of a run's dataset: looked for beside the prepared data."""

from pathlib import Path

from transformer_playground.errors import PlaygroundError
from transformer_playground.evaluation.baseline import (
    BASELINE_FILE,
    NGramBaseline,
    known_baseline,
)
from transformer_playground.files import modified
from transformer_playground.runs.folder import RunFolder, read_run_config


class BaselineFile:
    """The counted baseline of one run's dataset, read again when its file changes.

    Attributes:
        found: The baseline, or None while there is none.
    """

    def __init__(self, run: RunFolder, experiments_dir: Path | None) -> None:
        self._run, self._experiments_dir = run, experiments_dir
        self.found: NGramBaseline | None = None
        self._fingerprint: str | None = None
        self._folders: tuple[Path, ...] | None = None
        self._stamps: tuple[float | None, ...] = ()

    @property
    def fingerprint(self) -> str | None:
        """That of the run's dataset; None if it is not known."""
        self._folders_of_run()
        return self._fingerprint

    def poll(self) -> bool:
        """Read the file if it has changed; returns whether the baseline is another one."""
        folders = self._folders_of_run()
        stamps = tuple(modified(folder / BASELINE_FILE) for folder in folders)
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        before = self.found
        each = (known_baseline(folder, self._fingerprint) for folder in folders)
        self.found = next((baseline for baseline in each if baseline is not None), None)
        return self.found != before

    def _folders_of_run(self) -> tuple[Path, ...]:
        if self._folders is None:
            # Imported by the thread that polls.
            from transformer_playground.experiments.dataset_lookup import (
                dataset_folders,
                recorded_fingerprint,
            )

            try:
                record = read_run_config(self._run)
            except PlaygroundError:
                # It may be written in a moment.
                return ()
            self._fingerprint = recorded_fingerprint(record)
            self._folders = tuple(dataset_folders(record, self._experiments_dir))
        return self._folders
