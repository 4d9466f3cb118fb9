"""Job files are run here by bash, with stand-ins for the programs of a cluster."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from transformer_playground.errors import UsageError
from transformer_playground.training.job_files import JOB_KINDS, Job, JobKind, job_file

ODD = ("it's", 'a "quote"', "$HOME `date` $(id)", "a  b", "ünï", "#no", "-1", "*", "\\", "a;b&c|d")
TRAIN = ("train", "my text", *(word for odd in ODD for word in ("--set", f"sample.start={odd}")))
JOB = Job(
    "run-1",
    (*TRAIN, "--run-id", "run-1"),
    ("runs", "stop", "run-1", "--runs-dir", "my runs"),
    "tp prepare 'my text'",
    nodes=2,
    gpus=4,
    processes=4,
    mounts=(("~/sky_workdir/it's: raw", "./it's: raw"),),
)
SLURM = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "77"}
SLURM["SLURM_CPUS_PER_TASK"] = "16"
RECORD = '#!/bin/bash\nprintf "%s\\0" "${0##*/}" "$@" >> "$RECORD"\n'


class Programs:
    """Programs that record their arguments, in a folder that is first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._record = folder / "record"
        for name in ("torchrun", "tp"):
            self.make(name)
        self.make("srun", 'exec "${@:3}"\n')
        self.make("scontrol", '[ "$1" = show ] && printf "first\\nsecond\\n"\n')

    def make(self, name: str, then: str = "") -> None:
        path = self.folder / name
        path.write_text(f"{RECORD}{then}", encoding="utf-8")
        path.chmod(0o755)

    def start(self, script: str, **environ: str) -> subprocess.Popen[bytes]:
        path = self.folder / "script.sh"
        path.write_text(script, encoding="utf-8")
        paths = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        environ = {**os.environ, "PATH": paths, "RECORD": str(self._record), **environ}
        return subprocess.Popen(
            ["bash", path], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(self, script: str, **environ: str) -> list[str]:
        """The words of the call of torchrun, which comes last."""
        process = self.start(script, **environ)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        words = self.words
        return words[len(words) - 1 - words[::-1].index("torchrun") :]

    @property
    def words(self) -> list[str]:
        return self._record.read_text(encoding="utf-8").split("\0")[:-1]


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


def is_valid_bash(script: str) -> bool:
    return subprocess.run(["bash", "-n"], input=script.encode(), check=False).returncode == 0


def task(job: Job) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(job_file("skypilot", job))
    return loaded


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_every_file_is_read_by_its_parser(nodes: int, gpus: int) -> None:
    job = replace(JOB, nodes=nodes, gpus=gpus, processes=gpus or 2)
    for kind in ("slurm", "torchrun"):
        assert is_valid_bash(job_file(kind, job))
    found = task(job)
    assert is_valid_bash(found["setup"])
    assert is_valid_bash(found["run"])
    assert (found["num_nodes"], found["workdir"], found["name"]) == (nodes, ".", "run-1")
    assert found["file_mounts"] == dict(job.mounts)
    if gpus:
        each = [entry["accelerators"] for entry in found["resources"]["any_of"]]
        assert len(each) > 1
        assert all(entry.endswith(f":{gpus}") for entry in each)
    else:
        assert found["resources"] == {"cpus": "8+"}


@pytest.mark.parametrize("kind", JOB_KINDS)
def test_torchrun_gets_every_argument_as_it_is(kind: JobKind, programs: Programs) -> None:
    sky = {"SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "1", "SKYPILOT_NODE_IPS": "9.9.9.9\n8"}
    script = task(JOB)["run"] if kind == "skypilot" else job_file(kind, JOB)
    words = programs.run(script, HEAD="first", **SLURM, **sky)
    at = words.index("-m")
    assert words[at + 1 :] == ["transformer_playground", *JOB.train]
    assert {"--nnodes=2", "--nproc-per-node=4"} < set(words[:at])
    meeting = {
        "slurm": {"--rdzv-id=77-0", "--rdzv-endpoint=first:29500", "--max-restarts=3"},
        "torchrun": {"--rdzv-id=run-1", "--rdzv-endpoint=first:29500", "--max-restarts=3"},
        "skypilot": {"--node-rank=1", "--master-addr=9.9.9.9", "--max-restarts=0"},
    }
    assert meeting[kind] < set(words[:at])


@pytest.mark.parametrize("kind", JOB_KINDS)
def test_one_machine_needs_no_address(kind: JobKind, programs: Programs) -> None:
    job = replace(JOB, nodes=1, gpus=0, processes=3)
    script = task(job)["run"] if kind == "skypilot" else job_file(kind, job)
    words = programs.run(script, **SLURM)
    options = ["torchrun", "--standalone", "--nproc-per-node=3", "--max-restarts=3", "-m"]
    assert words[: len(options)] == options


def test_a_script_for_several_machines_asks_for_the_address_of_the_first(
    programs: Programs,
) -> None:
    process = programs.start(job_file("torchrun", JOB))
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"set HEAD to the address of the first machine" in out


def test_slurm_is_asked_for_the_machines_and_a_notice_before_the_time_limit() -> None:
    lines = job_file("slurm", JOB).splitlines()
    directives = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
    assert {
        *("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=4", "--cpus-per-task=16"),
        *("--requeue", "--signal=B:USR1@300", "--open-mode=append", "--job-name=run-1"),
    } < directives
    first_command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first_command:] if line.startswith("#SBATCH")]
    assert "--gpus-per-node" not in job_file("slurm", replace(JOB, gpus=0))


@pytest.mark.parametrize("is_training", [True, False])
def test_before_the_time_limit_the_run_is_stopped_and_the_job_goes_on_in_a_new_turn(
    is_training: bool, programs: Programs, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    programs.make("torchrun", f'while [ ! -e "{stopped}" ]; do sleep 0.02; done\n')
    programs.make("tp", f'touch "{stopped}"\nexit {0 if is_training else 1}\n')
    process = programs.start(job_file("slurm", JOB), **SLURM)
    deadline = time.monotonic() + 60
    while "torchrun" not in (programs.words if programs._record.exists() else []):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    words = programs.words
    at = words.index("tp")
    assert words[at : at + 1 + len(JOB.stop)] == ["tp", *JOB.stop]
    requeued = ["scontrol", "requeue", "77"]
    assert (words[-3:] == requeued) == is_training


def test_a_job_that_fails_ends_with_its_exit_code(programs: Programs) -> None:
    programs.make("torchrun", "exit 3\n")
    process = programs.start(job_file("slurm", JOB), **SLURM)
    process.communicate(timeout=60)
    assert process.returncode == 3


@pytest.mark.parametrize("kind", JOB_KINDS)
@pytest.mark.parametrize("odd", ["two\nlines", "\x1b[2J", "a\tb", "\u2028"])
def test_what_a_file_cannot_hold_is_refused(kind: JobKind, odd: str) -> None:
    with pytest.raises(UsageError, match="do not print"):
        job_file(kind, replace(JOB, train=("train", "--set", f"a={odd}")))
