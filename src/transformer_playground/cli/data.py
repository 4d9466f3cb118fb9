"""`tp data`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from transformer_playground.cli.options import AsJson, ExperimentsDir, RunsDir, refuse_unread
from transformer_playground.cli.output import say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR, list_folders
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR

if TYPE_CHECKING:
    from transformer_playground.dataset_views.source import DataSource


def data(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="EXP|RUN", help="Experiment, or run: ID, prefix or EXP@latest.")
    ],
    split: Annotated[
        Literal["train", "val"], typer.Option("--split", help="Split of --window and --search.")
    ] = "train",
    window: Annotated[
        int | None,
        typer.Option("--window", metavar="N", help="Tokens of a window, counted from 0."),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="First place of a text, letter for letter."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", metavar="STEP", help="Sequences that a step draws, from 1."),
    ] = None,
    vocabulary: Annotated[
        bool, typer.Option("--vocabulary", help="Tokens with their counts.")
    ] = False,
    documents: Annotated[bool, typer.Option("--documents", help="Documents by length.")] = False,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Validation lines that stand in the training text.")
    ] = False,
    hardest: Annotated[
        bool,
        typer.Option("--hardest", help="Validation windows with the highest loss of a run."),
    ] = False,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Look at a prepared dataset: text, batches, counts.

    Without an option it prints the sizes. The console's Data view shows the same.
    """
    if window is None and search is None:
        refuse_unread(context, {"split": "without --window or --search"})
    from transformer_playground.dataset_views.document import DataRequest, data_document
    from transformer_playground.dataset_views.render import data_text

    source = _source(name, experiments_dir, runs_dir)
    request = DataRequest(split, window, search, vocabulary, documents, overlap, batch, hardest)
    document = data_document(source, request, experiments_dir)
    if json_output:
        say_json(document)
    else:
        say(data_text(document))


def _source(name: str, experiments_dir: Path, runs_dir: Path) -> "DataSource":
    """The dataset of an experiment, else of a run."""
    from transformer_playground.dataset_views.source import source_of_experiment, source_of_run

    try:
        known = [each.name for each in list_folders(experiments_dir)]
    except UsageError:
        # A run knows where its dataset is.
        known = []
    if name in known:
        return source_of_experiment(name, experiments_dir, os.environ)
    return source_of_run(find_run(runs_dir, name), experiments_dir)
