"""The console in a browser of this machine."""

import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

from transformer_playground.cli.output import note, say
from transformer_playground.errors import UsageError

HOST = "127.0.0.1"
# The toolkit's own page asks another company's server for a font.
_PAGES = Path(__file__).with_name("pages")
_LOCAL = {"127.0.0.1", "localhost", "::1"}


def serve(arguments: Sequence[str], port: int) -> int:
    """Serve `tp-tui ARGUMENTS` to browsers of this machine until Ctrl-C.

    Raises:
        UsageError: The port is taken, or not allowed.
    """
    _check_port(port)
    command = shlex.join([sys.executable, "-m", "transformer_playground.tui", *arguments])
    say(f"http://{HOST}:{port}")
    note(f"From another machine: ssh -L {port}:{HOST}:{port} THIS-MACHINE, then open that address.")
    note("Everyone who can open it can train, sample and write files as you. Ctrl-C ends it.")
    title = "Transformer Playground"
    _LocalServer(command, HOST, port, title=title, templates_path=_PAGES).serve()
    return 0


class _LocalServer(Server):
    """Quiet, and only for pages that it served itself."""

    def initialize_logging(self) -> None:
        """Say nothing of each request."""

    async def on_startup(self, app: web.Application) -> None:
        """The address has been said already."""

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Open a console, unless a page from elsewhere asks through the user's browser."""
        asking = urlsplit(request.headers.get("Origin", "")).hostname
        asked = urlsplit(f"//{request.host}").hostname
        if asking not in _LOCAL or asked not in _LOCAL:
            raise web.HTTPForbidden(text="This console is for pages of this machine only.")
        return await super().handle_websocket(request)


def _check_port(port: int) -> None:
    try:
        with socket.create_server((HOST, port)):
            return
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Port {port} of {HOST} cannot be used: {reason}.", "Choose another with --port."
        ) from error
