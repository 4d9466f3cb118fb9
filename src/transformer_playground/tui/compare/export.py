"""A comparison written to a file of one's choice."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from transformer_playground.comparison.compare import Comparison
from transformer_playground.comparison.render import as_document, csv_text, markdown_text
from transformer_playground.errors import RunError
from transformer_playground.files import replace_json, replace_text
from transformer_playground.plots.loss_plot import PlotRequest, plot_loss
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import Axis

FORMATS: Mapping[str, str] = {
    "csv": "CSV, one row for each run at full precision",
    "json": "JSON, everything as tp compare --json prints it",
    "md": "Markdown, the table for a document",
    "svg": "SVG, a plot of the loss curves",
}


@dataclass(frozen=True)
class Look:
    """How the curves lie on the screen, so that the picture shows the same."""

    axis: Axis = "step"
    log_y: bool = False
    smoothing: float = 0.0


def export(
    kind: str, comparison: Comparison, runs: Sequence[RunFolder], look: Look, folder: Path
) -> Path:
    """Write a comparison into a new file, whole or not at all.

    Args:
        kind: A key of `FORMATS`.
        comparison: What to write.
        runs: Its runs, for the picture.
        look: How to draw that.
        folder: Where the file comes to be.

    Returns:
        The file.

    Raises:
        RunError: The disk refused, or there is no loss to draw.
    """
    try:
        path = _free_name(folder, kind)
        if kind == "csv":
            replace_text(path, csv_text(comparison))
        elif kind == "json":
            replace_json(path, as_document(comparison))
        elif kind == "md":
            replace_text(path, markdown_text(comparison))
        else:
            request = PlotRequest(path, log_y=look.log_y, smooth=look.smoothing, x=look.axis)
            plot_loss(runs, request)
    except OSError as error:
        raise RunError(
            f"The comparison could not be written to {folder}: {error.strerror}.",
            "Start the console in a folder that can be written to.",
        ) from error
    return path


def _free_name(folder: Path, kind: str) -> Path:
    stem = f"comparison-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    paths = (folder / f"{name}.{kind}" for name in names)
    return next(path for path in paths if not path.exists())
