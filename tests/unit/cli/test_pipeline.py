"""The command that continues a run."""

import shlex
from pathlib import Path

import pytest

from transformer_playground.cli.folders import EXPERIMENTS_DIR, RUNS_DIR
from transformer_playground.cli.pipeline import Job, resume_command


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job("tiny", EXPERIMENTS_DIR, RUNS_DIR), ["tiny"]),
        (Job(None, EXPERIMENTS_DIR, RUNS_DIR, resume="tiny-1"), ["tiny"]),
        (
            Job(None, EXPERIMENTS_DIR, RUNS_DIR, config=Path("my configs/a.toml")),
            ["--config", "my configs/a.toml"],
        ),
        (
            Job("tiny", EXPERIMENTS_DIR, RUNS_DIR, config=Path("a.toml")),
            ["tiny", "--config", "a.toml"],
        ),
        (
            Job("tiny", Path("e"), Path("r"), overrides=('a.b="x y"', "c=1")),
            # The settings themselves are the run's own by now.
            shlex.split("tiny --experiments-dir e --runs-dir r"),
        ),
    ],
)
def test_the_resume_command_repeats_where_things_are(job: Job, words: list[str]) -> None:
    command = resume_command(job, "tiny", "tiny-1")
    assert shlex.split(command) == ["tp", "train", *words, "--run-id", "tiny-1"]
