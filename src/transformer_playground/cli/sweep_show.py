"""`tp sweep show`: the results of a sweep, or one view of them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from transformer_playground.cli.options import (
    AsJson,
    ExperimentsDir,
    RunsDir,
    SweepsDir,
    check_out,
    refuse_unread,
)
from transformer_playground.cli.output import note, print_table, say, say_json
from transformer_playground.errors import RunError, UsageError, translate_os_errors
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.files import replace_file, replace_text
from transformer_playground.jsonvalues import ascii_json
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.terminal import visible, visible_line

if TYPE_CHECKING:
    from transformer_playground.sweeps.spec import Sweep
    from transformer_playground.sweeps.trials import TrialState
    from transformer_playground.sweeps.views import Shown, SweepData, ViewName
    from transformer_playground.tables import Column

    Part = str | Sequence[Column] | dict[str, Any]
    """A sentence or CSV, a table, or a JSON document."""

Id = Annotated[str, typer.Argument(metavar="ID", help="Sweep, or a unique beginning of its name.")]
Form = Literal["text", "markdown", "csv", "json", "svg", "png"]

_EXTENSIONS: dict[str, Form] = {
    ".txt": "text",
    ".md": "markdown",
    ".csv": "csv",
    ".json": "json",
    ".svg": "svg",
    ".png": "png",
}


def show(
    context: typer.Context,
    sweep_id: Id,
    view: Annotated[
        Literal["best", "effects", "heatmap", "parallel", "curves"] | None,
        typer.Option(
            "--view",
            help="One view: the combinations, best first; the effect of each setting; the loss for "
            "each pair of values of two settings; parallel coordinates; learning curves.",
        ),
    ] = None,
    x: Annotated[
        str | None, typer.Option("--x", metavar="KEY", help="Setting of a heat map's columns.")
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            "--y",
            metavar="KEY",
            help="Setting of its rows; default for both: those with the largest effects.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help="A learning curve for each value of a setting; default: for each combination.",
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    csv_output: Annotated[
        bool, typer.Option("--csv", help="Print CSV: a row per run, or that of the view.")
    ] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Draw the view as an SVG picture.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write to this file; without another option its extension says what: .svg, .png, "
            ".md, .csv, .json or .txt.",
        ),
    ] = None,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Show the results of a sweep, or one view of them.

    Without --view: its combinations, best first, the effect of each setting, and a verdict.
    """
    from transformer_playground.sweeps.spec import find_sweep, load_sweep

    asked: dict[Form, bool] = {
        "json": json_output,
        "markdown": markdown,
        "csv": csv_output,
        "svg": svg,
    }
    form = _form([name for name, is_asked in asked.items() if is_asked], out)
    if view is None and form in ("svg", "png"):
        raise UsageError("A picture shows one view of a sweep.", "Add --view curves or another.")
    unread = {} if view == "heatmap" else dict.fromkeys(("x", "y"), "without --view heatmap")
    refuse_unread(context, unread | ({} if view == "curves" else {"by": "without --view curves"}))
    if out is not None:
        check_out(out)
    sweep = load_sweep(find_sweep(sweeps_dir, sweep_id))
    states = sweep_states(sweep, experiments_dir, runs_dir)
    if view is None:
        _write(_results(sweep, states, form), out, form)
        return
    from transformer_playground.sweeps.views import SweepData

    chosen = _chosen(SweepData(sweep, states, runs_dir), view, x, y, by)
    if form in ("svg", "png"):
        _draw(chosen, f"{sweep.sweep_id}: {_TITLES[view]}", out, form)
    else:
        _write(_view_parts(chosen, form), out, form)


def sweep_states(sweep: "Sweep", experiments_dir: Path, runs_dir: Path) -> "list[TrialState]":
    """The states of all trials of a sweep."""
    from transformer_playground.sweeps.progress import Progress

    return Progress(sweep, experiments_dir, runs_dir).states()


def print_results(
    sweep: "Sweep", states: "Sequence[TrialState]", *, json_output: bool = False
) -> None:
    """Print all results of a sweep."""
    form: Form = "json" if json_output else "text"
    _write(_results(sweep, states, form), None, form)


@dataclass(frozen=True)
class _Chosen:
    """A view with its content; `draw` writes a picture into an open file."""

    view: "ViewName"
    data: "SweepData"
    shown: "Shown"
    draw: Callable[[IO[bytes], str, str], None]


_TITLES = {
    "best": "best combinations",
    "effects": "effects",
    "heatmap": "heat map",
    "parallel": "parallel coordinates",
    "curves": "learning curves",
}


def _chosen(
    data: "SweepData", view: "ViewName", x: str | None, y: str | None, by: str | None
) -> _Chosen:
    """The view with its numbers; matplotlib is loaded only to draw it."""
    from transformer_playground.plots.loss_plot import load_figure
    from transformer_playground.sweeps import views

    def drawn(name: str, content: object) -> Callable[[IO[bytes], str, str], None]:
        def draw(file: IO[bytes], kind: str, title: str) -> None:
            load_figure("pictures", name, "transformer_playground.sweeps")(
                file, kind, title, content
            )

        return draw

    if view == "best":
        return _Chosen(view, data, views.best_view(data), drawn("draw_best", data.combinations))
    if view == "effects":
        return _Chosen(view, data, views.effects_view(data), drawn("draw_effects", data.effects))
    if view == "heatmap":
        found = views.heat_map_of(data, x, y)
        return _Chosen(view, data, views.heat_map_view(data, found), drawn("draw_heat_map", found))
    if view == "parallel":
        axes, lines = views.parallel_of(data)
        shown = views.parallel_view(data, axes, lines)
        return _Chosen(view, data, shown, drawn("draw_parallel", (axes, lines)))
    curves = views.curves_of(data, by)
    return _Chosen(view, data, views.curves_view(curves), drawn("draw_curves", curves))


def _form(asked: list[Form], out: Path | None) -> Form:
    if len(asked) > 1:
        raise UsageError(
            "--json, --markdown, --csv and --svg are mutually exclusive.", "Give one of them."
        )
    if asked:
        return asked[0]
    if out is None:
        return "text"
    form = _EXTENSIONS.get(out.suffix.lower())
    if form is None:
        raise UsageError(
            f"--out {out} does not say what to write: its extension is unknown.",
            f"Use one of {', '.join(_EXTENSIONS)}, or add --markdown, --csv, --json or --svg.",
        )
    return form


def _draw(chosen: _Chosen, title: str, out: Path | None, form: str) -> None:
    from transformer_playground.plots.loss_plot import clean_title

    if not chosen.shown.rows:
        raise UsageError(
            "There is nothing to draw yet: no run of the sweep has a loss.",
            "Train some of them: tp sweep run.",
        )
    line, target = clean_title(title), BytesIO()
    chosen.draw(target, form, line)
    if out is None:
        say(target.getvalue().decode("utf-8").removesuffix("\n"))
        return
    with translate_os_errors(RunError, f"The picture {out} could not be written"):
        replace_file(out, lambda file: file.write(target.getvalue()))
    note(visible_line(f"written: {out}"))


def _view_parts(chosen: _Chosen, form: Form) -> "list[Part]":
    from transformer_playground.sweeps.views import as_json
    from transformer_playground.tables import csv_text

    shown = chosen.shown
    if form == "json":
        return [as_json(chosen.data, chosen.view, shown)]
    if form == "csv":
        return [csv_text(shown.header, shown.rows).removesuffix("\n")]
    title = f"{chosen.data.sweep.sweep_id}: {shown.title}"
    if not shown.rows:
        return [title, "No run has a loss yet."]
    return [title, *shown.tables]


def _results(sweep: "Sweep", states: "Sequence[TrialState]", form: Form) -> "list[Part]":
    from transformer_playground.sweeps import tables

    if form == "json":
        return [tables.as_document(sweep, states)]
    if form == "csv":
        return [tables.runs_csv(states).removesuffix("\n")]
    return [*tables.results_parts(sweep, states)]


def _write(parts: "Sequence[Part]", out: Path | None, form: Form) -> None:
    """Print sentences, tables and a JSON document, or write them to a file."""
    if form == "markdown":
        from transformer_playground.sweeps.tables import markdown_lines

        parts = [*markdown_lines(part for part in parts if not isinstance(part, dict))]
    if out is not None:
        lines = [line for part in parts for line in _lines(part)]
        with translate_os_errors(RunError, f"{out} could not be written"):
            replace_text(out, "\n".join(map(visible, lines)) + "\n")
        note(visible_line(f"written: {out}"))
        return
    for part in parts:
        if isinstance(part, dict):
            say_json(part)
        elif isinstance(part, str):
            # CSV is escaped already, and its line ends are part of it.
            sys.stdout.write(f"{part}\n" if form == "csv" else f"{visible_line(part)}\n")
        else:
            say("")
            print_table(part)


def _lines(part: "Part") -> list[str]:
    from transformer_playground.tables import table_lines

    if isinstance(part, dict):
        return [ascii_json(part)]
    if isinstance(part, str):
        return [part]
    return ["", *table_lines(part)]
