import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder
from builders.gguf_files import write_gguf
from builders.lora_models import CPU, adapted_model, stir
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.finetuning import base_model as loading
from transformer_playground.finetuning.adapter_io import save_adapter
from transformer_playground.finetuning.base_model import (
    base_fingerprint,
    check_fingerprint,
    choose_base_precision,
    load_base,
    weight_files,
)
from transformer_playground.model.device import cpu_has_bfloat16


def _load(folder: Path, dtype: torch.dtype = torch.float32, **settings: Any) -> Any:
    return load_base(HfModelConfig(model_name=str(folder), **settings), device=CPU, dtype=dtype)


def _configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_loaded_in_the_format_asked_for(
    architecture: Architecture, dtype: torch.dtype, tmp_path: Path
) -> None:
    base = _load(build_model_folder(architecture, tmp_path), dtype)
    assert {parameter.dtype for parameter in base.parameters()} == {dtype}
    assert not base.training


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _load(build_model_folder("llama", tmp_path))
    assert capfd.readouterr() == ("", "")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _half_the_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json with a model_type"),
        (lambda folder: (folder / "config.json").write_text("{"), "JSON file"),
        (lambda folder: _configure(folder, model_type="martian"), "does not support"),
        (lambda folder: _configure(folder, model_type="vit"), "not a causal language model"),
        (lambda folder: _configure(folder, num_hidden_layers=3), r"lacks 9 of the weights.*layers"),
        (lambda folder: _configure(folder, hidden_size=64), "lacks 21 of the weights"),
        (lambda folder: _configure(folder, hidden_size="many"), "expected int, got str"),
        (_no_weights, "no weights in the safetensors format"),
        (_half_the_weights, "damaged"),
    ],
)
def test_a_broken_model_is_refused_with_its_reason(
    harm: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    folder = build_model_folder("llama", tmp_path)
    harm(folder)
    with pytest.raises(ModelError, match=told):
        _load(folder)


@pytest.mark.parametrize("alone", [True, False])
def test_a_folder_with_an_adapter_is_refused(alone: bool, tmp_path: Path) -> None:
    model = stir(adapted_model(build_model_folder("llama", tmp_path)))
    folder = tmp_path / ("adapter" if alone else "tiny-llama")
    save_adapter(model, folder)
    hf = HfModelConfig(model_name=str(folder))
    for attempt in (
        lambda: load_base(hf, device=CPU, dtype=torch.float32),
        lambda: base_fingerprint(hf),
    ):
        with pytest.raises(ModelError, match="has an adapter") as raised:
            attempt()
        assert "--merge" in raised.value.hint


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = build_model_folder("llama", tmp_path)
    (folder / "mine.py").write_text("raise SystemExit('was run')\n")
    _configure(
        folder,
        model_type="martian",
        auto_map={"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
    )
    with pytest.raises(ModelError, match="never run"):
        _load(folder)


@pytest.mark.parametrize("tie", [True, False])
@torch.inference_mode()
def test_a_gguf_file_gives_the_logits_of_the_weights_it_was_made_of_without_a_bar(
    tie: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=tie)
    (tmp_path / "gguf").mkdir()
    write_gguf(folder, tmp_path / "gguf" / "tiny.gguf")
    tokens = torch.arange(1, 20).unsqueeze(0)
    expected = _load(folder)(input_ids=tokens).logits
    capfd.readouterr()
    base = _load(tmp_path / "gguf", gguf_file="tiny.gguf")
    assert capfd.readouterr() == ("", "")
    base.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(_load(tmp_path / "again")(input_ids=tokens).logits, expected)
    torch.testing.assert_close(base(input_ids=tokens).logits, expected)


def test_a_file_that_is_no_gguf_is_called_so(tmp_path: Path) -> None:
    folder = build_model_folder("llama", tmp_path)
    (folder / "m.gguf").write_text("no")
    with pytest.raises(ModelError, match=r"m\.gguf .*is not a GGUF file"):
        _load(folder, gguf_file="m.gguf")
    with pytest.raises(ModelError, match=r"no file other\.gguf"):
        _load(folder, gguf_file="other.gguf")


def test_a_tiny_model_stays_in_float32_on_the_cpu(tmp_path: Path) -> None:
    hf = HfModelConfig(model_name=str(build_model_folder("llama", tmp_path)))
    precision = choose_base_precision(hf, CPU)
    assert precision.dtype == torch.float32
    assert "this CPU" in precision.reason or "too small" in precision.reason


def test_a_large_model_takes_bfloat16_where_the_cpu_multiplies_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf = HfModelConfig(model_name=str(build_model_folder("llama", tmp_path)))
    monkeypatch.setattr(loading, "_SMALL_FILES", 10)
    expected = torch.bfloat16 if cpu_has_bfloat16() else torch.float32
    assert choose_base_precision(hf, CPU).dtype == expected


def test_float32_is_said_to_be_the_choice_on_mps() -> None:
    hf = HfModelConfig(model_name="some/model")
    precision = choose_base_precision(hf, torch.device("mps"))
    assert precision.dtype == torch.float32
    assert "MPS" in precision.reason


def test_a_stated_format_is_taken_and_needs_no_model() -> None:
    hf = HfModelConfig(model_name="some/model", dtype="bfloat16")
    assert choose_base_precision(hf, CPU).dtype == torch.bfloat16


def test_float16_is_for_cuda() -> None:
    hf = HfModelConfig(model_name="some/model", dtype="float16")
    assert choose_base_precision(hf, torch.device("cuda")).dtype == torch.float16
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        choose_base_precision(hf, CPU)


def _fingerprint(folder: Path) -> str:
    return base_fingerprint(HfModelConfig(model_name=str(folder)))


def _split(folder: Path) -> None:
    """Spread the weights over two files."""
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    index: dict[str, str] = {}
    for part in range(2):
        name = f"model-{part}.safetensors"
        chosen = {key: tensors[key] for key in sorted(tensors)[part::2]}
        save_file(chosen, folder / name, metadata={"format": "pt"})
        index |= dict.fromkeys(chosen, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def test_the_same_weights_elsewhere_have_the_same_fingerprint(tmp_path: Path) -> None:
    first = build_model_folder("qwen2", tmp_path / "a")
    second = build_model_folder("qwen2", tmp_path / "b")
    assert _fingerprint(first) == _fingerprint(second)


def test_how_weights_are_spread_over_files_does_not_matter(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    whole = _fingerprint(folder)
    _split(folder)
    assert len(weight_files(HfModelConfig(model_name=str(folder)))) == 2
    assert _fingerprint(folder) == whole


def test_other_weights_of_the_same_shape_have_another_fingerprint(tmp_path: Path) -> None:
    first = build_model_folder("qwen2", tmp_path / "a")
    second = build_model_folder("qwen2", tmp_path / "b", seed=1)
    assert _fingerprint(first) != _fingerprint(second)


@pytest.mark.parametrize("name", ["model.layers.1.self_attn.v_proj.weight", "model.norm.weight"])
def test_a_variant_trained_in_one_place_has_another_fingerprint(tmp_path: Path, name: str) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    before = _fingerprint(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = tensors[name] * 1.001
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert _fingerprint(folder) != before


def test_a_gguf_file_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 40)
    hf = HfModelConfig(model_name=str(tmp_path), gguf_file="m.gguf")
    before = base_fingerprint(hf)
    assert base_fingerprint(hf) == before
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 39 + bytes(256))
    assert base_fingerprint(hf) != before


def test_another_base_model_is_refused(tmp_path: Path) -> None:
    first = build_model_folder("qwen2", tmp_path / "a")
    second = build_model_folder("qwen2", tmp_path / "b", seed=1)
    expected = _fingerprint(first)
    check_fingerprint(HfModelConfig(model_name=str(first)), expected)
    with pytest.raises(ModelError, match="belongs to another base model"):
        check_fingerprint(HfModelConfig(model_name=str(second)), expected)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights in the safetensors format"):
        _fingerprint(tmp_path)
