"""`tp scale`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from transformer_playground.cli.options import (
    AsJson,
    ConfigPath,
    ExperimentsDir,
    Overrides,
    RunsDir,
    SweepsDir,
    check_out,
    refuse_unread,
)
from transformer_playground.cli.output import note, print_table, say, say_json
from transformer_playground.cli.preparation import PreparationDisplay
from transformer_playground.cli.train_sweep import Jobs, SweepTraining
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.formatting import duration_text
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.training.launch import Launch, resolve_launch

if TYPE_CHECKING:
    from transformer_playground.scaling.family import Family, NewFamily
    from transformer_playground.scaling.study import Study
    from transformer_playground.sweeps.progress import Progress
    from transformer_playground.sweeps.spec import Sweep


def scale(
    context: typer.Context,
    experiment: Annotated[
        str, typer.Argument(metavar="EXP", help="Experiment name; can be omitted with --config.")
    ] = "",
    sizes: Annotated[
        str,
        typer.Option(
            "--sizes",
            metavar="A,B,C[,…]",
            help="Parameters (20k,50k,1M), for which shapes with the experiment's width per layer "
            "are chosen, or width x layers (64x2,128x4).",
        ),
    ] = "",
    budgets: Annotated[
        str,
        typer.Option(
            "--budgets",
            metavar="A[,B,…]",
            help="Training tokens for each size (500k,1M,2M). Default: the experiment's length.",
        ),
    ] = "",
    predict: Annotated[
        str,
        typer.Option(
            "--predict",
            metavar="SIZE",
            help="Size whose loss is predicted, for the largest budget. Default: the next one.",
        ),
    ] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Train the predicted size, too, and show the miss.")
    ] = False,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, max=1000, help="Seeds for each size.")
    ] = 1,
    lr_rule: Annotated[
        Literal["width", "sqrt-width", "fixed"] | None,
        typer.Option(
            "--lr-rule",
            help="Learning rate across sizes: times own width / width as muP says for hidden "
            "matrices, times its root, or the same for all. Default: width; with Muon fixed.",
        ),
    ] = None,
    no_train: Annotated[
        bool, typer.Option("--no-train", help="Train nothing; show what is there.")
    ] = False,
    jobs: Jobs = 1,
    overrides: Overrides = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="ID", help="Name of the family's sweep.")
    ] = None,
    config: ConfigPath = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Draw a figure, .svg or .png.")
    ] = None,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> int:
    """Fit a scaling law to a family of sizes.

    The sizes are trained as runs of a sweep, so the same command goes on after an interruption.
    Losses are those of the whole validation split. The law predicts the next size.
    """
    from transformer_playground.scaling.family import NewFamily
    from transformer_playground.scaling.law import LEAST_LEVELS

    if json_output and markdown:
        raise UsageError("--json and --markdown are mutually exclusive.", "Choose one.")
    if no_train and verify:
        raise UsageError("--verify trains a run, which --no-train excludes.", "Leave out one.")
    if no_train:
        refuse_unread(context, {"jobs": "with --no-train"})
    if not sizes:
        raise UsageError("--sizes is missing.", "Give at least three, such as 20k,60k,200k.")
    if out is not None:
        from transformer_playground.plots.loss_plot import plot_format

        check_out(out)
        plot_format(out)
    stated = tuple(overrides or ())
    asked = NewFamily(experiment, sizes, budgets, predict, seeds, lr_rule, stated, name, config)
    work = _Work(asked, sweeps_dir, experiments_dir, runs_dir, jobs)
    family = work.create()
    if len({member.shape for member in family.members}) < LEAST_LEVELS:
        few = f"with fewer than {LEAST_LEVELS} sizes, from which no other is predicted"
        refuse_unread(context, {"verify": few, "predict": few})
    has_failed = False
    if not no_train:
        wanted = [family.sweep, *([family.held_out_sweep] if verify else [])]
        for sweep in wanted:
            training = work.training(sweep)
            request = training.run()
            if request.signal is not None:
                note(f"stopped by {request.signal.name}. The same command goes on.")
                return request.exit_code
            has_failed |= training.report_left()
    study = work.read(family)
    if out is not None:
        _draw(study, out)
    _print(study, out, json_output=json_output, markdown=markdown)
    return 1 if has_failed else 0


class _Work:
    """Creates, trains and reads a family."""

    def __init__(
        self,
        asked: "NewFamily",
        sweeps_dir: Path,
        experiments_dir: Path,
        runs_dir: Path,
        jobs: int,
    ) -> None:
        self._asked, self._jobs = asked, jobs
        self._sweeps, self._experiments, self._runs = sweeps_dir, experiments_dir, runs_dir

    def create(self) -> "Family":
        """The family; its dataset is prepared for it if needed."""
        asked = self._asked
        name, config = asked.load(self._experiments, note)
        launch = Launch(asked.experiment, tuple(asked.settings), config=asked.config)
        with PreparationDisplay() as display:
            resolved = resolve_launch(self._experiments, self._runs, launch)
            resolved.prepare(display.note, display.progress)
        return asked.create(name, config)

    def training(self, sweep: "Sweep") -> SweepTraining:
        """The training of the runs of a sweep that are left; lines go to standard error."""
        from transformer_playground.sweeps.create import estimate_seconds
        from transformer_playground.sweeps.folder import SweepFolder
        from transformer_playground.sweeps.tables import size_text

        # Every run is checked before anything is written.
        self._open(sweep, save=False).check()
        progress = self._open(sweep, save=True)
        checked, states = progress.check(), progress.states()
        seconds = estimate_seconds(progress.sweep, states, checked)
        time = "" if not seconds else f"; about {duration_text(seconds)}"
        note(f"{sweep.sweep_id}: {size_text(progress.sweep, states)}{time}")
        folder = SweepFolder(self._sweeps / sweep.sweep_id)
        return SweepTraining(folder, progress, self._jobs, print=note)

    def read(self, family: "Family") -> "Study":
        """The study of what is trained."""
        from transformer_playground.scaling.points import read_results
        from transformer_playground.scaling.study import study_of

        found = []
        for sweep, members in (
            (family.sweep, family.members),
            (family.held_out_sweep, (family.held_out,)),
        ):
            states = self._open(sweep, save=False).states()
            found.append(read_results(members, states, self._runs, self._experiments, note))
        results, (held_out,) = found
        return study_of(family, results, held_out)

    def _open(self, sweep: "Sweep", *, save: bool) -> "Progress":
        from transformer_playground.sweeps.create import open_sweep
        from transformer_playground.sweeps.progress import Progress

        begins = Progress(sweep, self._experiments, self._runs).current_base()
        opened = open_sweep(self._sweeps, replace(sweep, base=begins), save=save)
        return Progress(opened, self._experiments, self._runs)


def _draw(study: "Study", out: Path) -> None:
    from transformer_playground.plots.curves_plot import write_curves_plot
    from transformer_playground.scaling.plot import study_plot

    write_curves_plot(out, study_plot(study, f"{study.family.sweep.experiment}: loss by size"))


def _print(study: "Study", out: Path | None, *, json_output: bool, markdown: bool) -> None:
    from transformer_playground.scaling import tables
    from transformer_playground.tables import markdown_table

    figure = None if out is None else str(out)
    if json_output:
        say_json(tables.as_document(study, figure=figure))
        return
    columns = tables.member_table(study)
    if markdown:
        # In Markdown a hidden column would be lost.
        _say_all(markdown_table([replace(column, weight=None) for column in columns]))
        _say_all(["", *tables.markdown_heading(study)])
        return
    say(f"{study.family.sweep.sweep_id}: {tables.rule_text(study.family.rule)}")
    say("")
    print_table(columns)
    say("")
    _say_all(tables.sentences(study))
    for text in study.notes:
        note(text)
    if figure is not None:
        say(f"plot: {figure}")


def _say_all(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)
