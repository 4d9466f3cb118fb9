"""Plots of training and validation loss, as SVG or PNG."""

import logging
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.cells import cell_len, set_cell_size

from transformer_playground.errors import RunError, UsageError
from transformer_playground.files import replace_file
from transformer_playground.plots.loss_curves import LossCurves, read_loss_curves
from transformer_playground.runs.folder import RunFolder, refuse_newer
from transformer_playground.runs.series import Axis
from transformer_playground.terminal import visible_line

FORMATS = ("svg", "png")
FILE_NAME = "loss-curve.svg"
# What fits above the picture in one line.
_LONGEST_TITLE = 72
# No script needs more on one letter.
_MOST_MARKS = 4
# Legal characters that XML does not admit.
_NOT_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


@dataclass(frozen=True)
class PlotRequest:
    """How to draw the losses of runs.

    Attributes:
        out: The picture's file; its ending says the format. An existing one is replaced.
        title: Any text, made harmless and shortened; None = a title that names what is shown.
        log_y: Whether the loss axis is logarithmic.
        smooth: Weight of the debiased moving average over the training loss, 0 = none.
        x: Optimizer steps, training tokens seen, or time spent training.
    """

    out: Path
    title: str | None = None
    log_y: bool = False
    smooth: float = 0.0
    x: Axis = "step"


@dataclass(frozen=True)
class PlotResult:
    """A picture that was written.

    Attributes:
        path: The file.
        format: Its format, "svg" or "png".
        shown: The runs in it, in the order of their colours.
        skipped: Ids of runs that have no finite loss to show, or none whose place on the axis is
            known.
    """

    path: Path
    format: str
    shown: tuple[LossCurves, ...]
    skipped: tuple[str, ...]


def plot_loss(runs: Sequence[RunFolder], request: PlotRequest) -> PlotResult:
    """Draw the losses of runs over each other and write the picture, whole or not at all.

    The same rows and request give the same SVG, byte for byte. May be called from any thread.

    Args:
        runs: At least one run; the first gets the first colour.
        request: How to draw and where to write.

    Raises:
        UsageError: The file's ending is no known format, it is a folder, or `smooth` is no
            weight.
        RunError: No run has a finite loss whose place on the axis is known, a newer version wrote
            one of them, or the disk refused.
    """
    for run in runs:
        refuse_newer(run)
    kind = _format(request.out)
    if not 0 <= request.smooth < 1:
        raise UsageError(
            f"smooth = {request.smooth:g} is no weight of a moving average.",
            "Give a number from 0 (as measured) to below 1, such as 0.9.",
        )
    curves = [read_loss_curves(run, request.x, positive=request.log_y) for run in runs]
    shown = tuple(each for each in curves if not each.is_empty)
    if not shown:
        raise _nothing_to_show(runs, request)
    render = _renderer()
    title = harmless_title(_default_title(shown) if request.title is None else request.title)

    def write(file: IO[bytes]) -> None:
        render(file, kind, shown, title, log_y=request.log_y, smooth=request.smooth, x=request.x)

    _write(request.out, write)
    return PlotResult(
        request.out, kind, shown, tuple(each.run_id for each in curves if each.is_empty)
    )


def harmless_title(title: str) -> str:
    """`title` on one line that a picture has room for and XML can hold."""
    line = _without_piles(visible_line(title.strip()).translate(_NOT_XML))
    if cell_len(line) <= _LONGEST_TITLE:
        return line
    return set_cell_size(line, _LONGEST_TITLE - 1).rstrip() + "…"


def _without_piles(line: str) -> str:
    """Leave out marks piled on one letter so high that the picture would have to make room."""
    kept: list[str] = []
    height = 0
    for character in line:
        height = height + 1 if unicodedata.category(character).startswith("M") else 0
        if height <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def _default_title(shown: Sequence[LossCurves]) -> str:
    return shown[0].run_id if len(shown) == 1 else f"Loss of {len(shown)} runs"


def _format(out: Path) -> str:
    kind = out.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(
            f"A plot cannot be written as '{out.name}'.",
            f"Let the file's name end in {' or '.join(f'.{each}' for each in FORMATS)}.",
        )
    if out.is_dir():
        raise UsageError(f"{out} is a folder.", "Name a file in it.")
    return kind


def _nothing_to_show(runs: Sequence[RunFolder], request: PlotRequest) -> RunError:
    by_step = [read_loss_curves(run, positive=request.log_y) for run in runs]
    if not all(each.is_empty for each in by_step):
        named = f"the run '{runs[0].run_id}'" if len(runs) == 1 else "these runs"
        return RunError(
            f"The metrics of {named} do not tell the {request.x} of any loss.",
            "Those of older versions may not; use --x step.",
        )
    if len(runs) > 1:
        return RunError(
            f"None of the {len(runs)} runs has a finite loss to plot.",
            "Train them until their first logged step or evaluation.",
        )
    return RunError(
        f"The run '{runs[0].run_id}' has no finite loss to plot.",
        "Train it until its first logged step or evaluation; if it has diverged, lower the "
        "learning rate.",
    )


def _renderer() -> Callable[..., None]:
    # matplotlib speaks of its font cache through logging, which prints what nobody handles.
    logger = logging.getLogger("matplotlib")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    try:
        from transformer_playground.plots.figure import render
    except (ImportError, ValueError, OSError) as error:
        raise RunError(
            f"The plotting library cannot be loaded: {error}.",
            "Check the variables MPLBACKEND and MPLCONFIGDIR, or install the project again.",
        ) from error
    return render


def _write(out: Path, write: Callable[[IO[bytes]], object]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, write)
    except OSError as error:
        raise RunError(
            f"The plot {out} could not be written: {error.strerror or error}.",
            "Check the disk and the folder's permissions, or choose another --out.",
        ) from error
