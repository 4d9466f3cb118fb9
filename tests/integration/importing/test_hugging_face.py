"""Import after export gives the same weights; what our model has not is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from builders.corpora import STORY
from builders.exports import VALUES, all_pairs, exportable
from builders.models import lively_model
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.data.tokenizers.sentencepiece import train
from transformer_playground.errors import ModelError, PlaygroundError
from transformer_playground.export.hf import mapping
from transformer_playground.export.hf.target import HuggingFaceTarget
from transformer_playground.export.matching import features
from transformer_playground.export.request import ExportRequest
from transformer_playground.importing.hf_tokenizer import is_same_tokenizer
from transformer_playground.importing.huggingface import read_huggingface
from transformer_playground.importing.run import import_model
from transformer_playground.model.gpt import GPT
from transformer_playground.runs.generation import draw, load_run
from transformer_playground.runs.generation_request import SampleRequest

ROPE = {"positional_encoding": "rope"}
RMS = {"norm": "rmsnorm", "activation": "swiglu"}
CLASSES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {"bias": True, "n_kv_head": 2},
    "Starcoder2ForCausalLM": ROPE | {"attention_window": 3, "n_kv_head": 2},
    "StableLmForCausalLM": ROPE | {"activation": "swiglu"},
    "GPTNeoXForCausalLM": ROPE | {"parallel_residual": True, "bias": True},
    "MptForCausalLM": {"positional_encoding": "alibi", "mlp_ratio": 2.0},
    "LlamaForCausalLM": ROPE | RMS | {"bias": True},
    "MistralForCausalLM": ROPE | RMS | {"attention_window": 3},
    "Qwen3ForCausalLM": ROPE | RMS | {"qk_norm": True, "tie_embeddings": False},
    "ArceeForCausalLM": ROPE | {"norm": "rmsnorm", "activation": "relu2"},
}


def export(model: GPT, folder: Path, tokenizer: Tokenizer | None = None) -> Path:
    """Write a folder, without the proof."""
    source = exportable(model, folder, tokenizer)
    out = folder / "out"
    out.mkdir(parents=True)
    HuggingFaceTarget().write(source, out, ExportRequest("hf"))
    return out


def assert_same(model: GPT, folder: Path) -> None:
    foreign = read_huggingface(folder)
    table = model.config.model_validate(foreign.model_args)
    assert table.mlp_hidden == model.config.mlp_hidden or not table.mlp_enabled
    # Several ratios give the same hidden size.
    same_ratio = table.model_copy(update={"mlp_ratio": model.config.mlp_ratio})
    assert features(same_ratio) == features(model.config)
    own = dict(model.named_parameters())
    assert foreign.weights.keys() == own.keys()
    for name, tensor in own.items():
        assert torch.equal(foreign.weights[name], tensor), name


@pytest.mark.parametrize("name", CLASSES)
def test_weights_come_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = lively_model(**CLASSES[name])
    out = export(model, tmp_path)
    assert json.loads((out / "config.json").read_text())["architectures"] == [name]
    assert_same(model, out)


@pytest.mark.parametrize("row", mapping.CLASSES, ids=lambda row: row.name)
def test_settings_of_every_kind_come_back(row: mapping.HfClass, tmp_path: Path) -> None:
    def effect(name: str, value: Any) -> Any:
        return None if name in ("attention_window", "logit_softcap") and not value else value

    values = {
        name: tuple(
            value
            for value in known
            if effect(name, value) in row.allowed.get(name, (effect(name, value),))
        )
        for name, known in VALUES.items()
    }
    for number, config in enumerate(all_pairs(values)[::3]):
        # The first class that fits may be another one.
        if mapping.choose_class(config).name == row.name:
            model = lively_model(config=config)
            assert_same(model, export(model, tmp_path / str(number)))


def test_an_imported_folder_samples_as_the_run_it_came_from(tmp_path: Path) -> None:
    tokenizer = CharTokenizer("abcdefghijkl\n")
    model = lively_model(**CLASSES["LlamaForCausalLM"])
    foreign = read_huggingface(export(model, tmp_path, tokenizer))
    made = import_model(foreign, tmp_path / "runs", origin=None)
    loaded = load_run(made.run, SampleRequest(prompt="ab", seed=3, max_new_tokens=30))
    (row,) = draw(loaded)
    tokens = torch.tensor([row["prompt_tokens"] + row["tokens"][:5]])
    torch.testing.assert_close(loaded.model(tokens), model(tokens), rtol=0, atol=0)
    assert made.tokenizer == "char"
    assert not made.has_optimizer_state


@pytest.mark.parametrize("kind", ["char", "gpt2", "bpe", "unigram"])
def test_the_tokenizer_comes_back(kind: str, tmp_path: Path) -> None:
    lines = [STORY, "a\ttab", "äöü über"]
    own: Tokenizer
    match kind:
        case "char":
            own = CharTokenizer("abcdefghijkl\n")
        case "gpt2":
            own = Gpt2Tokenizer()
        case _:
            own = train(
                iter(lines),
                vocab_size=320,
                algorithm=kind,  # type: ignore[arg-type]
                character_coverage=1.0,
            )
    model = lively_model(own.vocab_size, n_embd=8, n_layer=1)
    tokenizer = read_huggingface(export(model, tmp_path, own)).tokenizer
    assert tokenizer is not None
    assert is_same_tokenizer(tokenizer, own)
    assert tokenizer.eos_id == own.eos_id
    text = "abc" if kind == "char" else "the dog\n and  über 🙂 </s>"
    assert tokenizer.encode(text) == own.encode(text)
    assert not is_same_tokenizer(tokenizer, CharTokenizer("xyz"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("LlamaForCausalLM", {"architectures": ["FalconForCausalLM"]}, "architecture Falcon"),
        ("LlamaForCausalLM", {"architectures": None}, "architecture none"),
        ("LlamaForCausalLM", {"hidden_act": "tanh"}, "activation 'tanh'"),
        ("LlamaForCausalLM", {"mlp_bias": False}, "mlp_bias = False"),
        ("LlamaForCausalLM", {"head_dim": 8}, "head_dim = 8"),
        (
            "LlamaForCausalLM",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
            "rope_parameters",
        ),
        (
            "GPTNeoXForCausalLM",
            {"use_parallel_residual": False},
            "use_parallel_residual = False",
        ),
        ("GPT2LMHeadModel", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by"),
    ],
)
def test_what_our_model_has_not_is_refused_by_name(
    name: str, changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    out = export(lively_model(**CLASSES[name]), tmp_path)
    change_config(out, **changes)
    with pytest.raises(ModelError, match=sentence):
        read_huggingface(out)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("Qwen3ForCausalLM", "model.layers.1.self_attn.q_norm.weight"),
        # A second norm where ours has one for both: the first of the two is found to differ.
        ("GPTNeoXForCausalLM", "gpt_neox.layers.0.input_layernorm.weight"),
        ("Starcoder2ForCausalLM", "model.norm.bias"),
    ],
)
def test_values_that_our_model_has_not_are_refused_by_the_name_of_the_tensor(
    name: str, tensor: str, tmp_path: Path
) -> None:
    out = export(lively_model(**CLASSES[name]), tmp_path)
    tensors = load_file(out / "model.safetensors")
    tensors[tensor] = tensors[tensor] + 0.5
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=tensor.replace(".", r"\.")):
        read_huggingface(out)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    out = export(lively_model(**CLASSES["LlamaForCausalLM"]), tmp_path)
    tensors = load_file(out / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"model\.norm\.weight"):
        read_huggingface(out)


@pytest.mark.parametrize("damage", ["config", "weights", "tokenizer"])
def test_damage_is_one_sentence(damage: str, tmp_path: Path) -> None:
    out = export(lively_model(**CLASSES["LlamaForCausalLM"]), tmp_path)
    name = {"config": "config.json", "weights": "model.safetensors"}
    (out / name.get(damage, "tokenizer.json")).write_text("{")
    with pytest.raises(PlaygroundError) as caught:
        read_huggingface(out)
    assert "\n" not in caught.value.message


def test_without_a_tokenizer_the_reason_is_said(tmp_path: Path) -> None:
    out = export(lively_model(**CLASSES["LlamaForCausalLM"]), tmp_path)
    (out / "tokenizer.json").unlink()
    foreign = read_huggingface(out)
    assert foreign.tokenizer is None
    with pytest.raises(PlaygroundError, match=r"there is no tokenizer\.json"):
        import_model(foreign, tmp_path / "runs", origin=None)
    assert not (tmp_path / "runs").exists()


def test_a_window_as_long_as_the_context_is_none(tmp_path: Path) -> None:
    model = lively_model(**CLASSES["MistralForCausalLM"] | {"attention_window": None})
    out = export(model, tmp_path)
    change_config(
        out, architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=64
    )
    assert read_huggingface(out).model_args["attention_window"] is None
