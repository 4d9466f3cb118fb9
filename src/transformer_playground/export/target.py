"""The interface of export targets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transformer_playground.export.evidence import Evidence
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.proof import Proof, Reader, prove
from transformer_playground.export.request import ExportRequest


@dataclass(frozen=True)
class Written:
    """A written export that is to be proven.

    Attributes:
        folder: Where the files are.
        source: The model, with its weights rounded as they were written.
        bits_before: Bits per byte before rounding; None without validation text.
    """

    folder: Path
    request: ExportRequest
    source: Exportable
    evidence: Evidence
    bits_before: float | None

    def prove(self, reader: Reader, *, tolerance: float) -> Proof:
        """Compare the export, opened by a reader, with the model: see `proof.prove`.

        Raises:
            ExportError: They differ.
        """
        return prove(
            self.source,
            self.evidence,
            reader,
            tolerance=tolerance,
            bits_before=self.bits_before,
        )


class Target(Protocol):
    """A format that models are exported to; an instance is one export."""

    def check(self, subject: Subject, request: ExportRequest) -> None:
        """Check that the model and its tokenizer can be written, before the model is built.

        Raises:
            ExportError: They cannot; the sentence names the setting, the hint the nearest that can.
        """
        ...

    def write(self, source: Exportable, folder: Path, request: ExportRequest) -> None:
        """Write all files into an empty folder.

        Calls `source.round_weights` if the written weights are rounded.

        Raises:
            OSError: While writing.
        """
        ...

    def verify(self, written: Written) -> Proof:
        """Open the export by a program that reads it, and compare: see `proof.prove`.

        Raises:
            ExportError: It differs, or that program is missing.
        """
        ...

    def usage(self, subject: Subject, request: ExportRequest, folder: Path) -> str:
        """Markdown for the README: how the files are loaded."""
        ...
