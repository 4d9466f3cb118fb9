"""`tp experiments` and `tp new`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from transformer_playground.cli.options import AsJson, ExperimentsDir
from transformer_playground.cli.output import print_table, say, say_json
from transformer_playground.errors import PlaygroundError
from transformer_playground.experiments.discovery import (
    EXPERIMENTS_DIR,
    Experiment,
    Template,
    discover,
    load_experiment,
    scaffold,
)
from transformer_playground.experiments.registry import dataset_state
from transformer_playground.tables import Column


def experiments(
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR, json_output: AsJson = False
) -> None:
    """List the experiments, what they are and whether their data is prepared."""
    rows = [_row(experiments_dir, each) for each in discover(experiments_dir)]
    if json_output:
        say_json(rows)
        return
    if not rows:
        say(f"No experiments in {experiments_dir}. Make one: tp new my_experiment")
        return
    columns = [Column(key, [row[key] for row in rows]) for key in ("experiment", "kind", "data")]
    columns.append(Column("description", [row["description"] for row in rows]))
    columns.append(Column("tags", [" ".join(row["tags"]) for row in rows], weight=1))
    print_table(columns)


def _row(experiments_dir: Path, experiment: Experiment) -> dict[str, Any]:
    try:
        _, loaded = load_experiment(experiments_dir, experiment.name, None, (), {})
        table = loaded.config.experiment
        return {
            "experiment": experiment.name,
            "kind": table.kind,
            "data": dataset_state(experiment, loaded.config),
            "tags": list(table.tags),
            "description": table.description,
        }
    except PlaygroundError as error:
        return {
            "experiment": experiment.name,
            "kind": "?",
            "data": "broken",
            "tags": [],
            "description": error.message,
        }


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the new experiment's folder.")
    ],
    template: Annotated[
        Template,
        typer.Option("--template", help="Which tokenizer the experiment begins with."),
    ] = "char",
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
) -> None:
    """Make a new experiment that runs as it stands."""
    for path in scaffold(experiments_dir, name, template):
        say(f"created {path}")
    say(f"Next: tp loop {name}")
