"""Failures of runs that the user has dismissed: another start of the console does not list them."""

import contextlib
import json
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from transformer_playground.files import replace_json
from transformer_playground.jsonvalues import as_number, as_object
from transformer_playground.tui.core.alert_watch import RECENT
from transformer_playground.tui.settings import settings_path

FILE_NAME = "dismissed_failures.json"
_MAX_BYTES = 1024 * 1024
_MOST_WAITING_SECONDS = 10.0


class DismissedFailures:
    """When the failures of the runs of a folder were dismissed, kept beside the settings file.

    Nothing is written into folders of runs, which may belong to others. Threads may share one.

    Args:
        runs_dir: Folder of the runs.
        path: The file; None for the usual one.
    """

    def __init__(self, runs_dir: Path, path: Path | None = None) -> None:
        self._folder = str(runs_dir.absolute())
        self._path = path
        self._lock = threading.Lock()
        # Also kept where the file cannot be written.
        self._own: dict[str, float] = {}

    def times(self) -> dict[str, float]:
        """Run id -> Unix time at which its failure was dismissed."""
        with self._lock:
            return self._own | self._read().get(self._folder, {})

    def add(self, run_ids: Iterable[str], now: float | None = None) -> None:
        """Remember that failures were dismissed; of a file that cannot be written until the end.

        Several consoles wait for each other, so that none overwrites what another one adds.

        Args:
            run_ids: Runs that failed.
            now: Unix time; None = now.
        """
        from filelock import FileLock

        now = time.time() if now is None else now
        with self._lock:
            self._own |= dict.fromkeys(run_ids, now)
            path = self._file
            # A lock that is not to be had in time is an OSError, too.
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{path}.lock", timeout=_MOST_WAITING_SECONDS):
                    replace_json(path, self._merged(now))

    def _merged(self, now: float) -> dict[str, dict[str, float]]:
        """What is in the file with what this console adds, without what is too old to matter."""
        known = self._read()
        known[self._folder] = known.get(self._folder, {}) | self._own
        return {
            folder: recent
            for folder, times in known.items()
            if (recent := {run: at for run, at in times.items() if at > now - RECENT})
        }

    @property
    def _file(self) -> Path:
        return self._path or settings_path().with_name(FILE_NAME)

    def _read(self) -> dict[str, dict[str, float]]:
        """Folder of runs -> run id -> time of each dismissal in the file."""
        try:
            about = self._file.stat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > _MAX_BYTES:
                return {}
            found = as_object(json.loads(self._file.read_bytes()))
        except (OSError, ValueError, RecursionError):
            return {}
        return {
            folder: {
                run_id: at
                for run_id, value in as_object(times).items()
                if (at := as_number(value)) is not None
            }
            for folder, times in found.items()
        }
