"""The target `gguf`: one file for llama.cpp and the programs built on it."""

import re
import unicodedata
from dataclasses import replace
from pathlib import Path

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.huggingface import HuggingFaceTokenizer
from transformer_playground.export.evidence import Evidence
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.gguf.architectures import choose_architecture
from transformer_playground.export.gguf.base_tokenizers import composes_characters
from transformer_playground.export.gguf.content import check_content, file_content
from transformer_playground.export.gguf.llama_cpp import find_installation
from transformer_playground.export.gguf.model_file import write_model_file
from transformer_playground.export.gguf.quantize import find_quantizer, quantize_file
from transformer_playground.export.gguf.reader import Limits, prove_file
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import K_QUANTS, ExportRequest
from transformer_playground.export.target import Written

_NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
# Of rounded weights, whose activations llama.cpp rounds as well.
_LIMITS = {"f16": Limits(0.1, 0.02), "bf16": Limits(0.5, 0.05), "q8_0": Limits(0.5, 0.05)}
_K_LIMITS = Limits(float("inf"), 1.0)
# A base model is computed in the order of another library.
_BASE_TOLERANCE = 2e-3
_EXACT_FILE = ".float32.gguf"
_LONGEST_NAME = 100
_EXAMPLE = "The"
# Tokens of the example at most, with a start token.
_EXAMPLE_TOKENS = 4


class GgufTarget:
    """A file whose float32 form is compared exactly, and whose written form by its loss."""

    def check(self, subject: Subject, request: ExportRequest) -> None:
        """See `Target.check`."""
        if request.quantize is not None and request.quantize in K_QUANTS:
            find_quantizer(request.quantize)
        if request.verify:
            find_installation()
        check_content(subject)

    def write(self, source: Exportable, folder: Path, request: ExportRequest) -> None:
        """See `Target.write`."""
        name = model_name(source.subject, request)
        content = file_content(source, name)
        path = folder / file_name(source.subject, request)
        kind = weights_type(request)
        if kind not in K_QUANTS:
            write_model_file(content, path, kind)
            return
        exact = folder / _EXACT_FILE
        write_model_file(content, exact, "f32")
        quantize_file(exact, path, kind)
        exact.unlink()

    def verify(self, written: Written) -> Proof:
        """See `Target.verify`."""
        source, kind = written.source, weights_type(written.request)
        path = written.folder / file_name(source.subject, written.request)
        evidence = _readable(written.evidence, source.subject.tokenizer)
        exact = _exact_limits(source.subject)
        if kind == "f32":
            return prove_file(path, source, evidence, exact)
        # Rounding would hide a small mistake, so the same tensors are compared without it first.
        temporary = written.folder / _EXACT_FILE
        write_model_file(file_content(source, ""), temporary, "f32")
        prove_file(temporary, source, evidence, exact)
        temporary.unlink()
        return prove_file(path, source, evidence, _LIMITS.get(kind, _K_LIMITS))

    def usage(self, subject: Subject, request: ExportRequest, folder: Path) -> str:
        """See `Target.usage`."""
        name = file_name(subject, request)
        decoding = subject.decoding
        # llama.cpp aborts at a position without a vector, and extends no context by itself.
        count = min(decoding.max_new_tokens, max(1, subject.block_size - _EXAMPLE_TOKENS))
        sampling = (
            f"--temp {decoding.temperature:g} --top-k {decoding.top_k} "
            f"--top-p {decoding.top_p:g} --min-p 0"
        )
        return "\n".join([
            "```bash",
            f"llama-completion -m {name} -no-cnv -n {count} {sampling} -p '{_EXAMPLE}'",
            f"llama-server -m {name} -c {subject.block_size} --port 8080",
            "```",
        ])  # fmt: skip


def weights_type(request: ExportRequest) -> str:
    """Type of the weights as llama.cpp calls it."""
    return _NAMES.get(request.weights, request.weights)


def model_name(subject: Subject, request: ExportRequest) -> str:
    """Name of the model, for people."""
    return request.model_name or subject.run.run_id


def file_name(subject: Subject, request: ExportRequest) -> str:
    """Name of the file: the model's, without signs that have a meaning anywhere."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model_name(subject, request)).strip("-.")
    return f"{plain[:_LONGEST_NAME] or 'model'}-{weights_type(request)}.gguf"


def _exact_limits(subject: Subject) -> Limits:
    if subject.config is None:
        return Limits(_BASE_TOLERANCE)
    return Limits(choose_architecture(subject.config).tolerance(subject.config))


def _readable(evidence: Evidence, tokenizer: Tokenizer) -> Evidence:
    """The evidence with texts that llama.cpp can read: it does not compose characters."""
    if not isinstance(tokenizer, HuggingFaceTokenizer) or not composes_characters(tokenizer):
        return evidence
    texts = tuple(unicodedata.normalize("NFC", text) for text in evidence.texts)
    return replace(evidence, texts=texts)
