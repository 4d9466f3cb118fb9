"""Draw `docs/pictures/induction.svg` from runs of the experiment `induction`.

    python docs/draw_induction.py runs/two-s1 runs/two-s2 runs/one-s1 …

Above the validation loss, below the highest induction score; runs with one layer are orange.
"""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from transformer_playground.plots.drawing import COLOURS
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.series import RunSeries

OUT = Path(__file__).parent / "pictures" / "induction.svg"


def main(folders: list[str]) -> None:
    """Draw the runs in these folders."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "transformer-playground"})
    figure = Figure(figsize=(7.0, 4.6), layout="constrained", facecolor="white")
    above, below = figure.subplots(2, 1, sharex=True)
    labelled = set()
    for folder in folders:
        run = RunFolder(Path(folder))
        layers = read_run_config(run)["config"]["model"]["n_layer"]
        series = RunSeries(run.metrics_path)
        series.poll()
        label = None if layers in labelled else f"{layers} layer{'s' if layers > 1 else ''}"
        labelled.add(layers)
        for axes, key in ((above, "val_loss"), (below, "induction_score")):
            curve = series.curve("eval", key)
            axes.plot(curve.x, curve.y, color=COLOURS[2 - layers], linewidth=1.4, label=label)
    above.set_ylabel("validation loss (nats)")
    below.set_ylabel("highest induction score")
    below.set_xlabel("step")
    below.set_ylim(0, 1)
    for axes in (above, below):
        axes.grid(color="#d8dee4", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    above.legend(frameon=False)
    figure.savefig(OUT, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main(sys.argv[1:])
