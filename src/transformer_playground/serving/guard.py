"""What every web application here does first: check who asks, and answer errors as JSON."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from transformer_playground.serving.access import Access
from transformer_playground.serving.errors import ApiError

MAX_BODY_BYTES = 1 << 21
_BODY_SECONDS = 30.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(access: Access, notify: Callable[[str], object]) -> web.Application:
    """An application without routes that checks each request and answers each error.

    Args:
        access: Who may use it.
        notify: Called with a sentence about an internal error.
    """

    @web.middleware
    async def answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return _error(error)
        except web.HTTPException as error:
            return _error(_api_error(error, request))
        except (ConnectionResetError, asyncio.CancelledError):
            # The client has gone.
            raise
        except Exception as error:  # noqa: BLE001 - a client gets an answer, whatever happened
            notify(f"internal error: {type(error).__name__}: {error}")
            return _error(ApiError(500, "Internal error of the server.", code="internal_error"))

    @web.middleware
    async def check(request: web.Request, handler: _Handler) -> web.StreamResponse:
        access.check(
            host=request.host,
            origin=request.headers.get("Origin"),
            authorization=request.headers.get("Authorization"),
        )
        return await handler(request)

    return web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[answer_errors, check])


async def read_json(request: web.Request) -> bytes:
    """The body of a request that says it is JSON.

    Raises:
        ApiError: It does not say so, or did not arrive in time.
    """
    if request.content_type != "application/json":
        # Web pages can send other types to other sites without being asked.
        raise ApiError(415, "Send JSON with Content-Type: application/json.")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise ApiError(408, "The body did not arrive in time.") from None


def json_response(document: Any, status: int = 200) -> web.Response:
    """A document as an answer."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _error(error: ApiError) -> web.Response:
    response = json_response(error.document(), error.status)
    if error.status == 503:
        response.headers["Retry-After"] = "1"
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _api_error(error: web.HTTPException, request: web.Request) -> ApiError:
    if error.status == 413:
        return ApiError(413, f"The body is larger than {MAX_BODY_BYTES >> 20} MiB.")
    if error.status in (404, 405):
        return ApiError(error.status, f"There is no {request.method} {request.path[:200]}.")
    return ApiError(error.status, f"{error.reason}.")
