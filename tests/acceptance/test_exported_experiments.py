"""The shipped experiments, trained small, generate the same text in transformers and llama.cpp."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.base_models import Architecture, build_model_folder
from builders.commands import Ended, Project, Tp, in_process
from builders.llama import prove_quickly
from builders.nanogpt import Reference, nanogpt_checkpoint, write_meta
from transformer_playground.export.gguf.llama_cpp import serving
from transformer_playground.runs.generation_request import load_run_tokenizer

SHIPPED = Path(__file__).parents[2] / "experiments"
OWN = (
    "bundestag_char",
    "bundestag_tiktoken",
    "induction",
    "phrases",
    "shakespeare",
    "shakespeare_char",
    "shakespeare_char_fast",
    "shakespeare_char_laptop",
)
# No class of transformers has qk_norm beside relu2.
CUSTOM = ("shakespeare", "shakespeare_char_fast", "shakespeare_char_laptop")
# Nor llama.cpp an architecture with GELU beside rmsnorm.
NOT_GGUF = ("phrases",)
# Log-probabilities of 50,257 tokens take seconds to compare; the texts are compared all the same.
UNPROVEN = ("bundestag_tiktoken", "shakespeare")
# Each with a base model of the architecture that it names.
FINETUNED: dict[str, Architecture] = {
    "bundestag_finetuning_mps": "llama",
    "bundestag_qwen15b_lora_mps": "qwen2",
    "speakger": "gemma3",
}
PROMPT = "The"
TOKENS = 12
ENGLISH = "The cat sat by the wheel {} times and watched the water go round.\n"
GERMAN = "Präsidentin: The cat „Größe“ sat by the wheel {} times – watched the water go round.\n"
HEADER = "Rede,Redner,Partei,Datum,Thema\n"
SPEECH = "The cat sat by the wheel {} times.,Erika Beispiel,A,03.03.1998,Haushalt\n"

SMALL: dict[str, object] = {
    "train.data.batch_size": 4,
    "train.data.grad_accum_steps": 1,
    "train.optim.learning_rate": 1e-2,
    "train.schedule.warmup_iters": 2,
    "train.runtime.max_iters": 20,
    "train.runtime.eval_interval": 20,
    "train.runtime.eval_windows": 2,
    "train.runtime.sample_interval": 0,
    "train.runtime.device": "cpu",
    "train.runtime.tensorboard": "false",
    "train.runtime.auto_plot": "false",
    "train.runtime.auto_report": "false",
}
SMALL_OWN = SMALL | {"model.n_layer": 2, "model.n_embd": 32, "model.block_size": 32}
SMALL_FINETUNED = SMALL | {
    "prepare.fetch": "[]",
    "hf_model.block_size": 48,
    "hf_model.dtype": "float32",
    "hf_model.gradient_checkpointing": "false",
    "peft.r": 4,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    prove_quickly(monkeypatch, positions=8)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without experiments."""
    experiments = tmp_path / "project" / "experiments"
    experiments.mkdir(parents=True)
    shutil.copy(SHIPPED / "default_config.toml", experiments)
    return Project(tmp_path / "project")


@pytest.fixture
def tp(project: Project, capsys: pytest.CaptureFixture[str]) -> Tp:
    """Commands in the folder of `project`, which must succeed."""

    def call(*words: object) -> Ended:
        ended = in_process(project, capsys, *words)
        assert ended.code == 0, ended.err
        return ended

    return call


def copy_experiment(project: Project, name: str, raw: str, *texts: str) -> None:
    """Copy a shipped experiment, and give it small texts; `raw` is the name of their files."""
    folder = project.root / "experiments" / name
    ignored = shutil.ignore_patterns("raw", "datasets", "__pycache__")
    shutil.copytree(SHIPPED / name, folder, ignore=ignored)
    (folder / "raw").mkdir()
    for number, text in enumerate(texts):
        (folder / "raw" / raw.format(number)).write_text(text, encoding="utf-8")


def train(tp: Tp, name: str, settings: dict[str, object]) -> None:
    """Train the run `first` of an experiment."""
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    tp("loop", name, "--run-id", "first", *words)


def greedy_sample(tp: Tp, count: int) -> tuple[str, list[int]]:
    """The text and the tokens that `tp sample` adds to the prompt."""
    words = ("--temperature", 0, "--max-new-tokens", count, "--n-samples", 1, "--json")
    ended = tp("sample", "first", "--prompt", PROMPT, *words)
    (sample,) = [line for line in ended.lines if line["event"] == "sample"]
    assert sample["tokens"]
    return sample["text"], sample["tokens"]


def text_of_transformers(folder: Path, count: int, *, custom: bool) -> str:
    """The prompt and what plain transformers adds to it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=custom)
    tokens = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
    greedy = {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    with torch.inference_mode():
        found = model.generate(**tokens, **greedy, max_new_tokens=count)
    return str(tokenizer.decode(found[0], skip_special_tokens=True))


def tokens_of_llama_cpp(folder: Path, context: int, count: int) -> list[int]:
    """The tokens that llama.cpp adds to the prompt."""
    (path,) = folder.glob("*.gguf")
    with serving(path, context, plain_token=0) as client:
        return client.draw(PROMPT, n_predict=count, temperature=0)


def check_transformers(
    project: Project, tp: Tp, *, count: int = TOKENS, custom: bool = False, proven: bool = True
) -> None:
    """Export the run `first`, and compare what transformers generates with `tp sample`."""
    text, _ = greedy_sample(tp, count)
    words = ["--custom-code"] * custom + ["--no-verify"] * (not proven)
    tp("export", "first", "--to", "hf", "--out", "hf", *words)
    assert text_of_transformers(project.root / "hf", count, custom=custom) == PROMPT + text


def check_llama_cpp(
    project: Project, tp: Tp, *, context: int, count: int = TOKENS, proven: bool = True
) -> None:
    """Export the run `first`, and compare what llama.cpp generates with `tp sample`."""
    _, tokens = greedy_sample(tp, count)
    words = ["--no-verify"] * (not proven)
    tp("export", "first", "--to", "gguf", "--out", "gguf", *words)
    drawn = tokens_of_llama_cpp(project.root / "gguf", context, count)
    end = load_run_tokenizer(project.run_named("first")).eos_id
    assert [token for token in drawn if token != end] == tokens


def test_every_shipped_experiment_is_exported_here() -> None:
    assert sorted([*OWN, *FINETUNED]) == sorted(
        path.parent.name for path in SHIPPED.glob("*/*.toml") if path.name == "config.toml"
    )


@pytest.mark.parametrize("name", OWN)
def test_an_experiment_leaves_with_its_text(
    name: str, project: Project, tp: Tp, capsys: pytest.CaptureFixture[str]
) -> None:
    line = GERMAN if name.startswith("bundestag") else ENGLISH
    copy_experiment(project, name, "lines.txt", "".join(map(line.format, range(60))))
    more: dict[str, object] = {"prepare.vocab_size": 300} if name == "phrases" else {}
    # Its own prompt has letters that these lines lack.
    more |= {"sample.sample.start": PROMPT} if name == "induction" else {}
    train(tp, name, SMALL_OWN | more)

    if name in CUSTOM:
        refused = in_process(project, capsys, "export", "first", "--to", "hf")
        assert refused.code == 1
        assert "transformers has no architecture with model.activation = 'relu2'" in refused.err
        assert "--custom-code" in refused.err
    proven = name not in UNPROVEN
    check_transformers(project, tp, custom=name in CUSTOM, proven=proven)
    if name in NOT_GGUF:
        refused = in_process(project, capsys, "export", "first", "--to", "gguf")
        assert refused.code == 1
        assert "llama.cpp has no architecture with model.norm = 'rmsnorm'" in refused.err
    else:
        check_llama_cpp(project, tp, context=32, proven=proven)


@pytest.mark.parametrize("name", FINETUNED)
def test_a_finetuned_experiment_leaves_with_its_text(name: str, project: Project, tp: Tp) -> None:
    base = build_model_folder(FINETUNED[name], project.root)
    settings = SMALL_FINETUNED | {"hf_model.model_name": base}
    if name == "speakger":
        copy_experiment(project, name, "r.csv", HEADER + "".join(map(SPEECH.format, range(60))))
    else:
        texts = ["".join(map(GERMAN.format, range(start, 60, 6))) for start in range(6)]
        copy_experiment(project, name, "lines-{}.txt", *texts)
    train(tp, name, settings)

    check_transformers(project, tp)
    check_llama_cpp(project, tp, context=48)


def test_a_nanogpt_checkpoint_leaves_with_its_text(project: Project, tp: Tp) -> None:
    folder = project.root / "runs" / "first"
    reference = Reference(bias=True)
    write_meta(folder, "The catsIJK")
    torch.save(nanogpt_checkpoint(reference, bias=True), folder / "ckpt.pt")

    check_transformers(project, tp, count=2)
    check_llama_cpp(project, tp, context=6, count=2)
