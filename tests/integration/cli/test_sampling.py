"""`tp sample`: what it samples from, and which settings hold."""

import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.commands import Ended, Project, Tp
from builders.schemas import check
from transformer_playground.runs.folder import RunFolder

FIRST = ("sample", "first", "--json")


def only_sample(ended: Ended) -> Mapping[str, Any]:
    assert ended.code == 0, ended.err
    (sample,) = ended.lines
    assert sample["event"] == "sample"
    return dict(sample)


@pytest.mark.parametrize("name", ["first", "fi", "tiny", "tiny@latest", "tiny@best"])
def test_a_run_is_found_by_id_beginning_and_experiment(trained: Project, tp: Tp, name: str) -> None:
    ended = tp("sample", name)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("1")
    assert "first" in ended.err


def test_an_experiment_means_its_latest_run_even_if_a_run_begins_like_it(
    trained: Project, tp: Tp
) -> None:
    assert tp("train", "tiny", "--run-id", "tiny-again").code == 0
    assert "tiny-again" in tp("sample", "tiny").err
    assert "of first" in tp("sample", "first").err


def test_an_experiment_without_runs_has_a_hint(project: Project, tp: Tp) -> None:
    ended = tp("sample", "tiny")
    assert ended.code == 2
    assert "tp train tiny" in ended.err
    assert "tp train" not in tp("sample", "nobody").err


def test_a_beginning_that_fits_several_runs_is_refused_with_their_names(
    trained: Project, tp: Tp
) -> None:
    shutil.copytree(trained.run_named("first").root, trained.run_named("fit").root)
    ended = tp("sample", "fi")
    assert ended.code == 2
    assert "first" in ended.err
    assert "fit" in ended.err


def test_the_same_seed_gives_the_same_text(trained: Project, tp: Tp) -> None:
    texts = [tp("sample", "first", "--seed", seed).out for seed in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]
    assert tp("sample", "first").out == tp("sample", "first", "--seed", 1337).out


def test_what_is_left_out_is_as_the_run_was_configured(project: Project, tp: Tp) -> None:
    saved = {"num_samples": 2, "max_new_tokens": 9, "temperature": 0.5, "top_k": 3, "top_p": 0.7}
    flags = [
        word for key, value in saved.items() for word in ("--set", f"sample.sample.{key}={value}")
    ]
    seed = ("--set", "sample.runtime.seed=5")
    assert tp("loop", "tiny", "--run-id", "first", *flags, *seed).code == 0
    ended = tp(*FIRST)
    assert len(ended.lines) == 2
    for sample in ended.lines:
        assert sample["prompt"] == "1"
        assert len(sample["tokens"]) == len(sample["logprobs"]) == 9
        assert (sample["temperature"], sample["top_k"], sample["top_p"]) == (0.5, 3, 0.7)
        assert sample["seed"] == 5
    # The experiment may say something else by now: the run's own settings hold.
    changed = (project.experiment / "config.toml").read_text().replace("= 40", "= 3")
    (project.experiment / "config.toml").write_text(changed)
    assert tp(*FIRST).out == ended.out


def test_flags_win_over_what_the_run_saved(trained: Project, tp: Tp) -> None:
    sample = only_sample(
        tp(
            *FIRST,
            *("--prompt", "the wall", "--max-new-tokens", 5, "--temperature", 0.3),
            *("--top-k", 4, "--top-p", 0.9, "--seed", 11),
        )
    )
    assert sample["prompt"] == "the wall"
    assert len(sample["tokens"]) == 5
    assert (sample["temperature"], sample["top_k"], sample["top_p"]) == (0.3, 4, 0.9)
    assert sample["seed"] == 11
    assert len(tp(*FIRST, "--n-samples", 3).lines) == 3


def test_a_sample_says_whether_the_weights_were_quantized(trained: Project, tp: Tp) -> None:
    exact = only_sample(tp(*FIRST))
    ended = tp(*FIRST, "--quantization", "int8")
    quantized = only_sample(ended)
    assert "quantized to int8" in ended.err
    assert (exact["quantization"], quantized["quantization"]) == ("none", "int8")
    assert quantized["logprobs"] != exact["logprobs"]
    assert quantized["logprobs"][0] == pytest.approx(exact["logprobs"][0], abs=0.1)
    by_setting = tp(*FIRST, "--set", "sample.runtime.quantization=int8")
    assert only_sample(by_setting) == quantized
    check("sample", quantized)


def test_dtype_is_the_dtype_of_the_weights(trained: Project, tp: Tp) -> None:
    rounded = only_sample(tp(*FIRST, "--dtype", "bfloat16"))
    assert rounded["logprobs"] != only_sample(tp(*FIRST))["logprobs"]


@pytest.mark.parametrize(
    ("flag", "allowed"), [("--quantization", '"none", "int8"'), ("--dtype", '"bfloat16"')]
)
def test_an_unknown_precision_is_refused_with_the_known_ones(
    trained: Project, tp: Tp, flag: str, allowed: str
) -> None:
    ended = tp(*FIRST, flag, "int3")
    assert ended.code == 2
    assert allowed in ended.err
    assert "Traceback" not in ended.err


def test_flags_win_over_set_and_set_over_the_environment(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = '{"sample": {"top_k": 2, "max_new_tokens": 5, "temperature": 0.1}}'
    monkeypatch.setenv("ML_PLAYGROUND_SAMPLE_OVERRIDES", overrides)
    lower = ("--set", "sample.sample.top_k=3", "--set", "sample.sample.max_new_tokens=6")
    sample = only_sample(tp(*FIRST, *lower, "--max-new-tokens", 7))
    assert (sample["temperature"], sample["top_k"], len(sample["tokens"])) == (0.1, 3, 7)


@pytest.mark.parametrize("setting", ["sample.sample.topk=3", "sample.sample.top_k=many"])
def test_a_wrong_setting_for_sampling_is_refused(trained: Project, tp: Tp, setting: str) -> None:
    ended = tp("sample", "first", "--set", setting)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert "top" in ended.err


def test_an_invalid_number_of_samples_is_refused(trained: Project, tp: Tp) -> None:
    ended = tp("sample", "first", "--n-samples", 10**12)
    assert ended.code == 2
    assert "at most 10000" in ended.err


def test_a_temperature_of_zero_ignores_the_seed(trained: Project, tp: Tp) -> None:
    texts = {tp("sample", "first", "--temperature", 0, "--seed", seed).out for seed in range(3)}
    assert len(texts) == 1


def test_a_prompt_may_come_from_a_file(trained: Project, tp: Tp) -> None:
    (trained.root / "prompt.txt").write_text("12 bottles")
    ended = tp("sample", "first", "--prompt", "FILE:prompt.txt")
    assert ended.out.startswith("12 bottles")


def test_unconditional_sampling_shows_no_prompt(trained: Project, tp: Tp) -> None:
    assert only_sample(tp(*FIRST, "--unconditional"))["prompt"] == ""


def test_a_checkpoint_can_be_chosen(trained: Project, tp: Tp) -> None:
    assert only_sample(tp(*FIRST, "--checkpoint", "ckpt_last_00000015.pt"))["step"] == 15
    assert only_sample(tp(*FIRST, "--checkpoint", "best"))["step"] == 20
    assert "last.pt" in tp("sample", "first", "--checkpoint", "last").err


def test_samples_of_a_batch_have_headings(trained: Project, tp: Tp) -> None:
    out = tp("sample", "first", "--n-samples", 2).out
    assert "sample 1 of 2" in out
    assert "sample 2 of 2" in out


def test_a_run_that_was_moved_and_lost_its_experiment_still_samples(
    trained: Project, tp: Tp, tmp_path: Path
) -> None:
    expected = tp("sample", "first").out
    shutil.move(trained.run_named("first").root, tmp_path / "elsewhere" / "renamed")
    shutil.rmtree(trained.experiment)
    moved = tp("sample", "renamed", "--runs-dir", tmp_path / "elsewhere")
    assert moved.code == 0, moved.err
    assert moved.out == expected


def test_a_run_on_a_folder_nobody_may_write_still_samples(trained: Project, tp: Tp) -> None:
    before = trained.files()
    assert tp("sample", "first").code == 0
    assert trained.files() == before


def nano_gpt_weights(n_layer: int, width: int, context: int, vocab: int) -> dict[str, torch.Tensor]:
    """Weights under the names that nanoGPT gives them."""
    generator = torch.Generator().manual_seed(1)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.05

    table = matrix(vocab, width)
    weights = {
        "transformer.wte.weight": table,
        "transformer.wpe.weight": matrix(context, width),
        "transformer.ln_f.weight": torch.ones(width),
        "lm_head.weight": table,
    }
    for layer in range(n_layer):
        block = f"transformer.h.{layer}"
        weights |= {
            f"{block}.ln_1.weight": torch.ones(width),
            f"{block}.attn.c_attn.weight": matrix(3 * width, width),
            f"{block}.attn.c_proj.weight": matrix(width, width),
            f"{block}.ln_2.weight": torch.ones(width),
            f"{block}.mlp.c_fc.weight": matrix(4 * width, width),
            f"{block}.mlp.c_proj.weight": matrix(width, 4 * width),
        }
    return weights


def write_nano_gpt_run(folder: Path, characters: str) -> None:
    folder.mkdir(parents=True)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "bias": False}
    model_args = {**shape, "vocab_size": len(characters), "dropout": 0.0}
    weights = nano_gpt_weights(2, 16, 16, len(characters))
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}
    torch.save(
        {
            "model": compiled,
            "optimizer": {},
            "model_args": model_args,
            "iter_num": 250,
            "best_val_loss": torch.tensor(1.5),
            "config": {"out_dir": "out"},
        },
        folder / "ckpt.pt",
    )
    meta = {
        "vocab_size": len(characters),
        "itos": dict(enumerate(characters)),
        "stoi": {character: index for index, character in enumerate(characters)},
    }
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))


def test_a_nanogpt_folder_can_be_sampled(project: Project, tp: Tp) -> None:
    run = RunFolder(project.root / "runs" / "out-shakespeare-char")
    write_nano_gpt_run(run.root, "\n abcdefgh")
    sample = only_sample(tp("sample", "out-shakespeare-char", "--json", "--max-new-tokens", 30))
    assert sample["step"] == 250
    assert len(sample["tokens"]) == 30
    assert set(sample["text"]) <= set("\n abcdefgh")
    check("sample", sample)
    for words in (("sample", run.run_id), ("generate", "--run-id", "out-shake")):
        ended = tp(*words, "--prompt", "bad egg")
        assert ended.code == 0, ended.err
        assert ended.out.startswith("bad egg")
    assert tp("sample", "out-shakespeare-char", "--prompt", "Q").code == 1
    assert tp("runs").code == 0


NO_NEWLINE = "der hund lief über die straße und sah einen bären im wald. " * 60


@pytest.mark.parametrize("command", ["loop", "train"])
def test_text_without_a_line_break_is_trained_and_sampled(
    project: Project, tp: Tp, command: str
) -> None:
    project.raw.write_text(NO_NEWLINE, encoding="utf-8")
    config = project.experiment / "config.toml"
    config.write_text(config.read_text().replace('start = "1"\n', ""))
    assert tp("prepare", "tiny").code == 0

    trained = tp(command, "tiny", "--run-id", "first")
    assert trained.code == 0, trained.err
    notice = r"lacks the default prompt '\n': samples start with 'd', as the training text does"
    assert notice in trained.err
    asked = tp("sample", "first", "--json")
    assert notice in asked.err
    assert only_sample(asked)["prompt"] == "d"
    assert only_sample(tp("sample", "first", "--unconditional", "--json"))["prompt"] == "d"

    report = tp("report", "--run-id", "first", "--n-samples", 1)
    assert report.code == 0
    assert notice in report.err


def test_an_old_run_without_a_line_break_starts_with_its_first_character(
    project: Project, tp: Tp
) -> None:
    project.raw.write_text(NO_NEWLINE, encoding="utf-8")
    assert tp("loop", "tiny", "--run-id", "first", "--set", "sample.sample.start=d").code == 0
    path = project.run_named("first").config_path
    record = json.loads(path.read_text())
    del record["dataset"]["first_token"]
    path.write_text(json.dumps(record))

    assert only_sample(tp("sample", "first", "--prompt", "\n", "--json"))["prompt"] == " "


def test_an_error_about_a_prompt_names_what_holds_it(trained: Project, tp: Tp) -> None:
    for words, setting in (
        (["--prompt", "ж"], "(--prompt)"),
        (["--set", "sample.sample.start=ж"], "(sample.sample.start)"),
    ):
        ended = tp("sample", "first", *words)
        assert ended.code == 1
        assert f"The prompt {setting} cannot be encoded: the tokenizer lacks 'ж'" in ended.err


def test_a_sample_is_looked_up_in_the_training_text(
    trained: Project, tp: Tp, tmp_path: Path
) -> None:
    ended = tp(*FIRST, "--verbatim")
    sample = only_sample(ended)
    check("sample", sample)
    passage = sample["verbatim"]
    around = passage["before"] + passage["text"] + passage["after"]
    assert around in trained.raw.read_text(encoding="utf-8")
    assert sample["text"][passage["start"] :].startswith(passage["text"])
    assert passage["line"] >= 1
    assert passage["searched"] == 1
    printed = tp("sample", "first", "--verbatim")
    assert "verbatim: " in printed.out
    assert f"»{passage['text']}«" in printed.out.replace("␊", "\n")
    out = tmp_path / "samples.jsonl"
    assert tp("sample", "first", "--verbatim", "--out", out).code == 0
    assert json.loads(out.read_text(encoding="utf-8")) == sample


def test_without_the_dataset_there_is_nothing_to_look_up(trained: Project, tp: Tp) -> None:
    shutil.rmtree(trained.experiment / "datasets")
    ended = tp("sample", "first", "--verbatim")
    assert ended.code != 0
    assert "There is no training text to search" in ended.err
    refused = tp("sample", "first", "--dataset", "x")
    assert refused.code == 2
    assert "--dataset has no effect without --verbatim" in refused.err
