"""Finetuned models, plain files and ONNX."""

from pathlib import Path
from typing import Any

import pytest
import torch

from builders.base_models import Architecture
from builders.commands import Project, Tp, in_process
from builders.exports import export_and_prove, exportable
from builders.finetuning import CONFIG as FINETUNING
from builders.finetuning import make_finetuning_project
from builders.models import lively_model
from transformer_playground.cli.main import main
from transformer_playground.export.plain import PlainTarget
from transformer_playground.export.request import ExportRequest


@pytest.mark.parametrize(
    "settings", [{}, {"norm_position": "post", "positional_encoding": "alibi"}]
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_plain_files_hold_the_very_weights(
    dtype: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    source = exportable(lively_model(**settings), tmp_path)
    proof = export_and_prove(
        PlainTarget(), source, tmp_path / "out", ExportRequest("safetensors", dtype=dtype)
    )
    assert proof.largest_difference < 1e-6


@pytest.mark.parametrize(
    "settings",
    [
        {"positional_encoding": "rope", "attention_window": 3, "qk_norm": True, "n_kv_head": 2},
        {"norm_position": "post", "positional_encoding": "alibi", "logit_softcap": 15.0},
    ],
)
def test_a_graph_gives_the_same_logits_for_contexts_of_any_length(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    from transformer_playground.export.onnx import OnnxTarget, open_graph

    source = exportable(lively_model(**settings), tmp_path)
    proof = export_and_prove(OnnxTarget(), source, tmp_path / "out", ExportRequest("onnx"))
    assert proof.largest_difference < 1e-5
    reader = open_graph(tmp_path / "out", 13)
    for shape in ((1, 1), (3, 2), (1, 12)):
        tokens = torch.randint(13, shape, generator=torch.Generator().manual_seed(0))
        expected = source.logits(tokens).log_softmax(-1)
        torch.testing.assert_close(reader.logprobs(tokens), expected, atol=1e-5, rtol=0)


def test_missing_packages_are_named_with_the_command_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from transformer_playground.errors import ExportError
    from transformer_playground.export.onnx import OnnxTarget

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ExportError, match=r"onnx, onnxscript, onnxruntime.*playground\[export\]"):
        OnnxTarget().check(exportable(lively_model(), tmp_path).subject, ExportRequest("onnx"))


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "gemma3"])
def test_a_finetuned_model_is_merged_and_proven(
    architecture: Architecture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM

    project = make_finetuning_project(tmp_path / "project", architecture=architecture)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        assert main(["loop", "tiny", "--run-id", "first"]) == 0
    ended = in_process(project, capsys, "export", "first", "--to", "hf", "--out", "out", "--json")

    assert ended.code == 0, ended.err
    proof = ended.lines[0]["proof"]
    assert (proof["origin"], proof["texts"]) == ("validation text", 2)
    assert proof["greedy_equal"] == proof["greedy_tokens"]
    loaded: Any = AutoModelForCausalLM.from_pretrained(project.root / "out")
    assert loaded.config.model_type.startswith(architecture)
    for other in ("onnx", "safetensors"):
        refused = in_process(project, capsys, "export", "first", "--to", other)
        assert (refused.code, "for models trained from scratch" in refused.err) == (1, True)


def test_a_model_of_characters_can_be_pretrained_here_and_finetuned_here(
    project: Project, tp: Tp
) -> None:
    assert tp("export", "first", "--to", "hf", "--out", "base").code == 0
    experiment = project.root / "experiments" / "tuned"
    (experiment / "raw").mkdir(parents=True)
    lines = "\n".join(f"{number} bottles fall." for number in range(30))
    (experiment / "raw" / "lines.txt").write_text(lines)
    config = FINETUNING.replace("./tiny-qwen2", str(project.root / "base"))
    config = config.replace("block_size = 24", "block_size = 16").replace("The cat", "1 bo")
    config = config.replace("[hf_model]", 'doc_separator = "<|end|>"\n\n[hf_model]', 1)
    (experiment / "config.toml").write_text(config)
    ended = tp("loop", "tuned", "--run-id", "second", "--json")

    assert ended.code == 0, ended.err
    assert "tiny" not in ended.err
    unknown = tp("generate", "--run-id", "second", "--prompt", "Ω\t")
    assert (unknown.code, "lacks" in unknown.err) == (1, True)
    assert "'Ω'" in unknown.err
    assert tp("export", "second", "--to", "hf").code == 0
