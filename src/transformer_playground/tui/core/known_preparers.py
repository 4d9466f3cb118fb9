"""Known preparers: the `prepare.py` files that the user has allowed to run on this machine.

A `prepare.py` is code that came with an experiment. Files are known by their content, so a changed
one is unknown again. Those of the bundled experiments are always known.
"""

import hashlib
import json
import stat
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError
from transformer_playground.experiments.discovery import bundled_dir, discover
from transformer_playground.files import replace_json
from transformer_playground.jsonvalues import as_object
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.tui.settings import settings_path

if TYPE_CHECKING:
    from transformer_playground.training.launch import ResolvedLaunch

FILE_NAME = "known_preparers.json"
_KEY = "sha256"
_MAX_BYTES = 1024 * 1024


class KnownPreparers:
    """The allowed `prepare.py` files, kept beside the settings file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or settings_path().with_name(FILE_NAME)
        # Also kept where the file cannot be written.
        self._allowed: set[str] = set()

    def is_known(self, preparer: Path) -> bool:
        digest = _sha256(preparer)
        return digest in self._bundled or digest in self._allowed or digest in self._read()

    def allow(self, preparer: Path) -> None:
        """Remember the content of a file.

        Raises:
            OSError: OSError while writing; the file is allowed until the console ends.
        """
        self._allowed.add(_sha256(preparer))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_json(self._path, {_KEY: sorted(self._allowed | self._read())})

    def unknown_in(self, experiments_dir: Path, runs_dir: Path, launch: Launch) -> Path | None:
        """As `unknown_of`, for a launch that is not resolved yet; None if it is not valid."""
        try:
            return self.unknown_of(resolve_launch(experiments_dir, runs_dir, launch))
        except (PlaygroundError, OSError):
            # The job reports it.
            return None

    def unknown_of(self, resolved: "ResolvedLaunch") -> Path | None:
        """The `prepare.py` that a launch would run, if it is not known."""
        preparer = resolved.preparer
        return None if preparer is None or self.is_known(preparer) else preparer

    @cached_property
    def _bundled(self) -> frozenset[str]:
        files = (each.folder / "prepare.py" for each in discover(bundled_dir()))
        return frozenset(_sha256(path) for path in files if path.is_file())

    def _read(self) -> set[str]:
        try:
            about = self._path.stat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > _MAX_BYTES:
                return set()
            found = as_object(json.loads(self._path.read_bytes())).get(_KEY)
        except (OSError, ValueError, RecursionError):
            return set()
        return (
            {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
