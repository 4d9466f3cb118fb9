"""`tp import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.cli.options import AsJson, ExperimentsDir, RunsDir
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR, load_experiment
from transformer_playground.experiments.scaffold import find_or_install
from transformer_playground.files import display_path
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.importing.foreign import ForeignModel
    from transformer_playground.importing.run import Origin

_SCHEMA_VERSION = 1


def import_run(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A nanoGPT ckpt.pt or its folder, or a Hugging Face folder."
        ),
    ],
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="ID", help="ID of the new run.")
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment",
            metavar="EXP",
            help="Train on with the prepared dataset of this experiment; default: no dataset.",
        ),
    ] = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Import a model of another program as a run.

    The run can be listed, sampled, compared and, with --experiment, branched and trained on. Its
    files are copied; nothing in them is executed.
    """
    origin = None if experiment is None else _origin(experiments_dir, experiment)

    from transformer_playground.importing.run import import_model

    foreign = _read(path)
    imported = import_model(foreign, runs_dir, run_id=run_id, origin=origin)
    for notice in imported.notices:
        note(notice)
    if json_output:
        say_json(
            {
                "schema_version": _SCHEMA_VERSION,
                "run_id": imported.run.run_id,
                "folder": str(imported.run.root),
                "format": foreign.format,
                "source": str(foreign.source),
                "step": imported.step,
                "parameters": imported.parameters,
                "tokenizer": imported.tokenizer,
                "has_optimizer_state": imported.has_optimizer_state,
                "has_dataset": imported.has_dataset,
                "notices": list(imported.notices),
            }
        )
        return
    facts = (
        f"step {imported.step:,}, {imported.parameters:,} parameters, "
        f"tokenizer {imported.tokenizer}"
    )
    shown = display_path(foreign.source)
    say(visible_line(f"imported {shown} ({facts}) as run {imported.run.run_id}"))


def _read(path: Path) -> "ForeignModel":
    from transformer_playground.importing.huggingface import is_huggingface, read_huggingface
    from transformer_playground.importing.nanogpt import find_checkpoint, read_nanogpt

    checkpoint = find_checkpoint(path)
    if checkpoint is not None:
        return read_nanogpt(checkpoint)
    if is_huggingface(path):
        return read_huggingface(path)
    raise UsageError(
        f"There is no model to import at {display_path(path)}.",
        "Name a nanoGPT ckpt.pt, the folder that has it, or a folder with config.json and "
        "model.safetensors.",
    )


def _origin(experiments_dir: Path, name: str) -> "Origin":
    find_or_install(experiments_dir, name, note)
    experiment, loaded = load_experiment(experiments_dir, name, None, (), {})

    from transformer_playground.importing.run import Origin

    return Origin(experiment, loaded)
