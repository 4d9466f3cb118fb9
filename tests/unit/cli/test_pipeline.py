"""The command that resumes a run."""

import shlex
from pathlib import Path

import pytest

from transformer_playground.cli.train import resume_command
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR


@pytest.mark.parametrize(
    ("experiments_dir", "runs_dir", "words"),
    [
        (EXPERIMENTS_DIR, RUNS_DIR, []),
        (Path("my e"), Path("r"), ["--experiments-dir", "my e", "--runs-dir", "r"]),
    ],
)
def test_the_resume_command_names_the_run_and_its_folders(
    experiments_dir: Path, runs_dir: Path, words: list[str]
) -> None:
    # Everything else is in the run's own record.
    command = resume_command("tiny-1", experiments_dir=experiments_dir, runs_dir=runs_dir)
    assert shlex.split(command) == ["tp", "train", "--resume", "tiny-1", *words]
