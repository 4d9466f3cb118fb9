"""The target `ollama`: a GGUF file and the Modelfile that `ollama create` reads."""

import re
from pathlib import Path

from transformer_playground.errors import ExportError
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.gguf.architectures import choose_architecture
from transformer_playground.export.gguf.llama_cpp import serving
from transformer_playground.export.gguf.reader import plain_token
from transformer_playground.export.gguf.target import GgufTarget, file_name, model_name
from transformer_playground.export.ollama.modelfile import (
    FILE_NAME,
    PLAIN_TEMPLATE,
    Modelfile,
)
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.target import Written
from transformer_playground.files import replace_text

NAMED = frozenset({"llama", "qwen2", "qwen3", "gemma", "gemma3"})
"""Architectures that Ollama's documentation or its own importer names."""

_TRIED_TOKENS = 16
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class OllamaTarget:
    """Ollama itself is not run; llama.cpp's server is, with the same settings."""

    def __init__(self) -> None:
        self._gguf = GgufTarget()

    def check(self, subject: Subject, request: ExportRequest) -> None:
        """See `Target.check`."""
        file = modelfile(subject, request)
        file.check()
        # An alphabet may lack a character of the template.
        subject.tokenizer.encode(_ACTION.sub("", file.template))
        self._gguf.check(subject, request)

    def write(self, source: Exportable, folder: Path, request: ExportRequest) -> None:
        """See `Target.write`."""
        self._gguf.write(source, folder, request)
        replace_text(folder / FILE_NAME, modelfile(source.subject, request).text())

    def verify(self, written: Written) -> Proof:
        """See `Target.verify`."""
        proof = self._gguf.verify(written)
        _try_settings(written)
        return proof

    def usage(self, subject: Subject, request: ExportRequest, folder: Path) -> str:
        """See `Target.usage`."""
        name = tag(subject, request)
        return "\n".join([
            "```bash",
            f"ollama create {name} -f {FILE_NAME}",
            f"ollama run {name}",
            "```",
            "",
            _support(subject),
        ])  # fmt: skip


def modelfile(subject: Subject, request: ExportRequest) -> Modelfile:
    """The Modelfile of an export."""
    end = subject.tokenizer.end_of_text
    return Modelfile(
        weights=file_name(subject, request),
        template=request.template or PLAIN_TEMPLATE,
        context=subject.block_size,
        decoding=subject.decoding,
        stop=(end,) if end else (),
        licence=subject.facts.licence,
    )


def tag(subject: Subject, request: ExportRequest) -> str:
    """Name of the model for Ollama, which is in small letters."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", model_name(subject, request).lower()).strip("-._")
    return plain[:80] or "model"


def _support(subject: Subject) -> str:
    named = ", ".join(sorted(NAMED))
    known = f"Ollama's documentation or importer names {named}"
    if subject.config is None:
        architecture = f"The architecture is that of the base model; {known}."
    else:
        name = choose_architecture(subject.config).name
        architecture = f"The architecture is {name}; {known}."
    return (
        f"{architecture} Others are run by the llama.cpp inside Ollama, if its version has them. "
        "This export was checked with llama.cpp, not with Ollama."
    )


def _try_settings(written: Written) -> None:
    """Let llama.cpp's server answer with the settings of the Modelfile.

    Raises:
        ExportError: It refuses them, or draws a token outside of the top k.
    """
    source, request = written.source, written.request
    subject = source.subject
    file = modelfile(subject, request)
    path = written.folder / file.weights
    beginning = subject.tokenizer.decode(list(written.evidence.prompts[0]))
    with serving(path, subject.block_size, plain_token=plain_token(source)) as client:
        settings = dict(file.server_request())
        room = subject.block_size - len(written.evidence.prompts[0]) - 1
        settings["n_predict"] = max(1, min(_TRIED_TOKENS, settings["n_predict"], room))
        tokens = client.draw(file.prompt(beginning), seed=1, **settings)
    if any(not 0 <= token < subject.padding.start for token in tokens):
        raise ExportError("llama.cpp drew a token that the run does not have.")
