"""Loss plot: training and validation loss of runs, as SVG or PNG."""

import importlib
import logging
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, set_cell_size

from transformer_playground.errors import RunError, UsageError, translate_os_errors
from transformer_playground.files import replace_file
from transformer_playground.plots.loss_curves import LossCurves, PlotRequest, read_loss_curves
from transformer_playground.runs.folder import RunFolder, refuse_newer
from transformer_playground.terminal import visible_line

FORMATS = ("svg", "png")
FILE_NAME = "loss-curve.svg"
# Fits above the plot in one line.
_MAX_TITLE_CELLS = 72
# No script needs more combining marks on one letter.
_MAX_MARKS = 4
# Valid characters that XML does not allow.
_NOT_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


@dataclass(frozen=True)
class PlotResult:
    """A plot that was written.

    Attributes:
        format: "svg" or "png".
        shown: The runs in the plot, in the order of their colours.
        skipped: Ids of runs without a finite loss at a known position on the axis.
    """

    path: Path
    format: str
    shown: tuple[LossCurves, ...]
    skipped: tuple[str, ...]


def plot_loss(runs: Sequence[RunFolder], request: PlotRequest) -> PlotResult:
    """Draw the loss curves of at least one run and write the plot atomically. Thread-safe.

    The same rows and request give the same SVG, byte for byte.

    Raises:
        UsageError: The file's extension is unknown, it is a folder, or `smooth` is not in [0, 1).
        RunError: No run has a finite loss at a known position on the axis, a newer version wrote
            one of them, or OSError while writing.
    """
    for run in runs:
        refuse_newer(run)
    kind = plot_format(request.out)
    if not 0 <= request.smooth < 1:
        raise UsageError(
            f"--smooth must be in [0, 1), not {request.smooth:g}.",
            "0 = no smoothing; try 0.9.",
        )
    curves = [read_loss_curves(run, request.x, positive=request.log_y) for run in runs]
    shown = tuple(each for each in curves if not each.is_empty)
    if not shown:
        raise _nothing_to_show(runs, request)
    render = load_figure("figure")
    default = shown[0].run_id if len(shown) == 1 else f"Loss of {len(shown)} runs"
    title = clean_title(default if request.title is None else request.title)
    hint = "Check the disk and the folder's permissions, or choose another --out."
    with translate_os_errors(RunError, f"The plot {request.out} could not be written", hint):
        request.out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(request.out, lambda file: render(file, kind, shown, title, request))
    return PlotResult(
        request.out, kind, shown, tuple(each.run_id for each in curves if each.is_empty)
    )


def clean_title(title: str) -> str:
    """`title` in one line that fits above a plot and is valid in XML."""
    line = _limit_combining_marks(visible_line(title.strip()).translate(_NOT_XML))
    if cell_len(line) <= _MAX_TITLE_CELLS:
        return line
    return set_cell_size(line, _MAX_TITLE_CELLS - 1).rstrip() + "…"


def _limit_combining_marks(line: str) -> str:
    """Drop combining marks that would need extra space above a letter."""
    kept: list[str] = []
    height = 0
    for character in line:
        height = height + 1 if unicodedata.category(character).startswith("M") else 0
        if height <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def plot_format(out: Path) -> str:
    """The format of a plot's file, "svg" or "png".

    Raises:
        UsageError: The extension is neither, or it is a folder.
    """
    kind = out.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(
            f"A plot cannot be written as '{out.name}': unknown format.",
            f"Use a file name that ends in {' or '.join(f'.{each}' for each in FORMATS)}.",
        )
    if out.is_dir():
        raise UsageError(f"{out} is a folder.", "Name a file in it.")
    return kind


def _nothing_to_show(runs: Sequence[RunFolder], request: PlotRequest) -> RunError:
    by_step = [read_loss_curves(run, positive=request.log_y) for run in runs]
    if not all(each.is_empty for each in by_step):
        named = f"the run '{runs[0].run_id}'" if len(runs) == 1 else "these runs"
        return RunError(
            f"The metrics of {named} do not record the {request.x} of any loss.",
            "An older version may have written them; use --x step.",
        )
    if len(runs) > 1:
        return RunError(
            f"None of the {len(runs)} runs has a finite loss to plot.",
            "Train at least to the first logged step or evaluation.",
        )
    return RunError(
        f"The run '{runs[0].run_id}' has no finite loss to plot.",
        "Train at least to the first logged step or evaluation; if it has diverged, lower the "
        "learning rate.",
    )


def load_figure(
    module: str, function: str = "render", package: str = "transformer_playground.plots"
) -> Callable[..., None]:
    """A function of a module that draws with matplotlib.

    Raises:
        RunError: matplotlib cannot be loaded.
    """
    # matplotlib logs about its font cache, and logging prints records without a handler.
    logger = logging.getLogger("matplotlib")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    try:
        figure = importlib.import_module(f"{package}.{module}")
    except (ImportError, ValueError, OSError) as error:
        raise RunError(
            f"The plotting library cannot be loaded: {error}.",
            "Check the variables MPLBACKEND and MPLCONFIGDIR, or install the project again.",
        ) from error
    found: Callable[..., None] = getattr(figure, function)
    return found
