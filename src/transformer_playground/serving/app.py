"""Web application with OpenAI's interface: routes, answers, streams and limits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from transformer_playground.generation.samples import SampledToken, SampleEnd
from transformer_playground.serving.access import Access
from transformer_playground.serving.answers import Echo, Interface, Writer, usage
from transformer_playground.serving.bodies import Body, ChatBody, CompletionBody, parse
from transformer_playground.serving.engine import Engine, QueueFull
from transformer_playground.serving.errors import ApiError
from transformer_playground.serving.guard import guarded, json_response, read_json
from transformer_playground.serving.jobs import (
    Delivery,
    Job,
    JobDone,
    JobEvent,
    JobFailed,
    PromptScores,
)
from transformer_playground.serving.served import ServedRun

_Queue = asyncio.Queue[tuple[Job, JobEvent]]


@dataclass
class _Choice:
    """What has arrived of one choice."""

    tokens: list[SampledToken] = field(default_factory=list)
    end: SampleEnd | None = None


class ApiServer:
    """The web application; made and used inside one event loop.

    Args:
        served: The run.
        access: Who may use it.
        notify: Called with a sentence about an internal error.
        max_waiting: Number of completions that may wait for a place.
        max_rows: Number of completions decoded together; None = what memory and speed allow.
    """

    def __init__(
        self,
        served: ServedRun,
        access: Access,
        notify: Callable[[str], object],
        *,
        max_waiting: int = 1024,
        max_rows: int | None = None,
    ) -> None:
        self._served = served
        self._loop = asyncio.get_running_loop()
        self._queues: dict[Job, _Queue] = {}
        self._in_flight = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_draining = False
        self.engine = Engine(
            served.loaded.model,
            served.loaded.tokenizer,
            lambda events: self._loop.call_soon_threadsafe(self._dispatch, events),
            max_waiting=max_waiting,
            max_rows=max_rows,
        )
        self.app = guarded(access, notify)
        self.app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{model}", self._model),
                web.post("/v1/completions", self._completions),
                web.post("/v1/chat/completions", self._chat),
            ]
        )

    async def drain(self) -> None:
        """Refuse new requests and wait until all accepted ones are answered."""
        self._is_draining = True
        await self._is_idle.wait()

    def abort(self) -> None:
        """End all open requests with an error."""
        for job, queue in self._queues.items():
            queue.put_nowait((job, JobFailed("The server was stopped")))

    def _dispatch(self, events: Delivery) -> None:
        for job, event in events:
            queue = self._queues.get(job)
            if queue is not None:
                queue.put_nowait((job, event))

    async def _health(self, _request: web.Request) -> web.Response:
        return json_response({"status": "draining" if self._is_draining else "ok"})

    async def _models(self, _request: web.Request) -> web.Response:
        return json_response({"object": "list", "data": [self._model_card()]})

    async def _model(self, request: web.Request) -> web.Response:
        self._require_model(request.match_info["model"])
        return json_response(self._model_card())

    def _model_card(self) -> dict[str, Any]:
        return {
            "id": self._served.name,
            "object": "model",
            "created": self._served.created,
            "owned_by": "transformer-playground",
            "max_model_len": self._served.loaded.model.block_size,
        }

    def _require_model(self, name: str | None) -> None:
        if name not in (None, self._served.name):
            raise ApiError(
                404,
                f"The model '{name[:100]}' does not exist; this server has '{self._served.name}'.",
                param="model",
                code="model_not_found",
            )

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = parse(await read_json(request), CompletionBody)
        self._require_model(body.model)
        jobs = self._served.completion_jobs(body)
        echoes = [self._echo(job) if body.echo else None for job in jobs]
        writer = self._writer("completions", body, has_logprobs=body.logprobs is not None)
        return await self._respond(request, body, jobs, echoes, writer)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = parse(await read_json(request), ChatBody)
        self._require_model(body.model)
        jobs = self._served.chat_jobs(body)
        writer = self._writer("chat", body, has_logprobs=bool(body.logprobs))
        return await self._respond(request, body, jobs, [None] * len(jobs), writer)

    def _echo(self, job: Job) -> Echo:
        return Echo(self._served.loaded.tokenizer.decode(job.prompt), job.prompt, None)

    def _writer(self, interface: Interface, body: Body, *, has_logprobs: bool) -> Writer:
        return Writer(
            interface,
            self._served.name,
            self._served.loaded.tokenizer,
            is_stream=bool(body.stream),
            has_logprobs=has_logprobs,
        )

    async def _respond(
        self,
        request: web.Request,
        body: Body,
        jobs: Sequence[Job],
        echoes: Sequence[Echo | None],
        writer: Writer,
    ) -> web.StreamResponse:
        async with self._submitted(jobs) as queue:
            if body.stream:
                return await self._stream(request, body, jobs, list(echoes), writer, queue)
            return await self._whole(jobs, list(echoes), writer, queue)

    @contextlib.asynccontextmanager
    async def _submitted(self, jobs: Sequence[Job]) -> AsyncIterator[_Queue]:
        """The queue of the events of jobs; when it is left, unfinished jobs are cancelled."""
        if self._is_draining:
            raise ApiError(503, "The server is shutting down.", code="shutting_down")
        queue: _Queue = asyncio.Queue()
        self._queues |= dict.fromkeys(jobs, queue)
        self._in_flight += 1
        self._is_idle.clear()
        try:
            self.engine.submit(jobs)
            yield queue
        except QueueFull:
            raise ApiError(
                503, "Too many requests are waiting; try again later.", code="overloaded"
            ) from None
        finally:
            self.engine.cancel(jobs)
            for job in jobs:
                self._queues.pop(job, None)
            self._in_flight -= 1
            if not self._in_flight:
                self._is_idle.set()

    async def _whole(
        self,
        jobs: Sequence[Job],
        echoes: list[Echo | None],
        writer: Writer,
        queue: _Queue,
    ) -> web.Response:
        first = _first_choices(jobs)
        choices = [_Choice() for job in jobs for _ in range(job.n)]
        waiting = set(jobs)
        while waiting:
            job, event = await queue.get()
            match event:
                case SampledToken():
                    choices[first[job] + event.sample].tokens.append(event)
                case SampleEnd():
                    choices[first[job] + event.sample].end = event
                case PromptScores():
                    _add_scores(jobs, echoes, job, event)
                case JobDone():
                    waiting.discard(job)
                case JobFailed():
                    raise ApiError(500, f"{event.message}.", code="generation_failed")
        documents = [
            writer.choice(first[job] + index, choice.tokens, choice.end, echo=echo)
            for job, echo in zip(jobs, echoes, strict=True)
            for index in range(job.n)
            for choice in (choices[first[job] + index],)
        ]
        drawn = sum(len(choice.tokens) for choice in choices)
        return json_response(writer.document(documents, _usage(jobs, drawn)))

    async def _stream(
        self,
        request: web.Request,
        body: Body,
        jobs: Sequence[Job],
        echoes: list[Echo | None],
        writer: Writer,
        queue: _Queue,
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        parts = _StreamParts(jobs, echoes, writer, is_chat=isinstance(body, ChatBody))
        waiting = set(jobs)
        while waiting:
            events = [await queue.get()]
            while not queue.empty():
                events.append(queue.get_nowait())
            lines = []
            for job, event in events:
                if isinstance(event, JobFailed):
                    error = ApiError(500, f"{event.message}.", code="generation_failed")
                    await response.write(_line(error.document()))
                    return response
                if isinstance(event, JobDone):
                    waiting.discard(job)
                lines += [_line(document) for document in parts.documents(job, event)]
            if lines:
                await response.write(b"".join(lines))
        if body.sends_usage:
            await response.write(_line(writer.document([], _usage(jobs, parts.drawn))))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


class _StreamParts:
    """Turns the events of a request into chunks."""

    def __init__(
        self, jobs: Sequence[Job], echoes: list[Echo | None], writer: Writer, *, is_chat: bool
    ) -> None:
        self._jobs, self._echoes, self._writer, self._is_chat = jobs, echoes, writer, is_chat
        self._first = _first_choices(jobs)
        self._lengths: dict[int, int] = {}
        self.drawn = 0

    def documents(self, job: Job, event: JobEvent) -> list[dict[str, Any]]:
        """The chunks of one event."""
        if isinstance(event, PromptScores):
            _add_scores(self._jobs, self._echoes, job, event)
        if not isinstance(event, SampledToken | SampleEnd):
            return []
        number = self._first[job] + event.sample
        choices = []
        echo = None
        if number not in self._lengths:
            echo = self._echoes[self._jobs.index(job)]
            if self._is_chat:
                choices.append(self._writer.opening(number))
        offset = self._lengths.get(number, 0)
        token = [event] if isinstance(event, SampledToken) else []
        end = event if isinstance(event, SampleEnd) else None
        choices.append(self._writer.choice(number, token, end, offset=offset, echo=echo))
        self._lengths[number] = offset + len(echo.text if echo else "") + len(event.text)
        self.drawn += len(token)
        return [self._writer.document([choice]) for choice in choices]


def _first_choices(jobs: Sequence[Job]) -> dict[Job, int]:
    """Number of the first choice of each job."""
    first, number = {}, 0
    for job in jobs:
        first[job] = number
        number += job.n
    return first


def _add_scores(
    jobs: Sequence[Job], echoes: list[Echo | None], job: Job, scores: PromptScores
) -> None:
    index = jobs.index(job)
    echo = echoes[index]
    if echo is not None:
        echoes[index] = echo._replace(scores=scores)


def _usage(jobs: Sequence[Job], drawn: int) -> dict[str, int]:
    return usage(sum(len(job.prompt) for job in jobs), drawn)


def _line(document: Any) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
