"""Web server of the console, for browsers of this machine only."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

from transformer_playground.errors import UsageError

HOST = "127.0.0.1"
# Textual's own page loads a font from a third-party server.
_PAGES = Path(__file__).with_name("pages")
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def check_port(port: int) -> None:
    """Check that the server can listen on a port.

    Raises:
        UsageError: The port is taken, or not allowed.
    """
    try:
        with socket.create_server((HOST, port)):
            return
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Port {port} of {HOST} cannot be used: {reason}.", "Choose another with --port."
        ) from error


def serve(command: str, port: int) -> None:
    """Serve a console, started with a shell command for each visitor, until Ctrl-C."""
    title = "Transformer Playground"
    _LocalServer(command, HOST, port, title=title, templates_path=_PAGES).serve()


class _LocalServer(Server):
    """A server that logs nothing and accepts only pages that it served itself."""

    def initialize_logging(self) -> None:
        """Log no requests."""

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the caller has printed the address."""

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Start a console, unless a page from elsewhere connects through the user's browser."""
        origin = urlsplit(request.headers.get("Origin", "")).hostname
        host = urlsplit(f"//{request.host}").hostname
        if origin not in _LOCAL or host not in _LOCAL:
            raise web.HTTPForbidden(text="This console is for pages of this machine only.")
        return await super().handle_websocket(request)
