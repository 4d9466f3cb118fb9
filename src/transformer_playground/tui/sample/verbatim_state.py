"""Where the samples of a pane stand in the training text, and the lines that say it."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from transformer_playground.files import modified
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.tui.shared.text import one_line, shorten, shorten_start

if TYPE_CHECKING:
    from transformer_playground.runs.generation import LoadedRun
    from transformer_playground.runs.verbatim import Passage, TrainingText

Line = list[tuple[str, str]]
"""Pieces of one line, safe to print, each with its style."""

_MUTED = "$text-muted"
_LEAST_AROUND = 8


class VerbatimFinder:
    """Finds samples in the training text of their run, which is decoded once; call in a worker."""

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._lock = threading.Lock()
        self._known: tuple[object, TrainingText] | None = None

    def find(self, loaded: "LoadedRun", texts: Sequence[str]) -> "list[Passage | None]":
        """The longest passage of each text; None where no character stands in the training text.

        Raises:
            PlaygroundError: The run or its dataset is gone.
        """
        from transformer_playground.runs.verbatim import TrainingText

        # A run that was removed and trained again under its id may have another text.
        written = modified(RunFolder(self._runs_dir / loaded.run_id).config_path)
        key = loaded.run_id, written
        with self._lock:
            if self._known is None or self._known[0] != key:
                # Two texts, decoded, would need much memory.
                self._known = None
                run = open_run(self._runs_dir, loaded.run_id)
                training = TrainingText.of(
                    run, loaded.tokenizer, experiments_dir=self._experiments_dir
                )
                self._known = (key, training)
            return self._known[1].passages(texts)


def passage_lines(passage: "Passage | None", length: int, width: int) -> list[Line]:
    """What a sample copies, and the training text around it, in lines of at most `width` cells.

    Args:
        passage: The longest passage of the sample.
        length: Code points of the sample.
        width: Columns.
    """
    from transformer_playground.runs.verbatim import passage_heading

    heading: Line = [(shorten(passage_heading(passage, length), width), "")]
    if passage is None:
        return [heading]
    text = shorten(one_line(passage.text), max(1, width - 2 * _LEAST_AROUND))
    left = max(_LEAST_AROUND, (width - cell_len(text)) // 2)
    before = shorten_start(f"…{one_line(passage.before)}", left)
    after = shorten(f"{one_line(passage.after)}…", max(1, width - cell_len(before + text)))
    return [heading, [(before, _MUTED), (text, "bold underline"), (after, _MUTED)]]
