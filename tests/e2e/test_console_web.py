"""The console in a browser: what the server answers, and to whom."""

import asyncio
import re
import socket
import subprocess
from pathlib import Path

import aiohttp
import pytest

from builders.commands import PATIENCE_SECONDS, TP_TUI, Project


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def first_frame(address: str) -> str:
    """What a page of the console gets to draw until its top line has come."""
    async with aiohttp.ClientSession() as session:
        async with session.get(address) as page:
            assert "Transformer Playground" in await page.text()
        drawn = b""
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            session.ws_connect(f"{address}/ws?width=90&height=30", origin=address) as socket_,
        ):
            while b"4 Compare" not in drawn:
                message = await socket_.receive()
                assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}
                drawn += message.data if isinstance(message.data, bytes) else b""
        return drawn.decode()


async def page_and_what_it_loads(address: str) -> dict[str, bytes]:
    """The page, and each file that the page names, by path."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(address) as answer:
            page = await answer.text()
        found = {"": page.encode()}
        for path in re.findall(r"""(?:href|src)="([^"]*)"|url\("([^"]*)"\)""", page):
            name = "".join(path)
            if not name.startswith("data:"):
                async with session.get(f"{address}/{name}") as answer:
                    found[name] = await answer.read()
    return found


async def answer_to_another_page(address: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            await session.ws_connect(f"{address}/ws", origin="http://elsewhere.example")
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status
    return 101


def test_a_browser_of_this_machine_gets_the_console_and_other_pages_do_not(
    project: Project, port: int
) -> None:
    folder = project.root / 'run\'s "folder" $(touch x)'
    folder.mkdir()
    server = subprocess.Popen(
        [str(TP_TUI), "--web", "--port", str(port), "--runs-dir", str(folder)],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address == f"http://127.0.0.1:{port}"
        asyncio.run(listening(port))
        assert "4 Compare" in asyncio.run(first_frame(address))
        loaded = asyncio.run(page_and_what_it_loads(address))
        assert {Path(name).suffix for name in loaded} == {"", ".css", ".js", ".ttf"}
        assert all(loaded.values())
        # Nothing comes from another machine, whether by a link, a script or a stylesheet.
        page = loaded[""].decode()
        assert re.findall(r"\w*:?//[\w.:]+", page) == [f"ws://127.0.0.1:{port}"]
        assert asyncio.run(answer_to_another_page(address)) == 403
        taken = project.child(TP_TUI, "--web", "--port", port)
        assert taken.code == 2
        assert f"Port {port} of 127.0.0.1 cannot be used" in taken.err
    finally:
        server.terminate()
        with server:
            assert server.wait(PATIENCE_SECONDS) == 0
    assert not (project.root / "x").exists()


async def listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


@pytest.mark.parametrize("words", [["--port", "8000"], ["--web", "--run", "tiny"]])
def test_options_that_do_not_go_together_are_refused(project: Project, words: list[str]) -> None:
    ended = project.child(TP_TUI, *words)
    assert ended.code == 2
    assert "Traceback" not in ended.err
