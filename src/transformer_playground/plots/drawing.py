"""What all figures share: how a file is drawn, colours, axes and grid."""

import threading
import warnings
from collections.abc import Callable
from typing import IO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.cells import cell_len

# Okabe & Ito (2008), "Color Universal Design": distinct for every kind of colour vision. Without
# their yellow, which is invisible on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# One fewer than colours, so that pairs repeat only after 42 runs.
MARKERS = ("o", "^", "s", "D", "v", "p")
SIZE = (8.0, 4.5)
DPI = {"svg": 100, "png": 200}
INK, MUTED, GRID = "#24292f", "#57606a", "#d8dee4"

_SHORT_TITLE = 52
# matplotlib's settings are global, so only one plot is drawn at a time.
_LOCK = threading.Lock()


def save_figure(file: IO[bytes], kind: str, title: str, draw: Callable[[int], Figure]) -> None:
    """Draw a figure into an open file; the same figure gives the same SVG, byte for byte.

    Args:
        kind: "svg" or "png".
        title: For the metadata: one line of text that is valid in XML.
        draw: Draws it for a resolution in dots per inch.
    """
    with _LOCK, mpl.rc_context(), warnings.catch_warnings():
        # The font may lack characters of the title; an SVG is shown with the viewer's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # Independent of the user's matplotlibrc.
        mpl.rcdefaults()
        # Text as text, not as paths: small, searchable and accessible.
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "transformer-playground"})
        figure = draw(DPI[kind])
        # A date or a version would make equal plots differ.
        metadata = {"Date": None, "Creator": None, "Title": title} if kind == "svg" else {}
        figure.savefig(file, format=kind, dpi=DPI[kind], metadata=metadata)


def set_title(axes: Axes, title: str) -> None:
    """Set the title, in smaller letters if it is long."""
    axes.set_title(
        title,
        parse_math=False,
        loc="left",
        fontsize=12 if cell_len(title) <= _SHORT_TITLE else 9,
        fontweight="bold",
        color=INK,
        pad=10,
    )


def set_labels(axes: Axes, x_label: str, y_label: str) -> None:
    """Set the labels of both axes; they are plain text, without formulas."""
    axes.set_xlabel(x_label, fontsize=9.5, color=INK, parse_math=False)
    axes.set_ylabel(y_label, fontsize=9.5, color=INK, parse_math=False)


def finish_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Set labels, margins, grid and frame."""
    axes.margins(x=0.02, y=0.09)
    set_labels(axes, x_label, y_label)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=MUTED)
