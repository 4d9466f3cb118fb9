"""Engine: one thread that decodes all jobs together; completions join and leave between steps."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.generation.generate import batches
from transformer_playground.generation.sampler import GREEDY_BELOW, filter_tokens
from transformer_playground.generation.samples import Alternative, SampleEnd
from transformer_playground.model.base import LanguageModel
from transformer_playground.serving.completion import Completion
from transformer_playground.serving.decoders import build_decoder
from transformer_playground.serving.jobs import (
    Delivery,
    Job,
    JobDone,
    JobEvent,
    JobFailed,
    PromptScores,
)

# Prompt tokens read between two steps, so that new jobs do not stop running ones for long.
_PROMPT_BUDGET = 512
_NO_NUMBER = "the model's output is not a number: its weights diverged in training"


class QueueFull(Exception):  # noqa: N818 - a state, not a fault
    """As many completions wait as may."""


class Engine:
    """Decodes jobs with continuous batching; all methods may be called from any thread.

    Args:
        model: The model; used in evaluation mode and only by the engine's thread.
        tokenizer: Its tokenizer; ids beyond its vocabulary are never drawn.
        deliver: Called by the engine's thread with the events of each step.
        max_waiting: Number of completions that may wait for a place.
        max_rows: Number of completions decoded together; None = what memory and speed allow.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        deliver: Callable[[Delivery], object],
        *,
        max_waiting: int = 1024,
        max_rows: int | None = None,
    ) -> None:
        model = model.eval().for_decoding()
        self._model, self._tokenizer, self._deliver = model, tokenizer, deliver
        self._vocab = min(tokenizer.vocab_size, model.vocab_size)
        largest = next(batches(model, 1 << 12, model.block_size))
        self.max_rows = min(max_rows or len(largest), len(largest))
        self._max_waiting = max_waiting
        self._decoder = build_decoder(model)
        self._changed = threading.Condition()
        self._waiting: deque[Completion] = deque()
        self._cancelled: set[Job] = set()
        self._open: dict[Job, int] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs: all of them or none.

        Raises:
            QueueFull: Too many completions wait.
        """
        added = [Completion(job, index, self._tokenizer) for job in jobs for index in range(job.n)]
        with self._changed:
            if self._waiting and len(self._waiting) + len(added) > self._max_waiting:
                raise QueueFull
            self._waiting += added
            self._open |= {job: job.n for job in jobs}
            self._changed.notify()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """End jobs without further events; their places are free from the next step on."""
        with self._changed:
            self._cancelled |= {job for job in jobs if job in self._open}
            self._changed.notify()

    @property
    def open_jobs(self) -> int:
        """Number of jobs that wait or run."""
        return len(self._open)

    def close(self) -> None:
        """Stop after the current step and wait for the thread; open jobs get no further events."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._is_closing or self._waiting or self._cancelled or self._decoder.rows
                    )
                )
                if self._is_closing:
                    return
                self._drop_cancelled()
            events: list[tuple[Job, JobEvent]] = []
            try:
                self._step(events)
            # Whatever goes wrong in one step must neither hang clients nor end the server.
            except Exception as error:  # noqa: BLE001
                self._fail_all(events, error)
            self._deliver(events)

    def _drop_cancelled(self) -> None:
        if not self._cancelled:
            return
        self._waiting = deque(each for each in self._waiting if each.job not in self._cancelled)
        for row in self._running():
            if row.job in self._cancelled:
                self._decoder.remove(row)
        for job in self._cancelled:
            self._open.pop(job, None)
        self._cancelled = set()

    def _running(self) -> list[Completion]:
        return [row for row in self._decoder.rows if isinstance(row, Completion)]

    @torch.inference_mode()
    def _step(self, events: list[tuple[Job, JobEvent]]) -> None:
        """One token for each running completion, after new ones have joined."""
        parts: list[Tensor] = []
        running = self._running()
        if running:
            tokens = torch.tensor([row.last_token for row in running], device=self._model.device)
            parts.append(self._decoder.step(tokens))
        self._admit(parts, events)
        running = self._running()
        if not running:
            return
        logprobs = torch.cat(parts)[:, : self._vocab].log_softmax(dim=-1)
        # One NaN logit makes its whole row NaN, from which nothing can be drawn.
        broken = logprobs[:, 0].isnan()
        logprobs[broken] = 0.0
        drawn = _draw(logprobs, running)
        own = logprobs.gather(1, drawn.unsqueeze(1)).squeeze(1).tolist()
        is_nan = broken.tolist()
        others = _most_likely(logprobs, [row.job.alternatives for row in running])
        for index, (row, token) in enumerate(zip(running, drawn.tolist(), strict=True)):
            if is_nan[index]:
                events.append((row.job, JobFailed(_NO_NUMBER)))
                self._finish(row, events, is_failed=True)
                continue
            is_ended = False
            for event in row.push(token, own[index], others[index]):
                events.append((row.job, event))
                is_ended = isinstance(event, SampleEnd)
            if is_ended:
                self._finish(row, events)

    def _admit(self, parts: list[Tensor], events: list[tuple[Job, JobEvent]]) -> None:
        """Let waiting completions join while there is room, and append their logits to `parts`."""
        budget = _PROMPT_BUDGET
        while budget > 0:
            with self._changed:
                joining = self._next_joining()
            if not joining:
                return
            job = joining[0].job
            budget -= len(job.prompt)
            if job.scores_prompt and joining[0].index == 0:
                events.append((job, self._score(job)))
                budget -= len(job.prompt)
            if job.settings.max_new_tokens == 0:
                for row in joining:
                    events += [(job, event) for event in row.end("length")]
                    self._count_ended(job, events)
                continue
            added = self._decoder.add(
                joining, job.prompt, max_new_tokens=job.settings.max_new_tokens
            )
            parts.append(added)

    def _next_joining(self) -> list[Completion]:
        """Completions of the first waiting job that fit, removed from the queue."""
        joining: list[Completion] = []
        room = self.max_rows - len(self._decoder.rows)
        while self._waiting and len(joining) < room:
            if joining and self._waiting[0].job is not joining[0].job:
                break
            joining.append(self._waiting.popleft())
        return joining

    def _score(self, job: Job) -> PromptScores:
        tokens = torch.tensor([job.prompt], device=self._model.device)
        logprobs = self._model(tokens)[0, :-1, : self._vocab].float().log_softmax(dim=-1)
        own = logprobs.gather(1, tokens[0, 1:].unsqueeze(1)).squeeze(1).tolist()
        others = _most_likely(logprobs, [job.alternatives] * len(own))
        return PromptScores((None, *own), (None, *others))

    def _finish(
        self, row: Completion, events: list[tuple[Job, JobEvent]], *, is_failed: bool = False
    ) -> None:
        self._decoder.remove(row)
        if is_failed:
            with self._changed:
                self._cancelled.add(row.job)
        else:
            self._count_ended(row.job, events)

    def _count_ended(self, job: Job, events: list[tuple[Job, JobEvent]]) -> None:
        with self._changed:
            left = self._open.get(job, 0) - 1
            if left > 0:
                self._open[job] = left
                return
            if self._open.pop(job, None) is not None:
                events.append((job, JobDone()))

    def _fail_all(self, events: list[tuple[Job, JobEvent]], error: Exception) -> None:
        reason = f"decoding failed: {type(error).__name__}: {' '.join(str(error).split())}"
        with self._changed:
            failed = {row.job for row in self._running()}
            waiting = {row.job for row in self._waiting}
            # Those taken from the queue by the failed step are open, too.
            failed |= {job for job in self._open if job not in waiting}
            self._waiting = deque(row for row in self._waiting if row.job not in failed)
            for job in failed:
                self._open.pop(job, None)
            self._decoder = build_decoder(self._model)
        events += [(job, JobFailed(reason)) for job in failed]


def _draw(logprobs: Tensor, rows: Sequence[Completion]) -> Tensor:
    """One token for each row, int64 (rows,); rows of equal settings are filtered together."""
    groups: dict[tuple[float, int, float], list[int]] = {}
    for index, row in enumerate(rows):
        settings = row.job.settings
        key = (settings.temperature, settings.top_k, settings.top_p)
        groups.setdefault(key, []).append(index)
    drawn = logprobs.argmax(dim=-1)
    for (temperature, top_k, top_p), indices in groups.items():
        if temperature < GREEDY_BELOW:
            continue
        uniform = torch.cat([rows[index].numbers.next() for index in indices])
        picked = torch.tensor(indices, device=logprobs.device)
        candidates = filter_tokens(
            logprobs if len(indices) == len(rows) else logprobs[picked],
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        drawn[picked] = candidates.draw(uniform.to(logprobs.device))
    return drawn


def _most_likely(logprobs: Tensor, counts: Sequence[int]) -> list[tuple[Alternative, ...]]:
    """The most likely tokens of each row, as many as its count."""
    largest = min(max(counts, default=0), logprobs.shape[-1])
    if not largest:
        return [()] * len(counts)
    top = logprobs.topk(largest, dim=-1)
    return [
        tuple(map(Alternative, ids[:count], values[:count]))
        for ids, values, count in zip(
            top.indices.tolist(), top.values.tolist(), counts, strict=True
        )
    ]
