"""Two training processes on this machine, connected by gloo, that run several cases."""

import contextlib
import itertools
import multiprocessing
import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from builders.training import Recorder
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import DataError, PlaygroundError, TrainingError
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.training import accumulation
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.run import TrainingRequest, start

SIZE = 2


class RankPool:
    """Processes that stay in one process group; each starts once, since that takes seconds."""

    def __init__(self) -> None:
        # Forks of a server that has imported everything start at once.
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(["transformer_playground.training.run", "peft"])
        port = _free_port()
        self._ends: list[Connection] = []
        self._processes = []
        for rank in range(SIZE):
            end, other = forks.Pipe()
            process = forks.Process(target=_serve, args=(other, rank, port), daemon=True)
            process.start()
            other.close()
            self._ends.append(end)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
        """The result of an importable function on each rank."""
        for end in self._ends:
            end.send(partial(function, *arguments, **options))
        results = [end.recv() for end in self._ends]
        for is_error, result in results:
            if is_error:
                raise AssertionError(result)
        return [result for _, result in results]

    def close(self) -> None:
        """End the processes."""
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join()


def train_here(
    request: TrainingRequest, runs_dir: Path, run_id: str, *, resumes: bool = False
) -> tuple[int, list[str]]:
    """Train or resume a run on this rank; its last step, and the events that its sinks got."""
    recorder = Recorder()
    resumed, new = (run_id, None) if resumes else (None, run_id)
    state = start(request, runs_dir, run_id=new, resume_from=resumed, sinks=[recorder]).state
    return state.step, [type(event).__name__ for event in recorder.events]


def stop_from_the_second(request: TrainingRequest, runs_dir: Path, run_id: str) -> int:
    """Train until rank 1 asks to stop, as by a signal; the step at which this rank ends."""
    control = TrainingControl()
    if not DistInfo.current().is_main:
        threading.Timer(0.2, control.stop).start()
    return start(request, runs_dir, run_id=run_id, control=control).state.step


def fail_on_the_second(request: TrainingRequest, runs_dir: Path, run_id: str) -> str:
    """Train with a loss of the second step that is not finite on rank 1; the error here."""
    calls = itertools.count()

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return summed_cross_entropy(logits, targets) * (torch.nan if next(calls) == 1 else 1)

    breaks = not DistInfo.current().is_main
    with pytest.MonkeyPatch.context() as patch:
        if breaks:
            patch.setattr(accumulation, "summed_cross_entropy", loss)
        with pytest.raises(TrainingError) as failure:
            start(request, runs_dir, run_id=run_id)
    return str(failure.value)


def refuse_on_the_second() -> str:
    """An action that fails on rank 1 alone; the error here."""
    ranks = DistInfo.current()

    def action() -> None:
        if not ranks.is_main:
            raise DataError("the dataset is missing.")

    with pytest.raises(PlaygroundError) as failure:
        ranks.together(action)
    return str(failure.value)


@contextlib.contextmanager
def two_ranks() -> Iterator[RankPool]:
    """A pool that is closed at the end."""
    pool = RankPool()
    try:
        yield pool
    finally:
        pool.close()


def _serve(end: Connection, rank: int, port: int) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(SIZE),
        "LOCAL_WORLD_SIZE": str(SIZE),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": _loopback(),
    }
    from transformer_playground.training.process_group import Place, ProcessGroup

    place = Place.of(os.environ)
    assert place is not None
    settings = {"train": {"runtime": {"device": "cpu", "threads": 1}}}
    with ProcessGroup(place).joined(ExperimentConfig.model_validate(settings)):
        while True:
            try:
                function = end.recv()
            except EOFError:
                return
            try:
                end.send((False, function()))
            except BaseException:  # noqa: BLE001 - reported to the test
                end.send((True, traceback.format_exc()))


def _loopback() -> str:
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
