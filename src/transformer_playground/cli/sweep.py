"""`tp sweep`: many runs of one experiment with different settings."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from transformer_playground.cli.options import (
    AsJson,
    ConfigPath,
    ExperimentsDir,
    RunsDir,
    SweepsDir,
)
from transformer_playground.cli.output import note, print_table, say, say_json
from transformer_playground.cli.sweep_show import Id, print_results, show, sweep_states
from transformer_playground.cli.train_sweep import Jobs, SweepTraining, note_others, sweep_arguments
from transformer_playground.errors import PlaygroundError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.training.launch import shell_command

if TYPE_CHECKING:
    from transformer_playground.sweeps.create import PlannedSweep


def new(
    experiment: Annotated[
        str, typer.Argument(metavar="EXP", help="Experiment name; can be omitted with --config.")
    ] = "",
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="Values of a setting: v1,v2,v3, or a range low..high, low..high:log or "
            "low..high:log:5; a single value is for all runs; repeatable.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, max=1000, help="Seeds per combination.")
    ] = 1,
    method: Annotated[
        Literal["grid", "random", "tpe"],
        typer.Option(
            "--method",
            help="All combinations of the values, --runs random ones, or --runs chosen by "
            "Optuna's TPE from the results so far.",
        ),
    ] = "grid",
    runs: Annotated[
        int | None,
        typer.Option("--runs", metavar="N", min=1, help="Combinations of random and tpe."),
    ] = None,
    halving: Annotated[
        int | None,
        typer.Option(
            "--halving",
            metavar="STEPS",
            min=1,
            help="Successive halving: after so many steps one of --factor combinations goes on, "
            "to --factor times as many steps, and so on.",
        ),
    ] = None,
    factor: Annotated[
        int | None,
        typer.Option("--factor", metavar="N", min=2, help="With --halving.  [default: 3]"),
    ] = None,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential", help="Add seed after seed, and end once the best is clear at p < 0.01."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="ID", help="Name of the sweep.")
    ] = None,
    config: ConfigPath = None,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Write a sweep, and print its runs and their cost."""
    from transformer_playground.sweeps.create import NewSweep, plan_sweep
    from transformer_playground.sweeps.spec import save_sweep

    asked = NewSweep(
        experiment, values or (), seeds, method, runs, name, config, halving, factor, sequential
    )
    sweep = asked.create(experiments_dir, note)
    planned = plan_sweep(sweep, experiments_dir, runs_dir)
    save_sweep(sweeps_dir, planned.sweep)
    _print_planned(planned, sweeps_dir, experiments_dir, runs_dir, json_output=json_output)


def add(
    sweep_id: Id,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="Further values of a setting that varies, also as a range; repeatable.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            min=2,
            max=1000,
            help="Seeds per combination, with those there are.",
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs",
            metavar="N",
            min=2,
            help="Combinations of random and tpe, with those there are.",
        ),
    ] = None,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Add values, seeds or runs to a sweep, and print their cost."""
    from transformer_playground.sweeps.additions import Addition, add_to_sweep
    from transformer_playground.sweeps.spec import find_sweep

    folder = find_sweep(sweeps_dir, sweep_id)
    addition = Addition(values or (), seeds, runs)
    planned = add_to_sweep(folder, addition, experiments_dir, runs_dir)
    _print_planned(planned, sweeps_dir, experiments_dir, runs_dir, json_output=json_output)


def run(
    sweep_id: Id,
    jobs: Jobs = 1,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    worker: Annotated[
        bool, typer.Option("--worker", hidden=True, help="Print no table at the end.")
    ] = False,
) -> int:
    """Train the runs of a sweep that are left.

    Interrupted ones are resumed. Several processes and machines that share the folders can do this
    at the same time.
    """
    from transformer_playground.sweeps.progress import Progress
    from transformer_playground.sweeps.spec import find_sweep, load_sweep

    folder = find_sweep(sweeps_dir, sweep_id)
    sweep = load_sweep(folder)
    progress = Progress(sweep, experiments_dir, runs_dir)
    training = SweepTraining(folder, progress, jobs, json_output=json_output, is_worker=worker)
    request = training.run()
    if request.signal is not None:
        if not worker:
            arguments = sweep_arguments("run", sweep.sweep_id, sweeps_dir)
            again = shell_command(["tp", *arguments], experiments_dir, runs_dir)
            note(f"stopped by {request.signal.name}. Go on with: {again}")
        return request.exit_code
    states = progress.states()
    if not worker:
        note_others(states, runs_dir)
        print_results(sweep, states, json_output=json_output)
    return 1 if any(state.state == "failed" for state in states) else 0


def stop(
    sweep_id: Id,
    finish_runs: Annotated[
        bool, typer.Option("--finish-runs", help="Let the runs in training end first.")
    ] = False,
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Let all processes that train a sweep save their run and end."""
    from transformer_playground.sweeps.runner import stop_sweep
    from transformer_playground.sweeps.spec import find_sweep, load_sweep

    folder = find_sweep(sweeps_dir, sweep_id)
    sweep = load_sweep(folder)
    asked = stop_sweep(folder, sweep, runs_dir, finish_runs=finish_runs)
    if json_output:
        say_json({"schema_version": 1, "sweep": sweep.sweep_id, "asked": asked})
        return
    say(f"{sweep.sweep_id}: no further run starts; runs in training asked to stop: {len(asked)}")


def next_run(
    sweep_id: Id,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Number of a trial, from 0, or the id of its run, or a unique beginning or end.",
        ),
    ],
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Let a waiting run of a sweep be trained before the others."""
    from transformer_playground.sweeps.order import find_trial, request_next
    from transformer_playground.sweeps.results import trial_text
    from transformer_playground.sweeps.spec import find_sweep, load_sweep

    folder = find_sweep(sweeps_dir, sweep_id)
    sweep = load_sweep(folder)
    state = find_trial(sweep_states(sweep, experiments_dir, runs_dir), run)
    request_next(folder, state)
    if json_output:
        say_json({"schema_version": 1, "sweep": sweep.sweep_id, "next": state.trial.run_id})
        return
    say(f"{sweep.sweep_id}: {trial_text(state.trial)} is trained next ({state.trial.run_id})")


def list_sweeps(
    sweeps_dir: SweepsDir = SWEEPS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """List sweeps with the number of their runs in each state."""
    from transformer_playground.sweeps import spec, tables
    from transformer_playground.tables import labelled_columns

    spec.remove_unfinished(sweeps_dir)
    rows: list[dict[str, str | int | None]] = []
    for folder in spec.list_sweeps(sweeps_dir):
        row: dict[str, str | int | None] = {"sweep": folder.root.name, "problem": None}
        try:
            sweep = spec.load_sweep(folder)
            row["experiment"] = sweep.experiment
            row |= tables.counts(sweep, sweep_states(sweep, experiments_dir, runs_dir))
        except PlaygroundError as error:
            row["problem"] = error.message
        rows.append(row)
    if json_output:
        say_json({"schema_version": 1, "sweeps": rows})
        return
    if not rows:
        note("There is no sweep. Write one: tp sweep new EXP --set key=value,value")
        return
    header = ("sweep", "experiment", *tables.STATES)
    cells = [[str(row.get(name, "?")) for name in header] for row in rows]
    print_table(labelled_columns(header, cells))
    for row in rows:
        if row["problem"]:
            note(f"{row['sweep']}: {row['problem']}")


def _print_planned(
    planned: "PlannedSweep",
    sweeps_dir: Path,
    experiments_dir: Path,
    runs_dir: Path,
    *,
    json_output: bool,
) -> None:
    """Print what a sweep will cost, and the command that trains it."""
    from transformer_playground.sweeps.tables import as_document

    if json_output:
        known = None if planned.seconds is None else round(planned.seconds, 1)
        say_json(as_document(planned.sweep, planned.states) | {"seconds": known})
        return
    for line in planned.lines():
        say(line)
    command = sweep_arguments("run", planned.sweep.sweep_id, sweeps_dir)
    say(f"Next: {shell_command(['tp', *command], experiments_dir, runs_dir)}")


COMMANDS: dict[str, Callable[..., int | None]] = {
    "new": new,
    "add": add,
    "run": run,
    "show": show,
    "stop": stop,
    "next": next_run,
    "list": list_sweeps,
}
"""A command for each name."""
