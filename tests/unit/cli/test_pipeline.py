"""The command that continues a run."""

import shlex
from pathlib import Path

import pytest

from transformer_playground.cli.train import resume_command
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.training.launch import Launch


@pytest.mark.parametrize(
    ("launch", "experiments_dir", "runs_dir", "words"),
    [
        (Launch("tiny"), EXPERIMENTS_DIR, RUNS_DIR, ["tiny"]),
        (Launch("", resume="tiny-1"), EXPERIMENTS_DIR, RUNS_DIR, ["tiny"]),
        (
            Launch("", config=Path("my configs/a.toml")),
            EXPERIMENTS_DIR,
            RUNS_DIR,
            ["--config", "my configs/a.toml"],
        ),
        (
            Launch("tiny", config=Path("a.toml")),
            EXPERIMENTS_DIR,
            RUNS_DIR,
            ["tiny", "--config", "a.toml"],
        ),
        (
            # A config file given again overrides the run, so its overrides must be repeated, too.
            Launch("tiny", ('a.b="x y"',), config=Path("a.toml")),
            EXPERIMENTS_DIR,
            RUNS_DIR,
            ["tiny", "--config", "a.toml", "--set", 'a.b="x y"'],
        ),
        (
            Launch("tiny", ('a.b="x y"', "c=1")),
            Path("e"),
            Path("r"),
            # The other settings are recorded in the run.
            shlex.split("tiny --experiments-dir e --runs-dir r"),
        ),
    ],
)
def test_the_resume_command_repeats_the_folders(
    launch: Launch, experiments_dir: Path, runs_dir: Path, words: list[str]
) -> None:
    command = resume_command(
        launch, "tiny", "tiny-1", experiments_dir=experiments_dir, runs_dir=runs_dir
    )
    assert shlex.split(command) == ["tp", "train", *words, "--run-id", "tiny-1"]
