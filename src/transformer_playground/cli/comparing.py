"""Comparing and printing, with samples where they are asked for."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformer_playground.analysis.compare import Comparison, compare
from transformer_playground.analysis.comparison_document import as_document
from transformer_playground.analysis.comparison_sampling import Answer, Question, question
from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.cli import comparison_output as output
from transformer_playground.cli.compare import Form
from transformer_playground.cli.comparison_format import FEW_COLUMNS
from transformer_playground.cli.console import note, say_json
from transformer_playground.cli.decoding import read_standard_input
from transformer_playground.errors import UsageError
from transformer_playground.runs.layout import RunFolder
from transformer_playground.terminal import visible_line

_SAMPLES = 3


@dataclass(frozen=True)
class Asked:
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


def print_comparison(
    folders: Sequence[RunFolder], asked: Asked, form: Form, *, group: bool, all_settings: bool
) -> None:
    """Compare runs, have them write what was asked for, and print it all in one form.

    Raises:
        PlaygroundError: The runs cannot be compared, or the first one's settings are unusable.
    """
    comparison = compare(folders, group=group, all_settings=all_settings)
    if form == "csv":
        output.print_csv(comparison)
        return
    question = asked.question(folders[0]) if asked.draws(comparison, folders) else None
    if form == "text":
        output.print_comparison(comparison)
    answers = _ask(comparison, folders, question) if question is not None else []
    if form == "json":
        say_json(as_document(comparison, question, answers))
    elif form == "markdown":
        output.print_markdown(comparison, question, answers)
    elif question is not None:
        output.print_answers(question, answers)


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
