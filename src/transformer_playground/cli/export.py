"""`tp export-adapter`."""

from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import CHECKPOINT_HELP, RUN_HELP, AsJson, Base, RunsDir
from transformer_playground.cli.output import say, say_json
from transformer_playground.formatting import size_text
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.listing import find_run
from transformer_playground.terminal import visible_line

_SCHEMA_VERSION = 1


def export_adapter(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Merge the adapter into the base model, for transformers alone.",
        ),
    ] = False,
    checkpoint: Annotated[
        str,
        typer.Option("--checkpoint", metavar="NAME", help=CHECKPOINT_HELP),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="New output folder; default: inside the run's exports folder.",
        ),
    ] = None,
    base: Base = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Export the adapter of a finetuned run.

    The result can be loaded by peft, or with --merge by transformers. The tokenizer is included.
    An existing folder is not overwritten.
    """
    run = find_run(runs_dir, run_id)

    from transformer_playground.config.finetuning import absolute_model_name
    from transformer_playground.export.adapter import export_adapter as export

    moved = absolute_model_name(base) if base else None
    exported = export(run, checkpoint=checkpoint, out=out, merge=merge, base=moved)
    if json_output:
        say_json(
            {
                "schema_version": _SCHEMA_VERSION,
                "run_id": run.run_id,
                "folder": str(exported.folder),
                "format": "transformers" if merge else "peft",
                "checkpoint": exported.checkpoint.name,
                "step": exported.step,
                "bytes": exported.size,
            }
        )
        return
    what = "merged model" if merge else "adapter"
    say(
        visible_line(
            f"{what} of step {exported.step:,} ({size_text(exported.size)}): {exported.folder}"
        )
    )
