"""Several processes of one run on this machine, started and watched by torch's elastic agent."""

import json
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformer_playground.data.workers import core_count
from transformer_playground.errors import TrainingError
from transformer_playground.runs.folder import new_run_id
from transformer_playground.training.launch import Launch, PrepareWhen, ResolvedLaunch
from transformer_playground.training.process_group import OWN_LAUNCH
from transformer_playground.training.shares import check_shares

# For a checkpoint of a large model to be saved on a slow disk.
_STOP_SECONDS = 300
_ENTRY_POINT = "transformer_playground.cli.rank"


@dataclass(frozen=True)
class RankCommand:
    """What each process is asked to do: a launch, the folders, and how to print."""

    launch: Launch
    experiments_dir: Path
    runs_dir: Path
    json_output: bool = False

    @property
    def run_id(self) -> str:
        """Id of the new or resumed run; empty if it is chosen when training begins."""
        return self.launch.resume or self.launch.run_id or ""

    def text(self) -> str:
        """The command as one argument."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def parse(cls, text: str) -> "RankCommand":
        """The command of a `text`."""
        values: dict[str, Any] = json.loads(text)
        launch = values["launch"]
        launch["overrides"] = tuple(launch["overrides"])
        launch["branch"] = tuple(launch["branch"]) if launch["branch"] else None
        launch["config"] = Path(launch["config"]) if launch["config"] else None
        folders = {name: Path(values[name]) for name in ("experiments_dir", "runs_dir")}
        return cls(Launch(**launch), **folders, json_output=values["json_output"])


def rank_command(resolved: ResolvedLaunch, *, json_output: bool) -> RankCommand:
    """The command of the processes of a launch whose dataset is prepared; it has a run id.

    Raises:
        ConfigError: There are more processes than sequences in a step.
    """
    launch, train = resolved.launch, resolved.loaded.config.train
    check_shares(train.data, train.distributed.processes)
    run_id = launch.run_id or new_run_id(resolved.experiment.name)
    prepare: PrepareWhen = "if needed" if launch.prepare == "always" else launch.prepare
    launch = replace(launch, run_id=None if launch.resume else run_id, prepare=prepare)
    return RankCommand(launch, resolved.experiments_dir, resolved.runs_dir, json_output)


def run_processes(command: RankCommand, processes: int, *, threads: int, hint: str) -> int:
    """Run a command in several processes until all have ended.

    A signal is passed on to them, so that they save a checkpoint; when one of them is killed, the
    others are ended.

    Args:
        command: What each of them does.
        processes: Their number.
        threads: CPU threads of each; 0 = an equal share of the cores.
        hint: What to do about an interrupted run.

    Returns:
        The exit code of the process that failed first; 128 plus the number of a signal to this
        one.

    Raises:
        TrainingError: A process was killed.
    """
    # torch logs every signal and every exit code.
    logging.disable(logging.CRITICAL)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.update(_environment(os.environ, threads or core_count() // processes))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=OWN_LAUNCH + uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        shutdown_timeout=_STOP_SECONDS,
    )
    try:
        elastic_launch(config, sys.executable)("-m", _ENTRY_POINT, command.text())
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        if failure.exitcode > 0:
            # It has said why.
            return int(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        raise TrainingError(
            f"rank {rank} (process {failure.pid}) was killed by {name}, so the run is interrupted.",
            hint,
        ) from None
    return 0


def _environment(given: Mapping[str, str], threads: int) -> dict[str, str]:
    """Variables of the processes that are not set yet."""
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    wanted = {"OMP_NUM_THREADS": str(max(1, threads))}
    if loopback:
        # The name of this machine may stand for an address of another network.
        wanted["GLOO_SOCKET_IFNAME"] = loopback[0]
    return {name: value for name, value in wanted.items() if name not in given}
