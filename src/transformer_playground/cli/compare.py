"""`tp compare`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from transformer_playground.analysis.compare import Comparison
from transformer_playground.analysis.compare import compare as compare_runs
from transformer_playground.analysis.comparison_document import as_document
from transformer_playground.analysis.comparison_sampling import Answer, Question, question
from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.cli import comparison_output as output
from transformer_playground.cli.comparison_format import FEW_COLUMNS
from transformer_playground.cli.console import note, say_json
from transformer_playground.cli.decoding import (
    STANDARD_INPUT,
    MaxNewTokens,
    Prompt,
    Seed,
    Temperature,
    TopK,
    TopP,
    Unconditional,
    read_standard_input,
)
from transformer_playground.cli.options import RUNS_DIR, AsJson, Checkpoint, RunsDir
from transformer_playground.errors import UsageError
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.listing import find_runs
from transformer_playground.terminal import visible_line

_SAMPLES = 3


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
    _refuse_contradictions(
        formats=(json_output, csv_output, markdown), prompt=prompt, unconditional=unconditional
    )
    decoding = {
        "start": None if prompt == STANDARD_INPUT else prompt,
        "unconditional": True if unconditional else (False if prompt is not None else None),
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    asked = _Asked(
        n_samples,
        {key: value for key, value in decoding.items() if value is not None},
        prompt == STANDARD_INPUT,
        seed,
        checkpoint,
    )
    asked.refuse_what_draws_nothing(csv_output=csv_output)
    folders = find_runs(runs_dir, ",".join(run_ids))
    comparison = compare_runs(folders, group=not no_group, all_settings=all_settings)
    if csv_output:
        output.print_csv(comparison)
        return
    question = asked.question(folders[0]) if asked.draws(comparison, folders) else None
    if not (json_output or markdown):
        output.print_comparison(comparison)
    answers = _ask(comparison, folders, question) if question is not None else []
    if json_output:
        say_json(as_document(comparison, question, answers))
    elif markdown:
        output.print_markdown(comparison, question, answers)
    elif question is not None:
        output.print_answers(question, answers)


@dataclass(frozen=True)
class _Asked:
    """What the command states about samples; None and missing keys are left to the first run."""

    n_samples: int | None
    decoding: Mapping[str, Any]
    from_standard_input: bool
    seed: int | None
    checkpoint: str | None

    @property
    def is_stated(self) -> bool:
        """Whether the command says anything about how to draw."""
        return bool(self.decoding) or self.seed is not None or self.checkpoint is not None

    def refuse_what_draws_nothing(self, *, csv_output: bool) -> None:
        """Refuse options that could have no effect."""
        if csv_output and (self.n_samples or self.is_stated):
            raise UsageError(
                "A CSV table has no place for samples.", "Leave out the sampling options, or --csv."
            )
        if self.n_samples == 0 and self.is_stated:
            raise UsageError(
                "--n-samples 0 draws nothing, so other sampling options have no effect.",
                "Leave them out, or ask for samples.",
            )

    def draws(self, comparison: Comparison, folders: Sequence[RunFolder]) -> bool:
        """Whether there is anything to draw, and a word if there is not."""
        if self.n_samples is not None or self.is_stated:
            return self.n_samples != 0
        if len(comparison.columns) > FEW_COLUMNS:
            note(f"For samples of more than {FEW_COLUMNS} columns say --n-samples {_SAMPLES}.")
            return False
        if not any(scan_folder(folder.checkpoints).files for folder in folders):
            note("None of these runs has a checkpoint, so there are no samples.")
            return False
        return True

    def question(self, first: RunFolder) -> Question:
        """What to ask each run; what is not stated is as the first run has it."""
        options = {
            "sample": {**self.decoding, "num_samples": self.n_samples or _SAMPLES},
            "runtime": {} if self.seed is None else {"seed": self.seed},
        }
        prompt = read_standard_input() if self.from_standard_input else None
        return question(first, options, self.checkpoint, os.environ, prompt=prompt)


def _refuse_contradictions(
    *, formats: Sequence[bool], prompt: str | None, unconditional: bool
) -> None:
    if sum(formats) > 1:
        raise UsageError("--json, --csv and --markdown exclude each other.", "Choose one.")
    if prompt is not None and unconditional:
        raise UsageError("--prompt and --unconditional exclude each other.", "Choose one.")


def _ask(comparison: Comparison, folders: Sequence[RunFolder], question: Question) -> list[Answer]:
    """Ask each column's best run, one after the other."""
    from transformer_playground.analysis.comparison_samples import ask

    by_id = {folder.run_id: folder for folder in folders}
    answers = []
    for column in comparison.columns:
        run = by_id[column.best_run.run_id]
        of_group = f", the best of {column.label}" if len(column.runs) > 1 else ""
        note(visible_line(f"sampling from {run.run_id}{of_group}"))
        answers.append(ask(run, question))
        for skipped in answers[-1].skipped:
            note(visible_line(f"passed over a damaged checkpoint: {skipped}"))
    return answers
