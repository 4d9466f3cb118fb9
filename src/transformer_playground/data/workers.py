"""Workers: a function applied to a stream by threads or processes, in the order of the stream."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Self, TypeVar

from transformer_playground.errors import DataError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Items that wait for a worker, so that none is idle while results are written.
_WAITING = 1


class Workers:
    """Threads or processes: `with Workers(...) as workers: workers.map(function, items)`.

    Results come in the order of the items, so they do not depend on the number of workers. Only a
    few items and results are in memory at any time. One worker is the calling thread itself.

    Args:
        count: How many.
        are_processes: Whether they are processes, which run Python code side by side. Functions,
            items and results are then pickled.
    """

    def __init__(self, count: int, *, are_processes: bool = False) -> None:
        self.count, self.are_processes = count, are_processes and count > 1
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        if self.are_processes:
            # Forking a process with threads is not safe.
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.count, context, _begin)
        elif self.count > 1:
            self._executor = ThreadPoolExecutor(self.count, thread_name_prefix="worker")
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Results of a function for each item, in order.

        Raises:
            DataError: A process was killed.
            Exception: Whatever the function raises.
        """
        if self._executor is None:
            yield from map(function, items)
            return
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in items:
                waiting.append(self._executor.submit(function, item))
                if len(waiting) >= self.count + _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "A process that prepares the text was killed; memory may be short.",
                "Lower prepare.processes, and prepare again.",
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin() -> None:
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
