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

PROBE = f"""\
import json, resource, sys
from transformer_playground.cli.main import main
codes = [main(words) for words in json.loads(sys.argv[1])]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {UNIT}
print(json.dumps([codes, peak]))
"""


def peak_memory(project: Project, *commands: list[str]) -> int:
    """Bytes that a process held at most while it ran these commands."""
    ended = project.child(sys.executable, "-c", PROBE, json.dumps(commands))
    assert ended.code == 0, ended.err
    codes, peak = ended.lines[-1]
    assert codes == [0] * len(commands), ended.err
    assert isinstance(peak, int)
    return peak


def enlarge(project: Project) -> None:
    folder = project.experiment / "datasets"
    os.truncate(folder / "train.bin", LARGE)
    meta = read_meta(folder / "meta.pkl")
    meta["files"]["train.bin"]["size"] = LARGE
    write_meta(folder / "meta.pkl", meta | {"train_tokens": LARGE // 2})


def test_training_costs_the_memory_of_a_batch_not_of_the_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "project")
    assert in_process(project, capsys, "prepare", "tiny").code == 0
    commands = [
        ["train", "tiny", "--json", "--set", f"train.data.sampler={sampler}"]
        for sampler in ("random", "sequential")
    ]
    small = peak_memory(project, *commands)
    enlarge(project)
    assert peak_memory(project, *commands) - small < MOST_GROWTH
    recorded = [json.loads(run.config_path.read_bytes())["dataset"] for run in project.runs]
    assert sorted(each["train_tokens"] for each in recorded)[-2:] == [LARGE // 2] * 2
