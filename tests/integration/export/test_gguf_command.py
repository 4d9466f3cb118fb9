"""`tp export --to gguf` and `--to ollama`: files, figures, and a full disk."""

import errno
from pathlib import Path
from typing import Any

import gguf
import pytest

from builders.commands import Project, Tp
from builders.llama import prove_quickly
from builders.schemas import check


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    prove_quickly(monkeypatch)


def test_a_quantised_file_says_what_rounding_costs(project: Project, tp: Tp) -> None:
    ended = tp("export", "first", "--to", "gguf", "--quantize", "q8_0", "--json", "--name", "a b")

    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("export", document)
    names = {"README.md", "SHA256SUMS", "export.json", "a-b-q8_0.gguf"}
    assert {path.name for path in (project.root / document["folder"]).iterdir()} == names
    proof = document["proof"]
    assert proof["origin"] == "validation text"
    assert proof["bits_per_byte_before"] == pytest.approx(proof["bits_per_byte_after"], abs=0.02)


def test_an_export_for_ollama_has_its_modelfile(project: Project, tp: Tp) -> None:
    ended = tp("export", "first", "--to", "ollama", "--json")

    assert ended.code == 0, ended.err
    folder: Path = project.root / ended.lines[0]["folder"]
    assert (folder / "Modelfile").read_text().startswith("FROM ./first-f32.gguf\n")
    assert "ollama create first -f Modelfile" in (folder / "README.md").read_text()


@pytest.mark.parametrize("part", ["write_header_to_file", "write_tensor_data"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    part: str, project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, part, fail)
    ended = tp("export", "first", "--to", "gguf")

    assert (ended.code, ended.out) == (1, "")
    assert "cannot be written: No space left on device" in ended.err
    exports = project.run_named("first").root / "exports"
    assert not exports.is_dir() or list(exports.iterdir()) == []
