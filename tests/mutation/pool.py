"""Forked children: each runs one function and hands back one JSON value, or is killed."""

import contextlib
import json
import math
import os
import resource
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

# A child whose own or whose children's work waits for the processor is not hanging: what counts is
# the processor time, and only a child that waits for nothing is ended by the clock.
_WAITING = 10.0
# A mutant may ask for absurd amounts of memory: it gets a MemoryError, and the machine stays up.
_ADDRESS_SPACE = 16 << 30


@dataclass(frozen=True)
class Task:
    """Something to run in a child.

    Attributes:
        name: Handed back with the answer.
        run: Returns a JSON value.
        cpu_seconds: Processor time after which the child and its own children are killed.
        wall_seconds: Time after which they are killed whatever they do; None: a multiple of
            `cpu_seconds`.
    """

    name: Any
    run: Callable[[], Any]
    cpu_seconds: float
    wall_seconds: float | None = None


@dataclass(frozen=True)
class Answer:
    """What became of a task.

    Attributes:
        name: Name of the task.
        value: What it returned; None if it did not return.
        timed_out: It was killed for taking too long.
        seconds: Time it took, by the clock.
    """

    name: Any
    value: Any
    timed_out: bool
    seconds: float


@dataclass
class _Child:
    task: Task
    pid: int
    pipe: int
    folder: str
    started: float = field(default_factory=time.monotonic)
    received: bytes = b""

    @property
    def deadline(self) -> float:
        wall = self.task.wall_seconds
        return self.started + (_WAITING * self.task.cpu_seconds if wall is None else wall)


def run_tasks(tasks: Iterable[Task], workers: int) -> Generator[Answer]:
    """Run tasks in up to `workers` children at a time; answers come as they are ready.

    However the caller ends, no child is left behind.
    """
    waiting = iter(tasks)
    running: dict[int, _Child] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                while len(running) < workers and (task := next(waiting, None)) is not None:
                    child = _start(task)
                    running[child.pipe] = child
                    selector.register(child.pipe, selectors.EVENT_READ)
                if not running:
                    return
                rest = min(child.deadline for child in running.values()) - time.monotonic()
                ready = [running[key.fd] for key, _ in selector.select(max(rest, 0))]
                ended = [child for child in ready if _read(child)]
                now = time.monotonic()
                ended += [child for child in running.values() if now > child.deadline]
                for child in {child.pipe: child for child in ended}.values():
                    selector.unregister(child.pipe)
                    del running[child.pipe]
                    yield _finish(child)
        finally:
            for child in running.values():
                _finish(child)


def _start(task: Task) -> _Child:
    ours, theirs = os.pipe()
    folder = tempfile.mkdtemp(prefix="mutant-")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _be_child(task, theirs, folder)
    os.close(theirs)
    return _Child(task, pid, ours, folder)


def _be_child(task: Task, pipe: int, folder: str) -> None:
    status = 1
    with contextlib.suppress(BaseException):
        # A group of its own, so that its children can be killed with it. Not a session of its own:
        # Linux would give that a full share of the processor, however low the priority is.
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = math.ceil(task.cpu_seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
        # Whatever it writes goes with it; pytest and tempfile read these when they are first used.
        os.environ.update(TMPDIR=folder, PYTEST_DEBUG_TEMPROOT=folder)
        tempfile.tempdir = None
        answer = json.dumps(task.run()).encode()
        while answer:
            answer = answer[os.write(pipe, answer) :]
        status = 0
    # No handlers of the parent, no threads to wait for.
    os._exit(status)


def _read(child: _Child) -> bool:
    """Read what a child has written; whether that was the last."""
    chunk = os.read(child.pipe, 1 << 16)
    child.received += chunk
    return not chunk


def _finish(child: _Child) -> Answer:
    late = time.monotonic() > child.deadline
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    # The group may not exist yet; the child itself always does until it is waited for.
    os.kill(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    spent = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
    os.close(child.pipe)
    shutil.rmtree(child.folder, ignore_errors=True)
    value = None
    with contextlib.suppress(ValueError):
        value = json.loads(child.received)
    seconds = time.monotonic() - child.started
    return Answer(child.task.name, value, (late or spent) and value is None, seconds)
