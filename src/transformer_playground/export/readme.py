"""The README of an export: where the model comes from, how it was checked and how it is loaded."""

import json
from collections.abc import Iterator

from transformer_playground.export.exportable import Subject
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.stamp import SUMS_FILE
from transformer_playground.terminal import visible_line

README_FILE = "README.md"


def readme_text(
    subject: Subject, request: ExportRequest, proof: Proof | None, *, usage: str
) -> str:
    """A model card in Markdown, with the metadata that the Hugging Face Hub reads."""
    name = request.model_name or subject.run.run_id
    parts = [
        *_metadata(subject, request),
        f"# {_plain(name)}",
        "",
        *([_plain(subject.facts.description), ""] if subject.facts.description else []),
        "## Use",
        "",
        usage.rstrip(),
        "",
        "## Origin",
        "",
        *(f"- {label}: {value}" for label, value in _origin(subject, request) if value),
        "",
        "## Proof",
        "",
        _proof(proof),
        "",
        f"`sha256sum -c {SUMS_FILE}` checks the files.",
        "",
    ]
    return "\n".join(parts)


def _metadata(subject: Subject, request: ExportRequest) -> Iterator[str]:
    yield "---"
    if subject.facts.licence:
        # JSON strings are YAML strings.
        yield f"license: {json.dumps(subject.facts.licence)}"
    if request.target == "hf":
        yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    if subject.facts.base_model:
        yield f"base_model: {json.dumps(subject.facts.base_model)}"
    yield "---"


def _origin(subject: Subject, request: ExportRequest) -> Iterator[tuple[str, str]]:
    facts = subject.facts
    yield "Run", f"`{facts.run_id}`" + (f", {facts.created}" if facts.created else "")
    yield "Experiment", _plain(facts.experiment)
    yield "Checkpoint", f"`{subject.checkpoint.name}`, step {subject.step:,}"
    yield "SHA-256 of the checkpoint", f"`{subject.sha256}`"
    yield "Base model", _plain(facts.base_model)
    yield "Weights", request.weights
    if facts.val_loss is not None:
        yield "Validation loss", f"{facts.val_loss:.4f} nats per token"
    yield "Data", _plain(facts.data)
    if facts.train_tokens is not None:
        yield "Training tokens in the dataset", f"{facts.train_tokens:,}"
    if facts.fingerprint:
        yield "Fingerprint of the dataset", f"`{_plain(facts.fingerprint)}`"
    yield "Tokenizer", f"{subject.tokenizer.kind}, {subject.tokenizer.vocab_size:,} tokens"
    yield "Context", f"{subject.block_size:,} tokens"
    yield (
        "Licence",
        _plain(facts.licence)
        or "not stated; the licences of the data and of a base model apply (set `export.license`)",
    )


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return "Not verified: exported with `--no-verify`."
    return _plain(proof.sentence())


def _plain(text: str) -> str:
    """One line in which no character has a meaning for Markdown's structure or a terminal."""
    return visible_line(text).replace("<", "&lt;").replace("`", "'")
