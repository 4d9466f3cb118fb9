"""Job files: a launch as a script for torchrun or Slurm, or as a task for SkyPilot."""

import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from transformer_playground.errors import UsageError

JobKind = Literal["slurm", "skypilot", "torchrun"]
JOB_KINDS: tuple[JobKind, ...] = get_args(JobKind)

_PORT = 29_500
# For a checkpoint of a large model on a slow disk, before the time limit.
_NOTICE_SECONDS = 300
_RESTARTS = 3
_CORES_PER_PROCESS = 4
# GPUs that training in bfloat16 runs well on, in the names of SkyPilot.
_GPUS = ("H100", "A100-80GB", "A100", "L40S", "L4")


@dataclass(frozen=True)
class Job:
    """A launch on one or several machines.

    Attributes:
        train: Arguments of `tp` that train, and resume the run if it exists already.
        stop: Arguments of `tp` that save a checkpoint and stop the run.
        prepare: Shell command that prepares the dataset.
        gpus: GPUs of each machine; 0 = training on its CPU.
        processes: Processes on each machine.
        install: Shell command that installs this program on a fresh machine.
        mounts: Local folders that a fresh machine needs, by their path there.
    """

    run_id: str
    train: tuple[str, ...]
    stop: tuple[str, ...]
    prepare: str
    nodes: int
    gpus: int
    processes: int
    install: str = "pip install transformer-playground"
    mounts: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        machines = "1 machine" if self.nodes == 1 else f"{self.nodes} machines"
        if not self.gpus:
            return f"{machines} without GPUs"
        return f"{machines} with {self.gpus} GPU{'s' if self.gpus > 1 else ''}" + (
            " each" if self.nodes > 1 else ""
        )


def job_file(kind: JobKind, job: Job) -> str:
    """The text of a job file, with a comment that says how it is started.

    Raises:
        UsageError: An argument has a line break or another control character.
    """
    mounted = (path for pair in job.mounts for path in pair)
    for argument in (*job.train, *job.stop, job.prepare, *mounted):
        if not argument.isprintable():
            raise UsageError(
                f"A job file cannot hold {argument!r}, which has characters that do not print.",
                "Set it in the experiment's config.toml instead.",
            )
    match kind:
        case "torchrun":
            return _torchrun_script(job)
        case "slurm":
            return _slurm_script(job)
        case "skypilot":
            return _skypilot_task(job)


def _command(words: Sequence[str], arguments: Sequence[str]) -> str:
    """A command in lines; the words are shell text, the arguments are quoted."""
    lines = [*words, "-m transformer_playground"]
    for argument in arguments:
        quoted = shlex.quote(argument)
        if argument.startswith("--"):
            lines.append(quoted)
        else:
            lines[-1] += f" {quoted}"
    return " \\\n  ".join(lines)


def _launcher(
    job: Job, meeting: Sequence[str], *, nodes: str, restarts: int = _RESTARTS
) -> list[str]:
    """The words of torchrun; several machines meet at the first one's address."""
    several = [f"torchrun --nnodes={nodes}", *meeting]
    words = ["torchrun --standalone"] if job.nodes == 1 else several
    return [*words, f"--nproc-per-node={job.processes} --max-restarts={restarts}"]


def _torchrun_script(job: Job) -> str:
    meeting = [
        f"--rdzv-id={shlex.quote(job.run_id)} --rdzv-backend=c10d",
        f'--rdzv-endpoint="${{HEAD:?set HEAD to the address of the first machine}}:{_PORT}"',
    ]
    command = _command(_launcher(job, meeting, nodes=str(job.nodes)), job.train)
    how = "bash FILE"
    if job.nodes > 1:
        how = "on each machine, in a folder that they share: HEAD=ADDRESS bash FILE"
    return f"""\
#!/bin/bash
# Trains the run {job.run_id} on {job}:
# {how}
# Started again, it resumes the run.
set -eu

exec {command}
"""


def _slurm_script(job: Job) -> str:
    meeting = [
        '--rdzv-id="$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" --rdzv-backend=c10d',
        f'--rdzv-endpoint="$head:{_PORT}"',
    ]
    words = _launcher(job, meeting, nodes='"$SLURM_JOB_NUM_NODES"')
    start = 'srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK"'
    command = _command([start, *words], job.train)
    gpus = f"#SBATCH --gpus-per-node={job.gpus}\n" if job.gpus else ""
    cores = _CORES_PER_PROCESS * job.processes
    return f"""\
#!/bin/bash
# Trains the run {job.run_id} on {job}. With the environment active, in the
# folder that holds experiments/ and runs/, which all machines share: sbatch FILE
#SBATCH --job-name={job.run_id}
#SBATCH --nodes={job.nodes}
#SBATCH --ntasks-per-node=1
{gpus}#SBATCH --cpus-per-task={cores}
#SBATCH --time=24:00:00
#SBATCH --output=slurm-%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{_NOTICE_SECONDS}
# Most clusters need an account or a partition; remove one # of these:
##SBATCH --account=ACCOUNT
##SBATCH --partition=PARTITION
set -u

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / {job.processes}))

# {_NOTICE_SECONDS // 60} minutes before the time limit: save a checkpoint, and go on in a new turn.
requeue() {{
  trap '' USR1
  if {shlex.join(["tp", *job.stop])}; then
    wait "$training"
    scontrol requeue "$SLURM_JOB_ID"
  fi
  wait "$training"
  exit
}}
trap requeue USR1

{command} &
training=$!
wait "$training"
"""


def _skypilot_task(job: Job) -> str:
    meeting = [
        '--node-rank="$SKYPILOT_NODE_RANK"',
        f'--master-addr="$head" --master-port={_PORT}',
    ]
    # Only one machine finds the run that it wrote.
    restarts = _RESTARTS if job.nodes == 1 else 0
    words = _launcher(job, meeting, nodes='"$SKYPILOT_NUM_NODES"', restarts=restarts)
    head = 'head=$(echo "$SKYPILOT_NODE_IPS" | head -n 1)\n' if job.nodes > 1 else ""
    run = f"set -e\n{head}{_command(words, job.train)}"
    setup = f"set -e\n{job.install}\n{job.prepare}"
    lines = [
        f"# Trains the run {job.run_id} on {job}:",
        "# sky launch --cluster playground FILE",
        f"name: {_yaml(job.run_id.lower().replace('_', '-').replace('.', '-'))}",
        "workdir: .",
        f"num_nodes: {job.nodes}",
        "resources:",
        *_skypilot_resources(job),
    ]
    if job.mounts:
        lines += ["file_mounts:", *(f"  {_yaml(to)}: {_yaml(path)}" for to, path in job.mounts)]
    return "\n".join([*lines, f"setup: |\n{_block(setup)}", f"run: |\n{_block(run)}", ""])


def _skypilot_resources(job: Job) -> list[str]:
    if not job.gpus:
        return [f"  cpus: {_CORES_PER_PROCESS * job.processes}+"]
    listed = [f"    - accelerators: {name}:{job.gpus}" for name in _GPUS]
    return [
        "  # The cheapest of these that is available; keep those you want.",
        "  any_of:",
        *listed,
    ]


def _block(text: str) -> str:
    return textwrap.indent(text, "  ")


def _yaml(text: str) -> str:
    """A string of YAML, in single quotes."""
    return "'" + text.replace("'", "''") + "'"
