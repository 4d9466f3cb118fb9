"""`tp experiments` and `tp new`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from transformer_playground.cli.options import AsJson, ExperimentsDir
from transformer_playground.cli.output import is_terminal, note, print_table, say, say_json
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.experiments.discovery import (
    EXPERIMENTS_DIR,
    Experiment,
    bundled_dir,
    discover,
    list_folders,
    load_experiment,
)
from transformer_playground.experiments.scaffold import Template, copy_experiment, scaffold
from transformer_playground.tables import Column


def experiments(
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR, json_output: AsJson = False
) -> None:
    """List experiments and whether their data is prepared.

    In an empty folder the bundled ones are listed. A folder that cannot be used is listed as
    broken, with the reason.
    """
    found = discover(experiments_dir)
    rows = [_row(experiments_dir, each) for each in list_folders(experiments_dir)]
    names = {row["experiment"] for row in rows}
    bundled = [each for each in discover(bundled_dir()) if each.name not in names]
    if not found:
        rows += [_row(bundled_dir(), each, is_installed=False) for each in bundled]
        rows.sort(key=lambda row: row["experiment"])
    if json_output:
        say_json(rows)
        return
    columns = [Column(key, [row[key] for row in rows]) for key in ("experiment", "kind", "data")]
    columns.append(Column("description", [row["description"] for row in rows]))
    columns.append(Column("tags", [" ".join(row["tags"]) for row in rows], weight=1))
    print_table(columns)
    if not found:
        note("These come with the package: tp loop shakespeare. Or create your own: tp new NAME")
    elif bundled and is_terminal():
        note(f"bundled, copied on first use: {', '.join(each.name for each in bundled)}")


def _row(
    experiments_dir: Path, experiment: Experiment, *, is_installed: bool = True
) -> dict[str, Any]:
    # Imported late, with numpy: `tp new` and `tp --help` do not need it.
    from transformer_playground.experiments.registry import dataset_state

    try:
        _, loaded = load_experiment(experiments_dir, experiment.name, None, (), {})
        table = loaded.config.experiment
        return {
            "experiment": experiment.name,
            "kind": table.kind,
            "data": dataset_state(experiment, loaded.config) if is_installed else "bundled",
            "tags": list(table.tags),
            "description": table.description,
        }
    except PlaygroundError as error:
        return {
            "experiment": experiment.name,
            "kind": "?",
            "data": "broken",
            "tags": [],
            "description": str(error) if type(error) is UsageError else error.message,
        }


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new experiment.")],
    template: Annotated[
        Template | None,
        typer.Option(
            "--template",
            help="Tokenizer of a model trained from scratch, or lora to finetune a pretrained "
            "model.  [default: char]",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="EXP", help="Copy an experiment, here or bundled, instead."),
    ] = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
) -> None:
    """Create an experiment that can be trained as is."""
    if source is not None and template is not None:
        raise UsageError("--template and --from are mutually exclusive.", "Leave out one of them.")
    if source is not None:
        created = copy_experiment(experiments_dir, name, source)
    else:
        created = scaffold(experiments_dir, name, template or "char")
    for path in created:
        say(f"created {path}")
    say(f"Next: tp loop {name}")
