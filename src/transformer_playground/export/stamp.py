"""The stamp of an export: what it was made from, and the hashes of its files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from transformer_playground.errors import ExportError
from transformer_playground.export.exportable import Subject
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.files import read_regular, replace_json, replace_text, sha256_file
from transformer_playground.jsonvalues import as_object

STAMP_FILE = "export.json"
SUMS_FILE = "SHA256SUMS"
SCHEMA_VERSION = 1
_PACKAGE = "transformer-playground"


@dataclass(frozen=True)
class Stamp:
    """Content of `export.json`.

    Attributes:
        inputs: What the files depend on; an export with equal inputs is up to date.
        proof: The comparison with the run; None with --no-verify.
    """

    inputs: Mapping[str, Any]
    proof: Proof | None


def inputs_of(subject: Subject, request: ExportRequest) -> dict[str, Any]:
    """Everything that decides the content of an export."""
    return {
        "target": request.target,
        "run_id": subject.run.run_id,
        "checkpoint_sha256": subject.sha256,
        "weights": request.weights,
        "custom_code": request.custom_code,
        "model_name": request.model_name,
        "template": request.template,
        "base": request.base,
        "licence": request.licence,
        "verified": request.verify,
        "version": version(_PACKAGE),
    }


def write_stamp(
    folder: Path, subject: Subject, request: ExportRequest, proof: Proof | None
) -> None:
    """Write `export.json`, then `SHA256SUMS` of all files."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "checkpoint": subject.checkpoint.name,
        "step": subject.step,
        "inputs": inputs_of(subject, request),
        "proof": None if proof is None else proof.as_json(),
    }
    replace_json(folder / STAMP_FILE, document)
    replace_text(folder / SUMS_FILE, _sums(folder))


def read_stamp(folder: Path) -> Stamp | None:
    """The stamp of a folder; None if there is none that is complete."""
    try:
        document = as_object(json.loads(read_regular(folder / STAMP_FILE)))
        inputs = as_object(document.get("inputs"))
        if document.get("schema_version") != SCHEMA_VERSION or not inputs:
            return None
        return Stamp(inputs, TypeAdapter(Proof | None).validate_python(document.get("proof")))
    except (OSError, ValueError, RecursionError):
        return None


def is_intact(folder: Path) -> bool:
    """Whether all files of an export are there and match `SHA256SUMS`."""
    try:
        return read_regular(folder / SUMS_FILE).decode("utf-8", "replace") == _sums(folder)
    except OSError:
        return False


def _sums(folder: Path) -> str:
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS_FILE:
            if "\n" in name or "\\" in name:
                raise ExportError(f"The file name {name!r} cannot be listed in {SUMS_FILE}.")
            lines.append(f"{sha256_file(path)}  {name}\n")
    return "".join(lines)
