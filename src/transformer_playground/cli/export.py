"""`tp export` and `tp export-adapter`."""

from pathlib import Path
from typing import Annotated, cast

import typer

from transformer_playground.cli.options import (
    CHECKPOINT_HELP,
    RUN_HELP,
    AsJson,
    Base,
    DatasetDir,
    ExperimentsDir,
    RunsDir,
)
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.export.request import FLOAT_DTYPES, TARGETS, ExportRequest, TargetName
from transformer_playground.formatting import size_text
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.terminal import visible_line

_SCHEMA_VERSION = 1
_TARGETS_HELP = "; ".join(f"{info.name} = {info.summary}" for info in TARGETS.values())
_DTYPES_HELP = "; ".join(f"{info.name}: {', '.join(info.dtypes)}" for info in TARGETS.values())
_QUANTIZE_HELP = "; ".join(
    f"{info.name}: {', '.join(info.quantizations)}"
    for info in TARGETS.values()
    if info.quantizations
)


def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help=f"{_TARGETS_HELP}.")],
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="NAME", help=CHECKPOINT_HELP)
    ] = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help=f"Dtype of the weights. {_DTYPES_HELP}. Default: first.",
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize",
            metavar="TYPE",
            help=f"Quantise the weights. {_QUANTIZE_HELP or 'None yet'}.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Output folder; default: inside the run's exports folder.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the model; default: the run ID."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="TEXT",
            help="ollama: template of a prompt, in Go's syntax; default: the prompt as it is.",
        ),
    ] = None,
    licence: Annotated[
        str,
        typer.Option("--license", metavar="ID", help="Licence of the model, for its README."),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier export in the folder.")
    ] = False,
    no_verify: Annotated[
        bool,
        typer.Option(
            "--no-verify", help="Do not open the export again to compare it with the run."
        ),
    ] = False,
    custom_code: Annotated[
        bool,
        typer.Option(
            "--custom-code",
            help="hf: ship a modeling file of our own, loaded with trust_remote_code.",
        ),
    ] = False,
    dataset: DatasetDir = None,
    base: Base = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Export a model for other programs, and prove the result.

    The export is opened again by a program that reads it and compared with the run on validation
    text; one that differs is not kept. A finetuned model is merged. An export that is up to date is
    not written again.
    """
    from transformer_playground.config.finetuning import absolute_model_name

    request = ExportRequest(
        target=cast("TargetName", to),
        checkpoint=checkpoint,
        dtype=dtype,
        quantize=quantize,
        out=out,
        model_name=name,
        template=template,
        force=force,
        verify=not no_verify,
        custom_code=custom_code,
        base=absolute_model_name(base) if base else None,
        dataset=dataset,
        experiments_dir=experiments_dir,
        licence=licence,
    )
    request.check()
    run = find_run(runs_dir, run_id)
    # torch is imported after everything that can fail without it.
    from transformer_playground.export.run import export_run

    exported = export_run(run, request, progress=lambda line: note(visible_line(line)))
    if json_output:
        say_json({"schema_version": _SCHEMA_VERSION, **exported.as_json()})
        return
    for sentence in exported.sentences():
        say(visible_line(sentence))


def export_adapter(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP)],
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Merge the adapter into the base model, for transformers alone.",
        ),
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="With --merge: float32, bfloat16 or float16; default: as in training.",
        ),
    ] = None,
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
    if dtype is not None and not merge:
        raise UsageError("--dtype needs --merge; adapters are float32.", "Add --merge.")
    if dtype not in (None, *FLOAT_DTYPES):
        raise UsageError(f"--dtype {dtype} is not known.", f"Use {', '.join(FLOAT_DTYPES)}.")
    run = find_run(runs_dir, run_id)

    from transformer_playground.config.finetuning import absolute_model_name
    from transformer_playground.export.adapter import export_adapter as write

    moved = absolute_model_name(base) if base else None
    exported = write(run, checkpoint=checkpoint, out=out, merge=merge, dtype=dtype, base=moved)
    if exported.notice:
        note(visible_line(exported.notice))
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
