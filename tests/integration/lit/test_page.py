"""LIT's real page in Chromium without a network: its panels show what the run says.

LIT_ENVIRONMENT names an environment with LIT, such as the one that `tp lit` makes.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from builders.lit import asked_model
from transformer_playground.evaluation.pairs import Pair
from transformer_playground.lit.icons import icon_style
from transformer_playground.lit.session import LitSession, show
from transformer_playground.lit.texts import pairs_card
from transformer_playground.serving.server import open_socket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ENVIRONMENT = os.environ.get("LIT_ENVIRONMENT", "")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
# Every other name resolves to nothing, so that a request would fail.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# All text of the page, also inside its components.
TEXT = """(() => {
  const found = [];
  const walk = node => {
    if (node.nodeType === 3 && !['STYLE', 'SCRIPT'].includes(node.parentNode.nodeName))
      found.push(node.textContent.trim());
    if (node.shadowRoot) walk(node.shadowRoot);
    node.childNodes.forEach(walk);
  };
  walk(document.body);
  return found.filter(Boolean).join(' ');
})()"""
PANELS = ("Data Table", "Salience Maps", "Surprisal", "Attention", "Gradient norm", "nats, not")


class Browser:
    """A page of Chromium, spoken to by the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.asked: list[str] = []

    async def call(self, method: str, **params: Any) -> Any:
        """Result of a command; URLs that the page asks meanwhile are collected."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json()
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            if message.get("id") == self._number:
                return message["result"]


@contextlib.asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Browser]:
    words = (*FLAGS, OFFLINE, f"--user-data-dir={profile}", "--remote-debugging-port=0")
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM), *words, "about:blank", stdout=nowhere, stderr=nowhere
    )
    try:
        port_file = profile / "DevToolsActivePort"
        while not (port_file.exists() and port_file.read_text().count("\n")):
            await asyncio.sleep(0.05)
        port = port_file.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json") as answer:
                (page,) = (each for each in await answer.json() if each["type"] == "page")
            url = page["webSocketDebuggerUrl"]
            async with client.ws_connect(url, max_msg_size=0) as socket:
                yield Browser(socket)
    finally:
        process.terminate()
        await process.wait()


async def opened(port: int, profile: Path) -> tuple[str, list[str]]:
    """The page's text once all panels are filled, and every URL it asked for."""
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{base}/get_dataset?dataset_name=pairs") as answer:
            first = (await answer.json(content_type=None))[0]["id"]
        async with client.get(base, headers={"Host": "example.com"}) as answer:
            assert answer.status == 403
    query = {"layout": "default", "models": "one", "dataset": "pairs", "selection": first}
    async with browser(profile) as page:
        await page.call("Network.enable")
        await page.call("Page.navigate", url=f"{base}/?{urllib.parse.urlencode(query)}")
        text = ""
        while not all(panel in text for panel in PANELS):
            await asyncio.sleep(0.2)
            found = await page.call("Runtime.evaluate", expression=TEXT, returnByValue=True)
            text = found["result"]["value"]
        return text, page.asked


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.skipif(not ENVIRONMENT, reason="LIT_ENVIRONMENT names no environment with LIT")
def test_the_page_shows_panels_and_asks_no_other_site(tmp_path: Path) -> None:
    cards = [pairs_card("pairs", [Pair("order", "ab cd efg", "cd ab efg")])]
    python = Path(ENVIRONMENT) / "bin" / "python"
    session = LitSession(python, [asked_model()], cards, icon_style())

    async def main() -> tuple[str, list[str]]:
        with open_socket("127.0.0.1", 0) as listening:
            is_ready = asyncio.Event()
            shown = asyncio.create_task(
                show(session, listening, notify=pytest.fail, ready=is_ready.set)
            )
            await asyncio.wait(
                (shown, asyncio.create_task(is_ready.wait())), return_when=asyncio.FIRST_COMPLETED
            )
            found = await opened(listening.getsockname()[1], tmp_path / "profile")
            signal.raise_signal(signal.SIGINT)
            assert await shown is signal.SIGINT
            return found

    text, asked = asyncio.run(main())
    assert "ab cd efg" in text
    own = ("http://127.0.0.1:", "data:")
    assert asked
    assert [url for url in asked if not url.startswith(own)] == []
