"""Export of a run: check, write beside the target, prove, then rename into place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer_playground.errors import ExportError, UsageError
from transformer_playground.export.evidence import collect_evidence
from transformer_playground.export.exportable import (
    Progress,
    Subject,
    load_exportable,
    read_subject,
)
from transformer_playground.export.proof import Proof
from transformer_playground.export.readme import README_FILE, readme_text
from transformer_playground.export.registry import load_target
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.staging import (
    already_there,
    remove_leftovers,
    staged_folder,
)
from transformer_playground.export.stamp import inputs_of, is_intact, read_stamp, write_stamp
from transformer_playground.export.target import Target, Written
from transformer_playground.files import replace_text
from transformer_playground.formatting import size_text
from transformer_playground.model.device import is_out_of_memory
from transformer_playground.runs.folder import RunFolder


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Attributes:
        up_to_date: Whether it was there already, so that nothing was written.
        proof: The comparison with the run; None with --no-verify.
    """

    run_id: str
    target: str
    weights: str
    folder: Path
    checkpoint: str
    step: int
    size: int
    files: tuple[str, ...]
    up_to_date: bool
    proof: Proof | None

    def as_json(self) -> dict[str, Any]:
        """The document of `tp export --json`, without the schema version."""
        return {
            "run_id": self.run_id,
            "target": self.target,
            "weights": self.weights,
            "folder": str(self.folder),
            "checkpoint": self.checkpoint,
            "step": self.step,
            "bytes": self.size,
            "files": list(self.files),
            "up_to_date": self.up_to_date,
            "proof": None if self.proof is None else self.proof.as_json(),
        }

    def sentences(self) -> list[str]:
        """The result for people, one line each."""
        what = f"{self.target} ({self.weights}) of step {self.step:,}"
        if self.up_to_date:
            result = f"{what} is up to date: {self.folder}"
        else:
            result = f"{what} ({size_text(self.size)}): {self.folder}"
        return [result] if self.proof is None else [result, self.proof.sentence()]


def export_run(
    run: RunFolder, request: ExportRequest, *, progress: Progress = lambda _: None
) -> Exported:
    """Export a checkpoint of a run.

    Args:
        run: The run; a folder with a nanoGPT checkpoint will do.
        request: What to write.
        progress: Called with a sentence before each part.

    Raises:
        UsageError: An option does not apply, or the folder exists.
        ExportError: The model cannot be written in this format, writing failed, or the export
            differs from the run; no folder is left.
        PlaygroundError: The checkpoint, the dataset or the base model cannot be used.
    """
    request.check()
    target = load_target(request.target)
    progress(f"reading the checkpoint of {run.run_id}")
    subject = read_subject(run, request)
    for notice in subject.notices:
        progress(notice)
    target.check(subject, request)
    folder = _folder(run, subject, request)
    remove_leftovers(folder)
    if _is_current(folder, subject, request):
        stamp = read_stamp(folder)
        known = None if stamp is None else stamp.proof
        return _exported(folder, subject, request, known, up_to_date=True)
    try:
        proof = _write(target, folder, subject, request, progress)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ExportError(
            "There is not enough memory to export the model.", "Free memory, then try again."
        ) from error
    return _exported(folder, subject, request, proof, up_to_date=False)


def _folder(run: RunFolder, subject: Subject, request: ExportRequest) -> Path:
    if request.out is not None:
        return request.out
    if request.export_dir is not None:
        return request.export_dir / (request.model_name or f"{run.run_id}-{request.target}")
    parts = [request.target, f"step-{subject.step}"]
    if request.weights != request.info.dtypes[0]:
        parts.append(request.weights)
    if request.custom_code:
        parts.append("custom-code")
    return run.root / "exports" / "-".join(parts)


def _is_current(folder: Path, subject: Subject, request: ExportRequest) -> bool:
    """Whether the folder has this export already.

    Raises:
        UsageError: It has something else, which is not replaced.
    """
    if not os.path.lexists(folder):
        return False
    stamp = None if folder.is_symlink() else read_stamp(folder)
    if stamp is None:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            return False
        raise UsageError(
            f"{folder} already exists and is not a complete export, so it is not replaced.",
            "Choose another folder with --out.",
        )
    inputs = inputs_of(subject, request)
    if stamp.inputs == inputs and is_intact(folder):
        return True
    same = all(stamp.inputs.get(key) == inputs[key] for key in ("run_id", "target"))
    if not request.force and not (request.replace_own and same):
        raise already_there(
            folder, "It is another export, or was changed: replace it with --force, or use --out."
        )
    return False


def _write(
    target: Target, folder: Path, subject: Subject, request: ExportRequest, progress: Progress
) -> Proof | None:
    evidence = collect_evidence(subject, request) if request.verify else None
    if evidence is not None and evidence.notice:
        progress(f"compared on random tokens: {evidence.notice}")
    source = load_exportable(subject, request)
    before = None if evidence is None else evidence.bits_per_byte(source.logits, subject.tokenizer)
    # An existing folder may be replaced, or it would have been refused.
    with staged_folder(folder, replace=folder.is_dir()) as staged:
        progress(f"writing {request.target} ({request.weights})")
        target.write(source, staged, request)
        proof = None
        if evidence is not None:
            progress("comparing the export with the run")
            proof = target.verify(Written(staged, request, source, evidence, before))
        usage = target.usage(source.subject, request, folder)
        text = readme_text(source.subject, request, proof, usage=usage)
        replace_text(staged / README_FILE, text)
        write_stamp(staged, source.subject, request, proof)
    return proof


def _exported(
    folder: Path,
    subject: Subject,
    request: ExportRequest,
    proof: Proof | None,
    *,
    up_to_date: bool,
) -> Exported:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return Exported(
        run_id=subject.run.run_id,
        target=request.target,
        weights=request.weights,
        folder=folder,
        checkpoint=subject.checkpoint.name,
        step=subject.step,
        size=sum(path.stat().st_size for path in files),
        files=tuple(path.relative_to(folder).as_posix() for path in files),
        up_to_date=up_to_date,
        proof=proof,
    )
