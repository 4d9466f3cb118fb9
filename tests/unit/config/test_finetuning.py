"""The tables of kind = lora, and settings that one of the two kinds rejects."""

from pathlib import Path

import pytest

from builders.configs import write_experiment
from transformer_playground.config.loading import LoadedConfig, load_config
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import ConfigError

LORA = """\
[experiment]
kind = "lora"
[prepare]
tokenizer_type = "huggingface"
[hf_model]
model_name = "Qwen/Qwen2.5-1.5B"
"""


def _load(tmp_path: Path, *overrides: str, text: str = LORA) -> LoadedConfig:
    folder = write_experiment(tmp_path / "experiments", "x", text)
    return load_config(folder / "config.toml", overrides=overrides, project=tmp_path)


def _refusal(tmp_path: Path, *overrides: str, text: str = LORA) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, *overrides, text=text)
    return caught.value.message


def test_a_lora_experiment_only_has_to_name_its_base_model(tmp_path: Path) -> None:
    config = _load(tmp_path).config
    assert config.hf_model.model_name == "Qwen/Qwen2.5-1.5B"
    assert (config.peft.r, config.peft.lora_alpha, config.peft.lora_dropout) == (8, 16, 0.05)
    assert config.peft.auto_targets


def test_a_dumped_lora_configuration_validates_to_an_equal_one(tmp_path: Path) -> None:
    config = _load(tmp_path, 'peft.target_modules=["q_proj", "v_proj"]').config
    assert ExperimentConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("flag", "targets"),
    [("auto", ("auto",)), ("q_proj", ("q_proj",)), ('["q_proj", "o_proj"]', ("q_proj", "o_proj"))],
)
def test_targets_are_a_list_or_one_word(
    tmp_path: Path, flag: str, targets: tuple[str, ...]
) -> None:
    peft = _load(tmp_path, f"peft.target_modules={flag}").config.peft
    assert peft.target_modules == targets
    assert peft.auto_targets == (targets == ("auto",))


def test_the_training_block_size_defaults_to_the_context_of_the_base_model(tmp_path: Path) -> None:
    assert _load(tmp_path).config.train_block_size == 256
    assert _load(tmp_path, "hf_model.block_size=32").config.train_block_size == 32
    assert _load(tmp_path, "train.data.block_size=100").config.train_block_size == 100


def test_the_training_block_size_never_exceeds_the_context_of_the_base_model(
    tmp_path: Path,
) -> None:
    message = _refusal(tmp_path, "train.data.block_size=257")
    assert "train.data.block_size = 257 is longer than hf_model.block_size = 256" in message


@pytest.mark.parametrize("name", ["./base", "../x/base", "."])
def test_a_local_base_model_is_relative_to_its_config_file(tmp_path: Path, name: str) -> None:
    text = LORA.replace("Qwen/Qwen2.5-1.5B", name)
    expected = (tmp_path / "experiments" / "x" / name).resolve()
    assert _load(tmp_path, text=text).config.hf_model.model_name == str(expected)


def test_a_local_base_model_of_a_flag_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = _load(tmp_path, "hf_model.model_name=./base").config.hf_model
    assert model.model_name == str(tmp_path.resolve() / "base")


def test_an_absolute_path_of_a_base_model_may_be_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = (tmp_path / "home").resolve()
    monkeypatch.setenv("HOME", str(home))
    assert _load(tmp_path, "hf_model.model_name=~/b").config.hf_model.model_name == f"{home}/b"
    assert _load(tmp_path, "hf_model.model_name=/b/c").config.hf_model.model_name == "/b/c"


def test_a_relative_path_of_a_base_model_may_not_leave_the_project(tmp_path: Path) -> None:
    text = LORA.replace("Qwen/Qwen2.5-1.5B", "../../../base")
    assert "hf_model.model_name = " in (message := _refusal(tmp_path, text=text))
    assert "is outside the project" in message


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("hf_model.model_name=''", "needs hf_model.model_name"),
        ("model.n_layer=3", "model.n_layer describe a model trained from scratch"),
        ("model.dropout=0.1", "peft.lora_dropout"),
        ("train.optim.optimizer=muon", "use 'adamw'"),
        ("train.runtime.compile=true", "set compile = false"),
        ("train.runtime.dtype=bfloat16", "hf_model.dtype is the dtype"),
        ("train.runtime.dtype=float32", "hf_model.dtype is the dtype"),
        ("sample.runtime.quantization=int8", "not supported with kind = 'lora'"),
        ("prepare.tokenizer_type=char", "set it to 'huggingface'"),
        ("prepare.val_split=text_end", "holds out whole documents"),
        ("prepare.doc_separator='two words'", "cannot be a token"),
        ('prepare.doc_separator="\\n***\\n"', "cannot be a token"),
        ("peft.r=0", "peft.r = 0 must be a whole number, at least 1"),
        ("peft.lora_alpha=0", "peft.lora_alpha = 0 must be a whole number, at least 1"),
        ("peft.lora_dropout=1", "less than 1"),
        ("peft.lora_dropout=-0.1", "at least 0"),
        ("peft.bias=some", '"none", "all", "lora_only"'),
        ("peft.target_modules=[]", "has no or an empty name"),
        ('peft.target_modules=[""]', "has no or an empty name"),
        ('peft.target_modules=["auto", "q_proj"]', "mixes"),
        ("peft.target_modules=3", "peft.target_modules = 3 must be a list of texts"),
        ('peft.modules_to_save=[""]', "empty name"),
        ("hf_model.block_size=0", "at least 1"),
        ("hf_model.revision=''", 'hf_model.revision = "" must be text, not empty'),
    ],
)
def test_settings_that_finetuning_does_not_support_are_rejected(
    tmp_path: Path, override: str, complaint: str
) -> None:
    assert complaint in _refusal(tmp_path, override)


@pytest.mark.parametrize("separator", ["' '", '"\\n\\n"', "''", "'<|endofspeech|>'", "'</s>'"])
def test_the_end_token_of_a_lora_experiment_is_white_space_or_one_word(
    tmp_path: Path, separator: str
) -> None:
    assert _load(tmp_path, f"prepare.doc_separator={separator}")


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_float16_weights_need_cuda(tmp_path: Path, device: str) -> None:
    message = _refusal(tmp_path, "hf_model.dtype=float16", f"train.runtime.device={device}")
    assert f"needs a CUDA device, not {device}" in message
    for fine in ("cuda", "auto"):
        assert _load(tmp_path, "hf_model.dtype=float16", f"train.runtime.device={fine}")


def test_a_revision_requires_a_model_of_the_hub(tmp_path: Path) -> None:
    assert _load(tmp_path, "hf_model.revision=main").config.hf_model.revision == "main"
    message = _refusal(tmp_path, "hf_model.revision=main", "hf_model.model_name=/models/base")
    assert "model_name is a folder" in message


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("hf_model.model_name=Qwen/Qwen2.5-1.5B", "hf_model.model_name only have an effect"),
        ("hf_model.packing=false", "hf_model.packing only have an effect"),
        ("peft.r=4", "peft.r only have an effect"),
        ("prepare.tokenizer_type=huggingface", "use 'char', 'gpt2' or 'sentencepiece'"),
        ("prepare.columns.speech=Text", "prepare.columns.speech only have an effect"),
        ("prepare.conditioning_header=false", "prepare.conditioning_header only have"),
    ],
)
def test_a_model_trained_from_scratch_rejects_settings_of_finetuning(
    tmp_path: Path, override: str, complaint: str
) -> None:
    assert complaint in _refusal(tmp_path, override, text="")


def test_a_conflict_between_kinds_names_the_source_of_each_setting(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "model.n_layer=3", "model.n_embd=8")
    assert "model.n_layer, model.n_embd describe" in message
    assert "experiment.kind: " in message
    assert "model.n_layer: --set" in message
