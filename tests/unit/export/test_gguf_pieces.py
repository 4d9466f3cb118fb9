"""Parts of GGUF exports that need no llama.cpp."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import gguf
import numpy as np
import pytest
import torch

from transformer_playground.config.sample import DecodingConfig
from transformer_playground.errors import ExportError, UsageError
from transformer_playground.export.gguf.llama_cpp import LlamaCpp
from transformer_playground.export.gguf.model_file import ModelFile, write_model_file
from transformer_playground.export.gguf.tensors import pair_channels
from transformer_playground.export.ollama.modelfile import Modelfile
from transformer_playground.model.positions import rotate


def test_paired_channels_turn_like_halves() -> None:
    head_dim, length = 6, 5
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2 * head_dim, 4, generator=generator)
    angles = torch.randn(length, 1, head_dim // 2, generator=generator)
    x = torch.randn(1, length, 4, generator=generator)
    halves = rotate((x @ rows.t()).view(1, length, 2, head_dim), (angles.cos(), angles.sin()))

    paired = (x @ pair_channels(rows, head_dim).t()).view(1, length, 2, head_dim // 2, 2)
    turned = torch.view_as_complex(paired) * torch.polar(torch.ones_like(angles), angles)
    joined = torch.cat((turned.real, turned.imag), dim=-1)
    torch.testing.assert_close(joined, halves)


@pytest.mark.parametrize(
    ("weights", "matrix", "short"),
    [
        ("f32", "F32", "F32"),
        ("f16", "F16", "F16"),
        ("bf16", "BF16", "BF16"),
        ("q8_0", "Q8_0", "F16"),
    ],
)
def test_matrices_have_the_wanted_type_and_vectors_are_exact(
    weights: str, matrix: str, short: str, tmp_path: Path
) -> None:
    tensors = {
        "blk.0.ffn_up.weight": torch.linspace(-1, 1, 128).view(2, 64),
        "blk.0.ffn_down.weight": torch.linspace(-1, 1, 10).view(2, 5),
        "output_norm.weight": torch.full((3,), 1 / 3),
        "position_embd.weight": torch.full((3, 32), 1 / 3),
    }
    path = tmp_path / "m.gguf"
    content = ModelFile("gpt2", {"gpt2.block_count": 1}, lambda: iter(tensors.items()))
    write_model_file(content, path, weights)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert [found[name].tensor_type.name for name in tensors] == [matrix, short, "F32", "F32"]
    for name, tensor in tensors.items():
        values = gguf.quants.dequantize(found[name].data, found[name].tensor_type)
        np.testing.assert_allclose(values.reshape(tensor.shape), tensor, atol=1e-2)
    assert np.array_equal(found["output_norm.weight"].data, tensors["output_norm.weight"])


def test_a_modelfile_quotes_texts_of_several_lines_and_keeps_all_tokens() -> None:
    file = Modelfile(
        "m.gguf", "{{ .Prompt }}\n", 8, DecodingConfig(top_k=5, top_p=0.9), ("a\nb", 'a "b" c', "c")
    )
    text = file.text()
    assert 'TEMPLATE """{{ .Prompt }}\n"""\n' in text
    assert 'PARAMETER stop """a\nb"""\nPARAMETER stop """a "b" c"""\n' in text
    assert 'PARAMETER stop "c"\n' in text
    assert "PARAMETER top_k 5\nPARAMETER top_p 0.9\n" in text
    assert file.prompt("Hi") == "Hi\n"
    assert file.server_request()["stop"] == ["a\nb", 'a "b" c', "c"]


def test_a_stop_text_that_cannot_be_quoted_is_an_error() -> None:
    file = Modelfile("m.gguf", "{{ .Prompt }}", 8, DecodingConfig(), ('ends with "',))
    with pytest.raises(UsageError, match="cannot be written into a Modelfile"):
        file.check()


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            400,
            b'{"error": {"message": "too  long\\nprompt."}}',
            "refused the export: too long prompt",
        ),
        (500, b"\x1b[31moops", "refused the export: .*oops"),
        (200, b"{}", "gives no log-probabilities"),
    ],
)
def test_an_answer_that_is_no_answer_is_one_sentence(status: int, body: bytes, told: str) -> None:
    handler = type("Handler", (_Handler,), {"answers": {"/completion": (status, body)}})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        client = LlamaCpp(server.server_port, "key", "llama.cpp", 0)
        with pytest.raises(ExportError, match=told):
            client.logprobs([1], 2)
        client.close()
        thread.join()


def test_a_server_that_has_gone_is_one_sentence() -> None:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        port = server.server_port
    client = LlamaCpp(port, "key", "llama.cpp", 0)
    with pytest.raises(ExportError, match=r"llama\.cpp stopped while it read the export"):
        client.tokenize("a")


def test_a_connection_that_was_closed_for_being_idle_is_opened_again() -> None:
    class Impatient(_Handler):
        protocol_version = "HTTP/1.1"
        answers: ClassVar = {"/tokenize": (200, b'{"tokens": [7]}')}

        def do_POST(self) -> None:
            super().do_POST()
            # Without a word to the client.
            self.close_connection = True

    with HTTPServer(("127.0.0.1", 0), Impatient) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = LlamaCpp(server.server_port, "key", "llama.cpp", 0)
        try:
            assert [client.tokenize("a") for _ in range(3)] == [[7]] * 3
        finally:
            client.close()
            server.shutdown()
            thread.join()


def test_log_probabilities_without_a_number_are_minus_infinity() -> None:
    entries = [{"id": 3, "logprob": None}, {"id": 1, "logprob": -0.5}]
    body = json.dumps({"completion_probabilities": [{"top_logprobs": entries}]}).encode()
    handler = type("Handler", (_Handler,), {"answers": {"/completion": (200, body)}})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        client = LlamaCpp(server.server_port, "key", "llama.cpp", 0)
        assert client.logprobs([1], 2) == {3: -float("inf"), 1: -0.5}
        client.close()
        thread.join()
