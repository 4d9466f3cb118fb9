"""A session: what LIT's process may ask, and how both processes end."""

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from builders.lit import asked_model, stand_in
from transformer_playground.lit import session as module
from transformer_playground.lit.backend import Backend
from transformer_playground.lit.predictions import AskedModel
from transformer_playground.lit.session import LitError, LitSession, show
from transformer_playground.serving.access import Access
from transformer_playground.serving.server import open_socket

TOKEN = "secret"


def asking(*requests: tuple[str, dict[str, Any]], token: str = TOKEN) -> list[tuple[int, Any]]:
    """Status and document of each answer of a backend."""

    async def ask() -> list[tuple[int, Any]]:
        notices: list[str] = []
        access = Access("127.0.0.1", TOKEN)
        backend = Backend([asked_model()], [{"name": "texts"}], access, notices.append)
        headers = {"Authorization": f"Bearer {token}"}
        async with TestClient(TestServer(backend.app)) as client:
            answers = []
            for path, body in requests:
                async with client.post(path, json=body, headers=headers) as answer:
                    answers.append((answer.status, await answer.json()))
        assert notices == []
        return answers

    return asyncio.run(ask())


def test_models_datasets_and_predictions_are_asked_for() -> None:
    place = {"model": "one", "text": "abc"}
    session, predicted, attention, salience = asking(
        ("/session", {}),
        ("/predict", {"model": "one", "texts": ["abc", "k"]}),
        ("/attention", place | {"layer": 1, "head": 3, "position": -1}),
        ("/salience", place),
    )
    ((card,), datasets) = session[1]["models"], session[1]["datasets"]
    assert (card["name"], card["n_layer"], card["n_head"]) == ("one", 2, 4)
    assert datasets == [{"name": "texts"}]
    model = asked_model()
    assert predicted[1]["predictions"][0]["tokens"] == ["a", "b", "c"]
    assert predicted[1]["predictions"][1]["loss"] == model.predict("k")["loss"]
    assert attention[1]["weights"] == pytest.approx(model.attention("abc", 1, 3, 2)["weights"])
    assert salience[1]["norms"] == pytest.approx(model.salience("abc")["norms"])


def test_what_is_wrong_is_answered_with_a_sentence() -> None:
    place = {"model": "one", "text": "abc", "layer": 7, "head": 0, "position": 0}
    answers = asking(
        ("/predict", {"model": "two", "texts": []}),
        ("/predict", {"model": "one", "texts": "abc"}),
        ("/attention", place),
        ("/nothing", {}),
    )
    assert [status for status, _ in answers] == [404, 400, 400, 404]
    messages = [document["error"]["message"] for _, document in answers]
    assert messages[0] == "There is no model 'two'."
    assert messages[2] == "There is no layer 7: one has 2."
    ((status, _),) = asking(("/session", {}), token="guessed")
    assert status == 401


def test_a_text_is_computed_alone_although_the_request_before_was_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def predict(_model: AskedModel, text: str) -> dict[str, Any]:
        order.append(f"{text} begins")
        if text == "left":
            begun.set()
            assert go_on.wait(30)
        order.append(f"{text} ends")
        return {}

    monkeypatch.setattr(AskedModel, "predict", predict)

    async def ask() -> None:
        backend = Backend([asked_model()], [], Access("127.0.0.1", TOKEN), pytest.fail)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with TestClient(TestServer(backend.app), headers=headers) as client:

            def of(text: str) -> "asyncio.Task[Any]":
                body = {"model": "one", "texts": [text]}
                return asyncio.create_task(client.post("/predict", json=body).__aenter__())

            left = of("left")
            assert await asyncio.to_thread(begun.wait, 30)
            left.cancel()
            await asyncio.wait([left])
            following = of("next")
            # Meanwhile it would begin.
            for _ in range(20):
                async with client.post("/session", json={}) as answer:
                    assert answer.status == 200
            go_on.set()
            assert (await following).status == 200

    asyncio.run(ask())
    assert order == ["left begins", "left ends", "next begins", "next ends"]


def showing(python: Path, *, is_interrupted: bool = False) -> signal.Signals:
    """Show a session with a stand-in; it is interrupted when it is ready, if at all."""

    def ready() -> None:
        if is_interrupted:
            signal.raise_signal(signal.SIGINT)

    async def main() -> signal.Signals:
        with open_socket("127.0.0.1", 0) as listening:
            session = LitSession(python, [asked_model()], [], "")
            return await show(session, listening, notify=pytest.fail, ready=ready)

    return asyncio.run(main())


def has_ended(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_ends_the_process_of_lit(tmp_path: Path) -> None:
    assert showing(stand_in(tmp_path), is_interrupted=True) is signal.SIGINT
    assert has_ended(tmp_path)


def test_a_process_that_does_not_end_by_itself_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.01)
    python = stand_in(tmp_path, then="time.sleep(600)")
    assert showing(python, is_interrupted=True) is signal.SIGINT
    assert has_ended(tmp_path)


@pytest.mark.parametrize("program", ["raise SystemExit('no module\\nnamed lit_nlp')", "1 / 0"])
def test_the_last_words_of_a_process_that_fails_are_shown(tmp_path: Path, program: str) -> None:
    words = "named lit_nlp" if "named" in program else "ZeroDivisionError"
    with pytest.raises(LitError, match=f"LIT ended with exit code 1: .*{words}"):
        showing(stand_in(tmp_path, program=program))


def test_the_socket_of_the_page_is_passed_on(tmp_path: Path) -> None:
    serve = (
        "import socket\n"
        "listening = socket.socket(fileno=order['socket'])\n"
        "taken, _ = listening.accept()\n"
        "taken.sendall(str(order['port']).encode())\n"
        "taken.close()\n"
        "sys.stdin.read()\n"
    )
    # It is ready before it accepts; the connection waits meanwhile.
    answers: list[bytes] = []

    async def main() -> signal.Signals:
        with open_socket("127.0.0.1", 0) as listening:
            port = listening.getsockname()[1]

            def ready() -> None:
                with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                    answers.append(client.recv(64))
                    assert answers[0] == str(port).encode()
                signal.raise_signal(signal.SIGTERM)

            session = LitSession(stand_in(tmp_path, then=serve), [asked_model()], [], "")
            return await show(session, listening, notify=pytest.fail, ready=ready)

    assert asyncio.run(main()) is signal.SIGTERM
    assert answers
