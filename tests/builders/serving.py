"""A real server of a tiny run in a thread, and an engine that is read synchronously."""

import asyncio
import contextlib
import queue
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from builders.models import lively_model
from transformer_playground.checkpoints.format import weights_payload
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.generation.samples import Sample, SampledToken, SampleEnd
from transformer_playground.model.base import LanguageModel
from transformer_playground.runs.folder import RunFolder, create_run
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.serving.access import Access
from transformer_playground.serving.app import ApiServer
from transformer_playground.serving.engine import Engine
from transformer_playground.serving.jobs import Delivery, Job, JobDone, JobEvent, JobFailed
from transformer_playground.serving.served import ServedRun
from transformer_playground.serving.server import Ended, open_socket, serve_until

ALPHABET = "\n abcdefghijklmnopqrstuvwxyzäß🙂"


def write_run(
    runs_dir: Path, run_id: str = "tiny-1", tokenizer: Tokenizer | None = None, **model: Any
) -> RunFolder:
    """A run with a lively random model, of characters and a context of 32 tokens unless changed."""
    tokenizer = tokenizer or CharTokenizer(sorted(ALPHABET))
    gpt = lively_model(tokenizer.vocab_size, block_size=model.pop("block_size", 32), **model)
    config = ExperimentConfig().model_dump(mode="json") | {"model": gpt.config.model_dump()}
    run = create_run(runs_dir, run_id, {"experiment": "tiny", "config": config, "parameters": 1})
    tokenizer.save(run.tokenizer)
    payload = weights_payload(gpt.state_dict(), gpt.args(), step=7) | {"config": config}
    store = CheckpointStore(run.checkpoints, keep_last=1, keep_best=1)
    store.save(payload, step=7, last=True, best_metric=None)
    return run


@dataclass
class RunningServer:
    """A server in a thread.

    Attributes:
        port: Its port on 127.0.0.1.
        notices: Internal errors that it reported.
        ended: How it ended, once it has.
    """

    port: int
    server: ApiServer
    loop: asyncio.AbstractEventLoop
    signals: "asyncio.Queue[signal.Signals]"
    thread: threading.Thread
    notices: list[str]
    ended: list[Ended] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Base URL for OpenAI's client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.loop.call_soon_threadsafe(self.signals.put_nowait, signal.SIGINT)

    def join(self) -> Ended:
        """Wait for its end."""
        self.thread.join(60)
        assert self.ended
        return self.ended[0]


@contextlib.contextmanager
def serving(run: RunFolder, *, token: str = "", **options: Any) -> Iterator[RunningServer]:
    """Serve a run on a free port; on exit the server has ended in order."""
    served = ServedRun.load(run, SampleRequest())
    notices: list[str] = []
    started: queue.Queue[RunningServer] = queue.Queue()

    async def main(listening: Any) -> None:
        server = ApiServer(served, Access("127.0.0.1", token), notices.append, **options)
        signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        running = RunningServer(listening.getsockname()[1], server, loop, signals, thread, notices)
        ended = await serve_until(signals, server, listening, lambda: started.put(running))
        running.ended.append(ended)

    def work() -> None:
        with open_socket("127.0.0.1", 0) as listening:
            asyncio.run(main(listening))

    thread = threading.Thread(target=work, name="server")
    thread.start()
    running = started.get(timeout=60)
    try:
        yield running
    finally:
        if thread.is_alive():
            running.interrupt()
        thread.join(60)


class ReadEngine:
    """An engine whose events are collected by job; `with` starts and ends it."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, **options: Any) -> None:
        self._events: queue.Queue[Delivery] = queue.Queue()
        self.engine = Engine(model, tokenizer, self._events.put, **options)
        self.by_job: dict[Job, list[JobEvent]] = {}

    def __enter__(self) -> "ReadEngine":
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    def read(self) -> None:
        """Wait for the events of a step."""
        for job, event in self._events.get(timeout=60):
            self.by_job.setdefault(job, []).append(event)

    def wait_for(self, *jobs: Job) -> None:
        """Wait until these jobs have ended."""
        while not all(self._has_ended(job) for job in jobs):
            self.read()

    def _has_ended(self, job: Job) -> bool:
        return any(isinstance(event, JobDone | JobFailed) for event in self.by_job.get(job, ()))

    def samples(self, job: Job) -> list[Sample]:
        """The completions of a job."""
        samples = [Sample() for _ in range(job.n)]
        for event in self.by_job[job]:
            if isinstance(event, SampledToken | SampleEnd):
                samples[event.sample].add(event)
        return samples


def break_weights(model: LanguageModel) -> None:
    """Make every output NaN, as diverged weights do."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
