"""The web application that LIT's process asks about models and texts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from transformer_playground.errors import PlaygroundError
from transformer_playground.lit.predictions import AskedModel
from transformer_playground.serving.access import Access
from transformer_playground.serving.bodies import parse
from transformer_playground.serving.errors import ApiError
from transformer_playground.serving.guard import guarded, json_response, read_json


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: str


class _Texts(_Body):
    texts: list[str] = Field(max_length=64)


class _Text(_Body):
    text: str


class _Head(_Text):
    layer: int
    head: int
    position: int


class Backend:
    """Answers LIT's process; one text is computed at a time.

    | path | body | answer |
    |---|---|---|
    | `session` | | cards of the models, and the datasets |
    | `predict` | model, texts | `predictions`, see `AskedModel.predict` |
    | `attention` | model, text, layer, head, position | see `AskedModel.attention` |
    | `salience` | model, text | see `AskedModel.salience` |
    | `ready` | | the page can be opened |

    Args:
        models: The models.
        datasets: Datasets as `dataset_cards` makes them.
        access: Who may ask.
        notify: Called with a sentence about an internal error.

    Attributes:
        is_ready: Set when LIT answers requests.
    """

    def __init__(
        self,
        models: Sequence[AskedModel],
        datasets: Sequence[Mapping[str, Any]],
        access: Access,
        notify: Callable[[str], object],
    ) -> None:
        self._models = {model.name: model for model in models}
        self._datasets = datasets
        # One thread: work goes on after its request was cancelled, and the next waits for it.
        self._worker = ThreadPoolExecutor(1)
        self.is_ready = asyncio.Event()
        self.app = guarded(access, notify)
        self.app.on_cleanup.append(self._end)
        self.app.add_routes(
            [
                web.post("/session", self._session),
                web.post("/predict", self._predict),
                web.post("/attention", self._attention),
                web.post("/salience", self._salience),
                web.post("/ready", self._ready),
            ]
        )

    async def _session(self, _request: web.Request) -> web.Response:
        cards = [model.card() for model in self._models.values()]
        return json_response({"models": cards, "datasets": self._datasets})

    async def _ready(self, _request: web.Request) -> web.Response:
        self.is_ready.set()
        return json_response({})

    async def _predict(self, request: web.Request) -> web.Response:
        body = parse(await read_json(request), _Texts)
        model = self._model(body)
        found = [await self._compute(model.predict, text) for text in body.texts]
        return json_response({"predictions": found})

    async def _attention(self, request: web.Request) -> web.Response:
        body = parse(await read_json(request), _Head)
        arguments = (body.text, body.layer, body.head, body.position)
        return json_response(await self._compute(self._model(body).attention, *arguments))

    async def _salience(self, request: web.Request) -> web.Response:
        body = parse(await read_json(request), _Text)
        return json_response(await self._compute(self._model(body).salience, body.text))

    def _model(self, body: _Body) -> AskedModel:
        if body.model not in self._models:
            raise ApiError(404, f"There is no model '{body.model[:100]}'.", param="model")
        return self._models[body.model]

    async def _compute(self, work: Callable[..., dict[str, Any]], *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)
        except PlaygroundError as error:
            raise ApiError(400, str(error)) from error

    async def _end(self, _app: web.Application) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)
