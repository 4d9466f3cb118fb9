"""A dataset larger than the memory it may cost is trained on without being read whole."""

import json
import os
import sys
from pathlib import Path

import pytest

from builders.commands import Project, in_process, make_project
from transformer_playground.data.meta import read_meta, write_meta

# Sparse: it costs the disk nothing.
LARGE = 2 << 30
MOST_GROWTH = 150 << 20
UNIT = 1 if sys.platform == "darwin" else 1 << 10

# The commands in one folder after the other.
PROBE = f"""\
import json, os, resource, sys
from transformer_playground.cli.main import main
peaks = []
for folder in sys.argv[2:]:
    os.chdir(folder)
    codes = [main(words) for words in json.loads(sys.argv[1])]
    assert not any(codes), codes
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {UNIT})
print(json.dumps(peaks))
"""


def peak_memory(commands: list[list[str]], *projects: Project) -> list[int]:
    """Bytes that a process has held at most after it ran these commands in each project."""
    roots = [project.root for project in projects]
    ended = projects[0].child(sys.executable, "-c", PROBE, json.dumps(commands), *roots)
    assert ended.code == 0, ended.err
    peaks: list[int] = ended.lines[-1]
    return peaks


def enlarge(project: Project) -> None:
    folder = project.experiment / "datasets"
    os.truncate(folder / "train.bin", LARGE)
    meta = read_meta(folder / "meta.pkl")
    meta["files"]["train.bin"]["size"] = LARGE
    write_meta(folder / "meta.pkl", meta | {"train_tokens": LARGE // 2})


def test_training_costs_the_memory_of_a_batch_not_of_the_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, large = make_project(tmp_path / "small"), make_project(tmp_path / "large")
    for project in (small, large):
        assert in_process(project, capsys, "prepare", "tiny").code == 0
    enlarge(large)
    commands = [
        ["train", "tiny", "--json", "--set", f"train.data.sampler={sampler}"]
        for sampler in ("random", "sequential")
    ]
    before, after = peak_memory(commands, small, large)
    assert after - before < MOST_GROWTH
    recorded = [json.loads(run.config_path.read_bytes())["dataset"] for run in large.runs]
    assert [each["train_tokens"] for each in recorded] == [LARGE // 2] * 2
