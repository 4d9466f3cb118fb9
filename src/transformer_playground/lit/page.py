"""LIT's web server, run by the Python of LIT's own environment; it imports nothing of this package.

The first line of standard input says how to ask the process that has the models; the end of
standard input, which is also that of the other process, ends this one.
"""

# mypy: disable-error-code="misc"
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import json
import os
import re
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import lit_nlp
from lit_nlp import dev_server
from lit_nlp.api import components, dataset, dtypes, layout, model, types
from lit_nlp.components import core, scrambler, word_replacer
from werkzeug import serving

_FONTS = re.compile(r"\s*<link [^>]*fonts\.googleapis\.com[^>]*>")
# Nothing of other sites is loaded.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_PROJECTIONS = ("pca", "umap", "nearest neighbors")
_BATCH = 8
_LONGEST = 4096
_FIELDS = {"text": types.TextSegment, "label": types.CategoryLabel}


class Backend:
    """The process that has the models."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        # A proxy that the environment names cannot reach this machine's loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, **body: Any) -> Any:
        """The answer to a request.

        Raises:
            ValueError: It was refused; the page shows the sentence.
        """
        request = urllib.request.Request(
            f"{self._url}/{path}",
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with self._opener.open(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]["message"]) from error


class RunModel(model.BatchedModel):
    """A model whose predictions the other process makes."""

    def __init__(self, backend: Backend, card: dict[str, Any]) -> None:
        super().__init__()
        self._backend, self.card = backend, card

    def description(self) -> str:
        """See LIT."""
        return str(self.card["description"])

    def max_minibatch_size(self) -> int:
        """See LIT."""
        return _BATCH

    def input_spec(self) -> dict[str, Any]:
        """See LIT."""
        return {"text": types.TextSegment()}

    def output_spec(self) -> dict[str, Any]:
        """See LIT."""
        return {
            "tokens": types.Tokens(parent="text", token_prefix=None),
            "surprisal": types.TokenScores(align="tokens"),
            "expected": types.TokenTopKPreds(align="tokens", parent="text"),
            "unexpected": types.MultiSegmentAnnotations(exclusive=False, background=False),
            "next token": types.MultiSegmentAnnotations(exclusive=False, background=False),
            "loss": types.Scalar(min_val=0, max_val=self.card["highest_loss"]),
            "last layer": types.Embeddings(),
        }

    def predict_minibatch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """See LIT."""
        texts = [each["text"] for each in inputs]
        answer = self._backend.ask("predict", model=self.card["name"], texts=texts)
        return [_prediction(each) for each in answer["predictions"]]


def _prediction(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "tokens": found["tokens"],
        "surprisal": found["surprisals"],
        "expected": [[tuple(pair) for pair in row] for row in found["expected"]],
        "unexpected": _annotations(found["unexpected"]),
        "next token": _annotations(found["next"]),
        "loss": found["loss"],
        "last layer": found["embedding"],
    }


def _annotations(marks: list[dict[str, Any]]) -> list[Any]:
    return [
        dtypes.AnnotationCluster(
            label=mark["label"],
            spans=[dtypes.SpanLabel(mark["start"], mark["end"], "", align="text")],
            score=mark["score"],
        )
        for mark in marks
    ]


class _Salience(components.Interpreter):
    """A number for each token of a text."""

    def __init__(self, backend: Backend, *, is_signed: bool = False) -> None:
        self._backend, self._is_signed = backend, is_signed

    def meta_spec(self) -> dict[str, Any]:
        """See LIT."""
        return {"saliency": types.TokenSalience(autorun=True, signed=self._is_signed)}

    def run(self, inputs: Any, model: Any, dataset: Any, *_: Any, **more: Any) -> list[Any]:
        """One salience map for each text."""
        name = getattr(model, "wrapped", model).card["name"]
        config = more.get("config") or {}
        return [{"tokens": self.map_of(name, each["text"], config)} for each in inputs]

    def map_of(self, name: str, text: str, config: dict[str, Any]) -> Any:
        """The map of a text."""
        raise NotImplementedError


class Surprisal(_Salience):
    """How unlikely each token was for the model, in proportion to the most surprising one."""

    def map_of(self, name: str, text: str, config: dict[str, Any]) -> Any:
        """The map of a text."""
        (found,) = self._backend.ask("predict", model=name, texts=[text])["predictions"]
        most = max(found["surprisals"]) or 1.0
        return dtypes.TokenSalience(found["tokens"], [each / most for each in found["surprisals"]])


class Gradients(_Salience):
    """How much each token matters for the last one, by gradients of its log-probability."""

    def __init__(self, backend: Backend, key: str, *, is_signed: bool) -> None:
        super().__init__(backend, is_signed=is_signed)
        self._key = key

    def map_of(self, name: str, text: str, config: dict[str, Any]) -> Any:
        """The map of a text."""
        found = self._backend.ask("salience", model=name, text=text)
        return dtypes.TokenSalience(found["tokens"], found[self._key])


class Attention(_Salience):
    """Where a head looks from one token; layers, heads and tokens are counted from 0."""

    def __init__(self, backend: Backend, layers: int, heads: int) -> None:
        super().__init__(backend)
        self._layers, self._heads = layers, heads

    def config_spec(self) -> dict[str, Any]:
        """See LIT."""
        return {
            "layer": types.Scalar(min_val=0, max_val=self._layers - 1, default=0, step=1),
            "head": types.Scalar(min_val=0, max_val=self._heads - 1, default=0, step=1),
            "from token": types.Scalar(min_val=-1, max_val=_LONGEST, default=-1, step=1),
        }

    def map_of(self, name: str, text: str, config: dict[str, Any]) -> Any:
        """The map of a text."""
        found = self._backend.ask(
            "attention",
            model=name,
            text=text,
            layer=int(config.get("layer", 0)),
            head=int(config.get("head", 0)),
            position=int(config.get("from token", -1)),
        )
        return dtypes.TokenSalience(found["tokens"], found["weights"])


def _interpreters(backend: Backend, cards: list[dict[str, Any]]) -> dict[str, Any]:
    layers = max(card["n_layer"] for card in cards)
    heads = max(card["n_head"] for card in cards)
    usual = core.default_interpreters({})
    return {
        "Surprisal": Surprisal(backend),
        "Attention": Attention(backend, layers, heads),
        "Gradient norm": Gradients(backend, "norms", is_signed=False),
        "Gradient · input": Gradients(backend, "products", is_signed=True),
    } | {name: usual[name] for name in _PROJECTIONS if name in usual}


def _dataset(card: dict[str, Any]) -> Any:
    spec = {name: _FIELDS[kind]() for name, kind in card["fields"].items()}
    return dataset.Dataset(spec, card["examples"], description=card["description"])


def _layout() -> Any:
    modules = layout.LitModuleName
    return layout.LitCanonicalLayout(
        upper={
            "Texts": [modules.DataTableModule, modules.DatapointEditorModule],
            "Embeddings": [modules.EmbeddingsModule, modules.DataTableModule],
        },
        lower={
            "Tokens": [modules.SalienceMapModule, modules.AnnotatedTextModule],
            "Losses": [modules.ScalarModule],
            "Variants": [modules.GeneratorModule],
        },
        description="Tokens, alternatives, attention and losses of language models.",
    )


def _guarded(app: Any, style: str) -> Any:
    """LIT's application, which other sites neither reach nor are asked by."""

    def call(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        host = environ.get("HTTP_HOST", "")
        if re.sub(r":\d+$", "", host) not in _LOOPBACK:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This server answers requests to localhost only."]
        if environ.get("HTTP_ORIGIN", f"http://{host}") != f"http://{host}":
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This server does not answer pages of other sites."]
        started: list[Any] = []

        def start(*given: Any) -> Any:
            started[:] = given
            return lambda _: None

        body = b"".join(app(environ, start))
        status, headers, *rest = started
        if environ.get("PATH_INFO", "") in ("", "/", "/index.html"):
            text = _FONTS.sub("", body.decode("utf-8")).replace("</head>", f"{style}</head>", 1)
            body = text.encode("utf-8")
        kept = [each for each in headers if each[0].lower() != "content-length"]
        added = [("Content-Length", str(len(body))), ("Content-Security-Policy", _POLICY)]
        start_response(status, [*kept, *added], *rest)
        return [body]

    return call


class _Silent(serving.WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Requests are no news."""


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve the page until standard input ends."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    backend = Backend(order["url"], order["token"])
    session = backend.ask("session")
    app = dev_server.Server(
        {card["name"]: RunModel(backend, card) for card in session["models"]},
        {card["name"]: _dataset(card) for card in session["datasets"]},
        server_type="external",
        client_root=str(Path(str(lit_nlp.__file__)).parent / "client" / "build" / "default"),
        generators={
            "Scrambler": scrambler.Scrambler(),
            "Word replacer": word_replacer.WordReplacer(),
        },
        interpreters=_interpreters(backend, session["models"]),
        metrics={},
        layouts={"default": _layout()},
        default_layout="default",
        # The page offers no forms to load others.
        dataset_loaders={},
        model_loaders={},
    ).serve()
    server = serving.make_server(
        "127.0.0.1",
        order["port"],
        _guarded(app, order["style"]),
        threaded=True,
        fd=order["socket"],
        request_handler=_Silent,
    )
    backend.ask("ready")
    server.serve_forever()


if __name__ == "__main__":
    main()
