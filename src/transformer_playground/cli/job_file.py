"""`tp train --print-job`."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.output import say
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR, new_run_id
from transformer_playground.training.job_files import JOB_KINDS, Job, JobKind, job_file
from transformer_playground.training.launch import ResolvedLaunch
from transformer_playground.training.shares import check_shares

PrintJob = Annotated[
    str | None,
    typer.Option(
        "--print-job",
        metavar="KIND",
        help="Print a file that trains on other machines, and end: slurm, skypilot or torchrun.",
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option("--nodes", metavar="N", min=1, help="With --print-job: number of machines."),
]
GpusPerNode = Annotated[
    int | None,
    typer.Option(
        "--gpus-per-node",
        metavar="G",
        min=0,
        help="With --print-job: GPUs of each machine; 0 = train on its CPU. Without it 1, or 0 if "
        "train.runtime.device is cpu.",
    ),
]


@dataclass(frozen=True)
class JobOptions:
    """The options of `--print-job`."""

    kind: str | None
    nodes: int | None
    gpus: int | None

    @property
    def is_asked(self) -> bool:
        """Whether a job file is to be printed.

        Raises:
            UsageError: Its options are given without it, or the kind is unknown.
        """
        if self.kind is None:
            for name, value in (("--nodes", self.nodes), ("--gpus-per-node", self.gpus)):
                if value is not None:
                    raise UsageError(
                        f"{name} needs --print-job.",
                        "Add --print-job slurm, skypilot or torchrun, or leave it out.",
                    )
            return False
        self.checked_kind()
        return True

    def checked_kind(self) -> JobKind:
        """The kind of file.

        Raises:
            UsageError: It is unknown.
        """
        for kind in JOB_KINDS:
            if kind == self.kind:
                return kind
        raise UsageError(
            f"There is no job file of kind '{self.kind}'.", f"Use one of: {', '.join(JOB_KINDS)}."
        )


def print_job(options: JobOptions, resolved: ResolvedLaunch, *, json_output: bool) -> int:
    """Print the file of a launch whose settings are valid.

    Raises:
        UsageError: The launch cannot run on these machines.
    """
    if json_output:
        raise UsageError("--print-job prints a file, not JSON.", "Leave out one of them.")
    nodes, gpus = options.nodes or 1, options.gpus
    if gpus is None:
        gpus = 0 if resolved.loaded.config.train.runtime.device == "cpu" else 1
    processes = _checked_processes(resolved, nodes, gpus)
    launch = resolved.launch
    run_id = launch.resume or launch.run_id or new_run_id(resolved.experiment.name)
    train = ["train", *filter(None, [launch.experiment])]
    if launch.config is not None:
        train += ["--config", str(launch.config)]
    for override in launch.overrides:
        train += ["--set", override]
    # An existing run is resumed, so that the file can be started again.
    train += ["--resume", run_id] if launch.resume else ["--run-id", run_id]
    runs = [] if resolved.runs_dir == RUNS_DIR else ["--runs-dir", str(resolved.runs_dir)]
    if resolved.experiments_dir != EXPERIMENTS_DIR:
        train += ["--experiments-dir", str(resolved.experiments_dir)]
    say(
        job_file(
            options.checked_kind(),
            Job(
                run_id,
                (*train, *runs),
                ("runs", "stop", run_id, *runs),
                resolved.prepare_command,
                nodes,
                gpus,
                processes,
                _install_command(),
                _mounts(resolved),
            ),
        ).removesuffix("\n")
    )
    return 0


def _checked_processes(resolved: ResolvedLaunch, nodes: int, gpus: int) -> int:
    """Processes on each machine: one for each GPU, else as many as the settings say.

    Raises:
        UsageError: The settings do not fit the machines.
    """
    train = resolved.loaded.config.train
    device = train.runtime.device
    if gpus and device in ("cpu", "mps"):
        raise UsageError(
            f"train.runtime.device = '{device}' is not CUDA, but --gpus-per-node is {gpus}.",
            "Set it to auto or cuda, or give --gpus-per-node 0.",
        )
    if not gpus and device not in ("auto", "cpu"):
        raise UsageError(
            f"train.runtime.device = '{device}' needs a GPU, but --gpus-per-node is 0.",
            "Set it to auto or cpu, or give --gpus-per-node 1.",
        )
    processes = train.distributed.processes
    if gpus and processes not in (1, gpus):
        raise UsageError(
            f"train.distributed.processes = {processes}, but each of the {gpus} GPUs of "
            "--gpus-per-node has a process.",
            "Leave it out, or give --gpus-per-node 0 to train on the CPU.",
        )
    processes = gpus or processes
    check_shares(train.data, nodes * processes)
    return processes


def _install_command() -> str:
    """How a fresh machine gets this program: from the present folder, if it is the checkout."""
    checkout = Path(__file__).parents[3]
    if (checkout / "pyproject.toml").is_file() and checkout == Path.cwd():
        return "pip install -e ."
    return f"pip install transformer-playground=={version('transformer-playground')}"


def _mounts(resolved: ResolvedLaunch) -> tuple[tuple[str, str], ...]:
    """The texts of the experiment, which version control ignores and SkyPilot then leaves out."""
    raw = resolved.loaded.config.prepare.raw_dir
    here = Path.cwd()
    if not (raw.is_dir() and any(raw.iterdir()) and raw.is_relative_to(here)):
        return ()
    inside = raw.relative_to(here).as_posix()
    return ((f"~/sky_workdir/{inside}", f"./{inside}"),)
