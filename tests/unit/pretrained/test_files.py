import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from builders.pretrained import build_model_folder
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.errors import ModelError
from transformer_playground.pretrained.files import (
    base_fingerprint,
    check_fingerprint,
    weight_files,
)


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
