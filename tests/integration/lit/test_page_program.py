"""The program that LIT's Python runs, with stand-ins for the packages that it has there."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from builders.lit import asked_model
from transformer_playground.lit import session
from transformer_playground.lit.backend import Backend
from transformer_playground.serving.access import Access

PACKAGES = ("lit_nlp", "lit_nlp.api", "lit_nlp.components", "werkzeug")
MODULES = ["dev_server", "components", "dataset", "dtypes", "layout", "model", "types", "core"]
MODULES += ["scrambler", "word_replacer", "serving"]
HTML = b'<head>\n  <link href="https://fonts.googleapis.com/css?family=X|Y&z" rel="s">\n</head><p>'


class Fake(ModuleType):
    """A module in which every name is a class that keeps what it is made from."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        class Made:
            def __init__(self, *values: Any, **named: Any) -> None:
                self.name, self.values = name, values
                vars(self).update(named)

        return Made


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    for package in PACKAGES:
        module = ModuleType(package)
        vars(module).update({name: Fake(name) for name in MODULES})
        monkeypatch.setitem(sys.modules, package, module)
    path = Path(session.__file__).with_name("page.py")
    spec = importlib.util.spec_from_file_location("lit_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_backend(program: Any, ask: Callable[[Any], Any]) -> Any:
    """What a function says that is given a connection to a real backend."""

    async def main() -> Any:
        backend = Backend([asked_model()], [], Access("127.0.0.1", "secret"), pytest.fail)
        async with TestServer(backend.app) as server:
            url = f"http://127.0.0.1:{server.port}"
            return await asyncio.to_thread(ask, program.Backend(url, "secret"))

    return asyncio.run(main())


def test_predictions_have_the_fields_that_the_model_names(program: Any) -> None:
    def ask(backend: Any) -> Any:
        (card,) = backend.ask("session")["models"]
        model = program.RunModel(backend, card)
        return model.output_spec(), model.predict_minibatch([{"text": "abc"}, {"text": "k a"}])

    spec, (first, second) = with_backend(program, ask)
    assert set(first) == set(second) == set(spec)
    model = asked_model()
    assert first["tokens"] == ["a", "b", "c"]
    assert second["loss"] == pytest.approx(model.predict("k a")["loss"])
    expected = model.predict("abc")["expected"][1][0]
    assert first["expected"][1][0] == (expected[0], pytest.approx(expected[1]))
    assert first["unexpected"][0].spans[0].values[:2] in {(1, 2), (2, 3)}


def test_salience_maps_have_a_number_for_each_token(program: Any) -> None:
    named = SimpleNamespace(wrapped=SimpleNamespace(card={"name": "one"}))
    maps: list[tuple[str, Any, dict[str, Any]]] = [
        ("Surprisal", program.Surprisal, {}),
        ("Attention", lambda asked: program.Attention(asked, 2, 4), {"layer": 1, "head": 3.0}),
        ("norms", lambda asked: program.Gradients(asked, "norms", is_signed=False), {}),
    ]

    def ask(backend: Any) -> Any:
        made = []
        for _, make, config in maps:
            (found,) = make(backend).run([{"text": "abca"}], named, None, config=config)
            made.append(found["tokens"].values)
        return made

    surprisal, attention, norms = with_backend(program, ask)
    assert all(tokens == ["a", "b", "c", "a"] for tokens, _ in (surprisal, attention, norms))
    assert max(surprisal[1]) == 1
    assert attention[1] == pytest.approx(asked_model().attention("abca", 1, 3, -1)["weights"])
    assert sum(norms[1]) == pytest.approx(1)


def test_a_refusal_is_an_error_with_its_sentence(program: Any) -> None:
    def ask(backend: Any) -> None:
        with pytest.raises(ValueError, match="There is no model 'two'"):
            backend.ask("predict", model="two", texts=[])

    with_backend(program, ask)


def called(program: Any, path: str = "/", **environ: str) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body that the guarded page answers with."""

    def app(_environ: Any, start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [("Content-Length", str(len(HTML))), ("X-Kept", "yes")])
        return [HTML]

    started: list[Any] = []
    given = {"PATH_INFO": path, "HTTP_HOST": "127.0.0.1:5432"} | environ
    guarded = program._guarded(app, "<style>icons</style>")
    body = b"".join(guarded(given, lambda *values: started.extend(values)))
    return started[0], dict(started[1]), body


def test_the_page_asks_no_other_site_for_fonts(program: Any) -> None:
    status, headers, body = called(program)
    assert status == "200 OK"
    assert body == b"<head>\n<style>icons</style></head><p>"
    assert headers["Content-Length"] == str(len(body))
    assert headers["X-Kept"] == "yes"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert called(program, "/main.js")[2] == HTML


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_HOST": "localhost:99"}, "200"),
        ({"HTTP_HOST": "[::1]:99"}, "200"),
        ({"HTTP_HOST": "example.com"}, "403"),
        ({"HTTP_HOST": ""}, "403"),
        ({"HTTP_ORIGIN": "http://127.0.0.1:5432"}, "200"),
        ({"HTTP_ORIGIN": "http://example.com"}, "403"),
        ({"HTTP_ORIGIN": "null"}, "403"),
    ],
)
def test_pages_of_other_sites_are_not_answered(
    program: Any, environ: dict[str, str], status: str
) -> None:
    assert called(program, **environ)[0].startswith(status)
