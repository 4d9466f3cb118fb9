"""Data larger than the memory it may cost is prepared and trained on without being read whole."""

import gzip
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
# Rows of text: 16 MB in a file of some hundred KB.
ROWS = 1 << 14
MOST_GROWTH_OF_ROWS = 10 << 20
UNIT = 1 if sys.platform == "darwin" else 1 << 10

# The commands in one folder after the other. On Linux `ru_maxrss` begins with the peak of the
# process that started this one.
PROBE = f"""\
import json, os, re, resource, sys
from pathlib import Path
from transformer_playground.cli.main import main

def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {UNIT}

peaks = []
for folder in sys.argv[2:]:
    os.chdir(folder)
    codes = [main(words) for words in json.loads(sys.argv[1])]
    assert not any(codes), codes
    peaks.append(peak())
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


def test_preparing_rows_costs_the_memory_of_a_few_blocks_not_of_the_corpus(tmp_path: Path) -> None:
    small, large = make_project(tmp_path / "small"), make_project(tmp_path / "large")
    row = json.dumps({"text": "some words of a corpus, " * 42}) + "\n"
    for project, count in ((small, ROWS // 4), (large, ROWS)):
        (project.experiment / "raw" / "input.txt").unlink()
        with gzip.open(project.experiment / "raw" / "rows.jsonl.gz", "wt", 1) as file:
            file.write(row * count)
    before, after = peak_memory([["prepare", "tiny", "--json"]], small, large)
    assert after - before < MOST_GROWTH_OF_ROWS
    size = (large.experiment / "datasets" / "train.bin").stat().st_size
    assert size > MOST_GROWTH_OF_ROWS
