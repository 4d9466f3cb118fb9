"""`tp records`."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.cli.options import (
    AsJson,
    ExperimentsDir,
    Overrides,
    RunsDir,
    SweepsDir,
    finite,
    refuse_unread,
)
from transformer_playground.cli.output import note, print_table, say, say_json
from transformer_playground.cli.train_sweep import SweepTraining
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.formatting import duration_text
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.records.standing import Standing
    from transformer_playground.sweeps.spec import Sweep

_LIMIT = 10
_SEEDS = 5


def show(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="[DATASET]", help="Data set; without it, all are listed."),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option("--track", metavar="NAME", help="Only runs within the limits of a track."),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Evaluate runs that were not yet measured on the whole validation split; the "
            "losses are kept in their folders.",
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="Runs to show, the best first.")
    ] = _LIMIT,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Show published results, with own runs beside them.

    Only what is measured on the whole validation split stands in one order.
    """
    from transformer_playground.records.published import find_dataset, find_track, published
    from transformer_playground.records.standing import standing_of

    if json_output and markdown:
        raise UsageError("--json and --markdown are mutually exclusive.", "Choose one.")
    chosen = None
    if track is not None:
        of_track, chosen = find_track(track)
        if dataset not in (None, of_track):
            raise UsageError(
                f"The track '{track}' is one of {of_track}.", "Leave out the data set."
            )
        dataset = of_track
    if json_output:
        refuse_unread(context, {"limit": "with --json, which has all runs"})
    if dataset is None and not (json_output or markdown):
        unread = ("measure", "limit", "experiments_dir", "runs_dir")
        refuse_unread(context, dict.fromkeys(unread, "without a data set"))
        for name, each in published().items():
            say(f"{name}: {each.title}; {len(each.results)} results")
            for found in each.tracks:
                say(f"  track {found.name}: {found.title}")
        say("Next: tp records DATASET")
        return
    names = list(published()) if dataset is None else [dataset]
    for name in names:
        records = find_dataset(name)
        standing = standing_of(
            records,
            runs_dir,
            experiments_dir,
            measure=measure,
            track=chosen,
            progress=lambda text: note(visible_line(text)),
        )
        if json_output:
            from transformer_playground.records.tables import as_document

            say_json(as_document(name, records, standing, track))
        else:
            _print(name, standing, limit, markdown=markdown)


def run(
    track: Annotated[str, typer.Argument(metavar="TRACK", help="Track, such as laptop.")],
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", metavar="EXP", help="Recipe. Default: that of the track."),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=2, max=1000, help="Number of seeds.")
    ] = _SEEDS,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            min=0.01,
            callback=finite,
            help="Less time than the track has, for a trial.",
        ),
    ] = None,
    overrides: Overrides = None,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> int:
    """Train a recipe within the limits of a track.

    Its seeds are the runs of a sweep, one after the other, and are then placed beside other
    results. The same command goes on after an interruption.
    """
    from transformer_playground.records.published import find_dataset, find_track
    from transformer_playground.records.standing import standing_of
    from transformer_playground.sweeps.create import NewSweep, open_sweep
    from transformer_playground.sweeps.folder import SweepFolder
    from transformer_playground.sweeps.progress import Progress

    dataset, found = find_track(track)
    budget = found.minutes if minutes is None else minutes
    if budget > found.minutes:
        raise UsageError(
            f"The track '{track}' has {found.minutes:g} minutes, not {budget:g}.",
            "Leave out --minutes, or give less.",
        )
    recipe = experiment or found.experiment
    values = [
        *(overrides or ()),
        f"train.runtime.max_minutes={budget}",
        f"train.runtime.threads={found.threads}",
        "train.runtime.device=cpu",
    ]
    sweep = NewSweep(recipe, values, seeds).create(experiments_dir, note)
    if sweep.axes:
        raise UsageError(
            f"{sweep.axes[0].key} has several values, but a track is for one recipe.",
            "Give each setting one value.",
        )
    progress = Progress(sweep, experiments_dir, runs_dir)
    progress.check()
    sweep = replace(sweep, base=progress.current_base())
    sweep = open_sweep(sweeps_dir, replace(sweep, sweep_id=_sweep_name(track, sweep)), save=True)
    progress = Progress(sweep, experiments_dir, runs_dir)
    note(f"{recipe}: {seeds} seeds of {duration_text(60 * budget)} each")
    training = SweepTraining(SweepFolder(sweeps_dir / sweep.sweep_id), progress, print=note)
    request = training.run()
    if request.signal is not None:
        note(f"stopped by {request.signal.name}. The same command goes on.")
        return request.exit_code
    has_failed = training.report_left()
    standing = standing_of(
        find_dataset(dataset), runs_dir, experiments_dir, measure=True, track=found, progress=note
    )
    if json_output:
        from transformer_playground.records.tables import as_document

        say_json(as_document(dataset, find_dataset(dataset), standing, track))
    else:
        _print(dataset, standing, _LIMIT)
    return 1 if has_failed else 0


COMMANDS: dict[str, Callable[..., int | None]] = {"show": show, "run": run}
"""A command for each name."""


def _sweep_name(track: str, sweep: "Sweep") -> str:
    """The same for the same request of the same recipe, so that it goes on.

    With more seeds it is another sweep, in which the finished runs count.
    """
    import hashlib

    from transformer_playground.sweeps.base import settings_digest

    begins = "" if sweep.base is None else settings_digest(sweep.base.kept.settings)
    stated = repr((sweep.experiment, sweep.settings, sweep.seeds, begins))
    digest = hashlib.sha256(stated.encode()).hexdigest()[:6]
    return f"{track}-{sweep.experiment[:50]}-{digest}"


def _print(name: str, standing: "Standing", limit: int, *, markdown: bool = False) -> None:
    from transformer_playground.records import tables
    from transformer_playground.records.published import find_dataset
    from transformer_playground.tables import markdown_table

    records = find_dataset(name)
    whole = tables.whole_split_table(records, standing, limit)
    headings = ["Measured on the whole validation split:"]
    shown = [whole]
    if others := tables.other_table(records):
        headings.append("Measured on something else, not to be ranked with those:")
        shown.append(others)
    say(f"{'## ' if markdown else ''}{name}: {records.title} ({records.unit})")
    for heading, table in zip(headings, shown, strict=True):
        if not table[0].cells:
            continue
        say("")
        say(heading)
        say("")
        if markdown:
            # In Markdown a hidden column would be lost.
            for line in markdown_table([replace(column, weight=None) for column in table]):
                say(line)
        else:
            print_table(table)
    if sentence := tables.verdict(standing):
        say("")
        say(visible_line(sentence))
    if standing.unmeasured:
        count = len(standing.unmeasured)
        note(f"{count} finished runs are not measured on the whole split yet: add --measure")
    for problem in standing.problems:
        note(visible_line(problem))
