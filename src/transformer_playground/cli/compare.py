"""`tp compare`."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from transformer_playground.cli.decoding import (
    STANDARD_INPUT,
    MaxNewTokens,
    Prompt,
    Seed,
    Temperature,
    TopK,
    TopP,
    Unconditional,
)
from transformer_playground.cli.folders import RUNS_DIR
from transformer_playground.cli.options import (
    AsJson,
    Checkpoint,
    RunsDir,
)
from transformer_playground.errors import UsageError
from transformer_playground.runs.listing import find_runs

Form = Literal["text", "json", "csv", "markdown"]


def compare(
    run_ids: Annotated[
        list[str],
        typer.Option(
            "--run-ids",
            metavar="A,B[,C…]",
            help="Runs: ids, unique beginnings, EXP@latest, EXP@best; repeatable.",
        ),
    ],
    all_settings: Annotated[
        bool, typer.Option("--all", help="Show every setting, not only those that differ.")
    ] = False,
    no_group: Annotated[
        bool, typer.Option("--no-group", help="Do not average runs that differ in their seed.")
    ] = False,
    prompt: Prompt = None,
    unconditional: Unconditional = False,
    n_samples: Annotated[
        int | None,
        typer.Option(
            "--n-samples",
            min=0,
            help="Texts from each run; left out: 3 of up to four that have checkpoints.",
        ),
    ] = None,
    max_new_tokens: MaxNewTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    checkpoint: Checkpoint = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="One row for each run.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="A table for a document.")] = False,
) -> None:
    """Compare runs: what differs, what came of it, and what they write.

    Sampling settings that are left out are those of the first run, for all of them.
    """
    forms: dict[Form, bool] = {"json": json_output, "csv": csv_output, "markdown": markdown}
    stated: list[Form] = [name for name, is_stated in forms.items() if is_stated]
    _refuse_contradictions(stated, prompt=prompt, unconditional=unconditional)
    decoding = {
        "start": None if prompt == STANDARD_INPUT else prompt,
        "unconditional": True if unconditional else (False if prompt is not None else None),
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    # What compares is loaded when it is asked for; listing commands start without it.
    from transformer_playground.cli.comparing import Asked, print_comparison

    asked = Asked(
        n_samples,
        {key: value for key, value in decoding.items() if value is not None},
        prompt == STANDARD_INPUT,
        seed,
        checkpoint,
    )
    asked.refuse_what_draws_nothing(csv_output=csv_output)
    folders = find_runs(runs_dir, ",".join(run_ids))
    form: Form = stated[0] if stated else "text"
    print_comparison(folders, asked, form, group=not no_group, all_settings=all_settings)


def _refuse_contradictions(
    forms: Sequence[Form], *, prompt: str | None, unconditional: bool
) -> None:
    if len(forms) > 1:
        raise UsageError("--json, --csv and --markdown exclude each other.", "Choose one.")
    if prompt is not None and unconditional:
        raise UsageError("--prompt and --unconditional exclude each other.", "Choose one.")
