"""The console in a browser: what the server answers, and to whom."""

import asyncio
import re
import signal
import socket
import subprocess
from pathlib import Path

import aiohttp
import psutil
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
            session.ws_connect(
                f"{address}ws?width=90&height=30", origin=origin_of(address)
            ) as socket_,
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
                async with session.get(f"{address}{name}") as answer:
                    found[name] = await answer.read()
    return found


def origin_of(address: str) -> str:
    return address.rsplit("/", 2)[0]


async def status_of(address: str, origin: str = "", host: str = "") -> int:
    """Status of a page, or with an origin of a websocket."""
    headers = {"Host": host} if host else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        if not origin:
            async with session.get(address) as answer:
                return answer.status
        try:
            await session.ws_connect(address, origin=origin)
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status
    return 101


async def end_with_open_page(address: str, server: subprocess.Popen[str], number: int) -> None:
    """End the server while a page is open, and wait until its console has ended too."""
    async with (
        aiohttp.ClientSession() as session,
        asyncio.timeout(PATIENCE_SECONDS),
        session.ws_connect(f"{address}ws", origin=origin_of(address)) as page,
    ):
        await page.receive()
        await page.send_json(["resize", {"width": 90, "height": 10_000_000}])
        await page.send_json(["resize", {"width": "x", "height": None}])
        await page.send_json(["ping", 1])
        while (await page.receive()).type is not aiohttp.WSMsgType.TEXT:
            continue
        consoles = psutil.Process(server.pid).children(recursive=True)
        assert consoles
        server.send_signal(number)
        while page_message := await page.receive():
            if page_message.type in (
                *(aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING),
                aiohttp.WSMsgType.ERROR,
            ):
                break
    _, alive = await asyncio.to_thread(psutil.wait_procs, consoles, PATIENCE_SECONDS)
    assert not alive


def served(project: Project, port: int, runs_dir: Path, *prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, str(TP_TUI), "--web", "--port", str(port), "--runs-dir", str(runs_dir)],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_browser_of_this_machine_gets_the_console_and_other_pages_do_not(
    project: Project, port: int
) -> None:
    folder = project.root / 'run\'s "folder" $(touch x)'
    folder.mkdir()
    server = served(project, port, folder)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        origin = f"http://127.0.0.1:{port}"
        assert re.fullmatch(rf"{origin}/[\w-]{{43}}/", address)
        asyncio.run(listening(port))
        assert "4 Compare" in asyncio.run(first_frame(address))
        loaded = asyncio.run(page_and_what_it_loads(address))
        assert {Path(name).suffix for name in loaded} == {"", ".css", ".js", ".ttf"}
        assert all(loaded.values())
        # Nothing comes from another machine, whether by a link, a script or a stylesheet.
        page = loaded[""].decode()
        assert re.findall(r"\w*:?//[\w.:]+", page) == [f"ws://127.0.0.1:{port}"]
        for other in (origin, f"{origin}/static/js/textual.js", f"{origin}/ws", address[:-2]):
            assert asyncio.run(status_of(other)) == 403
        assert asyncio.run(status_of(f"{origin}/ws", origin)) == 403
        assert asyncio.run(status_of(address, host=f"elsewhere.example:{port}")) == 403
        for foreign in (
            *("http://elsewhere.example", "http://localhost:3000", "chrome-extension://localhost"),
            *(
                "https://127.0.0.1",
                f"https://127.0.0.1:{port}",
                "null",
                "http://127.0.0.1",
                "http://[",
            ),
        ):
            assert asyncio.run(status_of(f"{address}ws", foreign)) == 403, foreign
        assert asyncio.run(status_of(f"{address}ws?height=10000000", origin)) == 400
        taken = project.child(TP_TUI, "--web", "--port", port)
        assert taken.code == 2
        assert f"Port {port} of 127.0.0.1 cannot be used" in taken.err
        asyncio.run(end_with_open_page(address, server, signal.SIGTERM))
        assert server.wait(PATIENCE_SECONDS) == 0
    finally:
        server.kill()
        server.communicate()
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


@pytest.mark.parametrize("prefix", [(), ("nohup",)], ids=["plain", "nohup"])
def test_a_console_ends_with_a_server_that_is_killed(
    project: Project, port: int, prefix: tuple[str, ...]
) -> None:
    server = served(project, port, project.root / "runs", *prefix)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        asyncio.run(listening(port))
        asyncio.run(end_with_open_page(address, server, signal.SIGKILL))
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("words", [["--port", "8000"], ["--web", "--run", "tiny"]])
def test_options_that_do_not_go_together_are_refused(project: Project, words: list[str]) -> None:
    ended = project.child(TP_TUI, *words)
    assert ended.code == 2
    assert "Traceback" not in ended.err
