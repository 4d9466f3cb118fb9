"""GGUF exports beside the plain case: base models, Ollama, other programs, odd names."""

import re
import stat
from pathlib import Path
from typing import Any, cast

import gguf
import pytest

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder
from builders.exports import export_and_prove, exportable
from builders.llama import prove_quickly
from builders.models import lively_model
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.data.tokenizers.huggingface import load_hub_tokenizer
from transformer_playground.errors import DataError, ExportError, UsageError
from transformer_playground.export.exportable import Exportable
from transformer_playground.export.gguf import llama_cpp
from transformer_playground.export.gguf.target import GgufTarget
from transformer_playground.export.ollama.target import OllamaTarget
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.stamp import read_stamp, write_stamp
from transformer_playground.model.gpt import GPT

GGUF = ExportRequest("gguf")
_CONTEXT = 64


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    prove_quickly(monkeypatch)


def _base_model(architecture: Architecture, folder: Path) -> Exportable:
    """A model of transformers as if adapters had been merged into it."""
    from dataclasses import replace

    from transformers import AutoModelForCausalLM

    path = build_model_folder(architecture, folder, bos=True, extra_rows=5)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = load_hub_tokenizer(HfModelConfig(model_name=str(path)))
    own = exportable(lively_model(13), folder)
    rows = model.config.vocab_size
    subject = replace(
        own.subject, config=None, vocab_size=rows, block_size=_CONTEXT, tokenizer=tokenizer
    )
    return Exportable(subject, cast("GPT", model))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_merged_base_models_are_exported_and_proven(
    architecture: Architecture, tmp_path: Path
) -> None:
    source = _base_model(architecture, tmp_path)
    proof = export_and_prove(GgufTarget(), source, tmp_path / "out", GGUF)
    assert proof.largest_difference < 5e-3
    assert proof.greedy_equal == proof.greedy_tokens
    assert proof.texts == 2


def test_an_unknown_base_model_is_refused_by_its_type(tmp_path: Path) -> None:
    source = _base_model("llama", tmp_path)
    config: Any = source.model.config
    config.model_type = "phi"
    with pytest.raises(ExportError, match="base models of the type 'phi' cannot be exported"):
        export_and_prove(GgufTarget(), source, tmp_path / "out", GGUF)


@pytest.mark.parametrize("name", ["Müller's <run> #1 / 日本", "..", "-" * 300, "plain.1"])
def test_a_name_of_odd_signs_becomes_a_plain_file_name(name: str, tmp_path: Path) -> None:
    request = ExportRequest("gguf", model_name=name, verify=False)
    source = exportable(lively_model(), tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    GgufTarget().write(source, folder, request)
    (path,) = folder.iterdir()
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,110}-f32\.gguf", path.name)
    stored = gguf.GGUFReader(path).get_field("general.name")
    assert stored is not None
    assert stored.contents() == name


def test_a_modelfile_has_the_sampling_settings_of_the_run(tmp_path: Path) -> None:
    source = exportable(lively_model(), tmp_path)
    request = ExportRequest("ollama", model_name="My Model", template="ab{{ .Prompt }}c")
    export_and_prove(OllamaTarget(), source, tmp_path / "out", request)
    lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
    assert lines[:3] == [
        "FROM ./My-Model-f32.gguf", 'TEMPLATE """ab{{ .Prompt }}c"""', "PARAMETER num_ctx 12"
    ]  # fmt: skip
    assert "PARAMETER temperature 0.8" in lines
    assert "PARAMETER top_p 1.0" in lines
    usage = OllamaTarget().usage(source.subject, request, tmp_path)
    assert "ollama create my-model -f Modelfile" in usage
    assert "The architecture is gpt2; Ollama's documentation or importer names gemma" in usage


def test_a_template_that_cannot_be_quoted_is_refused(tmp_path: Path) -> None:
    source = exportable(lively_model(), tmp_path)
    request = ExportRequest("ollama", template='a """ b')
    with pytest.raises(UsageError, match="the template cannot be written into a Modelfile"):
        OllamaTarget().check(source.subject, request)


def test_a_template_of_unknown_characters_is_refused(tmp_path: Path) -> None:
    source = exportable(lively_model(), tmp_path)
    with pytest.raises(DataError, match="lacks 'X'"):
        OllamaTarget().check(source.subject, ExportRequest("ollama", template="X{{ .Prompt }}"))


def _program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_k_quants_are_made_by_the_installed_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = exportable(lively_model(), tmp_path)
    request = ExportRequest("gguf", quantize="q4_k_m", verify=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"needs llama.cpp's llama-quantize.*q8_0"):
        GgufTarget().check(source.subject, request)

    _program(tmp_path, "llama-quantize", '/bin/cp "$1" "$2" && echo "$3" > "$2.kind"')
    folder = tmp_path / "out"
    folder.mkdir()
    GgufTarget().check(source.subject, request)
    GgufTarget().write(source, folder, request)
    assert sorted(path.name for path in folder.iterdir()) == [
        "run-q4_k_m.gguf", "run-q4_k_m.gguf.kind"
    ]  # fmt: skip
    assert (folder / "run-q4_k_m.gguf.kind").read_text() == "Q4_K_M\n"

    _program(tmp_path, "llama-quantize", "echo some lines; echo 'no space left.' >&2; exit 1")
    with pytest.raises(ExportError, match=r"llama-quantize failed: no space left. Free some disk"):
        GgufTarget().write(source, folder, request)


def test_the_commands_of_the_readme_stay_within_the_context(tmp_path: Path) -> None:
    source = exportable(lively_model(), tmp_path)
    assert source.subject.decoding.max_new_tokens > source.subject.block_size == 12
    usage = GgufTarget().usage(source.subject, GGUF, tmp_path)
    assert "llama-completion -m run-f32.gguf -no-cnv -n 8 --temp 0.8" in usage
    assert "llama-server -m run-f32.gguf -c 12 --port 8080" in usage


def test_a_k_quant_is_judged_by_its_loss_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = exportable(lively_model(), tmp_path)
    _program(tmp_path, "llama-quantize", '/bin/cp "$1" "$2"')
    monkeypatch.setenv("PATH", str(tmp_path))
    request = ExportRequest("gguf", quantize="q2_k")
    proof = export_and_prove(GgufTarget(), source, tmp_path / "out", request)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run-q2_k.gguf"]
    assert proof.tolerance is None
    write_stamp(tmp_path / "out", source.subject, request, proof)
    stamp = read_stamp(tmp_path / "out")
    assert stamp is not None
    assert stamp.proof == proof


def test_without_llama_cpp_the_hint_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = exportable(lively_model(), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(llama_cpp, "_PACKAGE", "no_such_package")
    with pytest.raises(ExportError, match=r"No llama.cpp was found.*--no-verify"):
        GgufTarget().check(source.subject, GGUF)
    GgufTarget().check(source.subject, ExportRequest("gguf", verify=False))
    _program(tmp_path, "llama-server", "exit 0")
    GgufTarget().check(source.subject, GGUF)
    with pytest.raises(ExportError, match="does not load the export"):
        export_and_prove(GgufTarget(), source, tmp_path / "out", GGUF)


def test_a_file_that_llama_cpp_does_not_load_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF and nothing else")
    with (
        pytest.raises(ExportError, match=r"does not load the export: .*error"),
        llama_cpp.serving(path, 8, plain_token=0),
    ):
        pass
