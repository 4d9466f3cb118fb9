"""The folder of a sweep: its paths, without what reading its file takes to import."""

from dataclasses import dataclass
from pathlib import Path

SWEEPS_DIR = Path("sweeps")


@dataclass(frozen=True)
class SweepFolder:
    """Paths in the folder of a sweep.

    Attributes:
        spec_path: What it trains.
        base_path: The settings that its runs begin with, see `sweeps.base`.
        stop_path: Exists while the sweep is to start no further run.
        next_path: Requests to train a run before the others, see `sweeps.order`.
        log_path: What the processes print that the console has started.
    """

    root: Path

    @property
    def spec_path(self) -> Path:
        """What the sweep trains."""
        return self.root / "sweep.toml"

    @property
    def base_path(self) -> Path:
        """The settings that its runs begin with."""
        return self.root / "experiment.json"

    @property
    def stop_path(self) -> Path:
        """Exists while no further run is to be started."""
        return self.root / "stop"

    @property
    def next_path(self) -> Path:
        """Folder of requests to train a run before the others."""
        return self.root / "next"

    @property
    def log_path(self) -> Path:
        """What the processes print that the console has started."""
        return self.root / "run.log"
