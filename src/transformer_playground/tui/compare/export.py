"""A comparison written to a file of one's choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.comparison.compare import Comparison
from transformer_playground.comparison.render import as_document, csv_text, markdown_text
from transformer_playground.files import replace_json, replace_text
from transformer_playground.plots.loss_curves import PlotRequest
from transformer_playground.plots.loss_plot import plot_loss
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.series import Axis
from transformer_playground.tui.shared.export import timestamped, write_new_file

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

    Raises:
        ExportError: OSError while writing.
        RunError: There is no loss to draw.
    """

    def write(path: Path) -> None:
        match kind:
            case "csv":
                replace_text(path, csv_text(comparison))
            case "json":
                replace_json(path, as_document(comparison))
            case "md":
                replace_text(path, markdown_text(comparison))
            case _:
                request = PlotRequest(path, log_y=look.log_y, smooth=look.smoothing, x=look.axis)
                plot_loss(runs, request)

    return write_new_file(folder, timestamped("comparison"), kind, write)
