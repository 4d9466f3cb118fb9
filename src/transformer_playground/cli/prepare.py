"""`tp prepare`."""

import dataclasses
import os
from typing import TYPE_CHECKING

from transformer_playground.cli.options import (
    AsJson,
    ConfigPath,
    ExperimentsDir,
    Force,
    OptionalExperiment,
    Overrides,
)
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.cli.preparation import PreparationDisplay
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR, load_experiment
from transformer_playground.experiments.scaffold import find_or_install

if TYPE_CHECKING:
    from transformer_playground.data.prepare import PrepareReport


def prepare(
    experiment: OptionalExperiment = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    force: Force = False,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    json_output: AsJson = False,
) -> None:
    """Prepare the dataset of an experiment.

    Tokenizes its text into train.bin, val.bin and meta.pkl.
    """
    # Imported late, with numpy, which `tp --help` does not need.
    from transformer_playground.experiments.registry import prepare_experiment

    if experiment is not None:
        find_or_install(experiments_dir, experiment, note)
    found, loaded = load_experiment(
        experiments_dir, experiment, config, overrides or (), os.environ
    )
    with PreparationDisplay() as display:
        report = prepare_experiment(
            found, loaded.config, report=display.note, progress=display.progress, force=force
        )
    if json_output:
        say_json({"schema_version": 1, **dataclasses.asdict(report)})
    else:
        say(describe_report(report))


def describe_report(report: "PrepareReport") -> str:
    """Summary of a preparation as lines of text."""
    lines = [
        f"{label}: {', '.join(names)}"
        for label, names in (
            ("created", report.created),
            ("refreshed", report.refreshed),
            ("up to date", report.skipped),
        )
        if names
    ]
    lines += [f"note: {text}" for text in report.notes]
    lines.append(
        f"{report.train_tokens:,} training and {report.val_tokens:,} validation tokens, "
        f"vocabulary {report.vocab_size:,}"
    )
    return "\n".join(lines)
