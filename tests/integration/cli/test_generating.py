"""`tp generate`: what it draws, how it says so, and what it refuses."""

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from builders.commands import CONTROL, Ended, Project, Tp
from builders.schemas import check
from transformer_playground.generation.prompts import read_prompt
from transformer_playground.runs.generation import load_run
from transformer_playground.runs.generation_request import SampleRequest

FIRST = ("generate", "--run-id", "first")


def give_on_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def refused(ended: Ended, code: int, *said: str) -> None:
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert any(line.startswith("error: ") for line in ended.err.splitlines())
    for words in said:
        assert words in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", ["first", "fi", "tiny@latest", "tiny@best"])
def test_a_run_is_found_by_id_beginning_and_experiment(trained: Project, tp: Tp, name: str) -> None:
    ended = tp("generate", "--run-id", name)
    assert ended.code == 0, ended.err
    assert "of first" in ended.err


def test_generate_and_sample_draw_the_same(trained: Project, tp: Tp) -> None:
    for flags in ((), ("--seed", 4, "--n-samples", 2), ("--unconditional", "--json")):
        assert tp(*FIRST, *flags).out == tp("sample", "first", *flags).out != ""


def test_each_sample_is_one_json_row_of_the_documented_form(trained: Project, tp: Tp) -> None:
    flags = ("--prompt", "12 b", "--n-samples", 3, "--max-new-tokens", 30, "--seed", 2)
    rows = tp(*FIRST, *flags, "--json").lines
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert len({row["text"] for row in rows}) == 3
    for row in rows:
        check("sample", row)
        assert row["run_id"] == "first"
        assert row["prompt"] == "12 b"
        assert len(row["prompt_tokens"]) == 4
        assert "".join(row["token_texts"]) == row["text"]
        assert len(row["tokens"]) == len(row["logprobs"]) == len(row["token_texts"]) == 30
        assert row["finish_reason"] == "length"


def test_log_probabilities_are_those_of_one_forward_pass(trained: Project, tp: Tp) -> None:
    rows = tp(
        *(*FIRST, "--json", "--n-samples", 4, "--max-new-tokens", 12, "--prompt", "12"),
        *("--temperature", 1.7, "--top-k", 9, "--top-p", 0.9),
    ).lines
    model = load_run(trained.run_named("first"), SampleRequest()).model
    for row in rows:
        seen = torch.tensor([row["prompt_tokens"] + row["tokens"][:-1]])
        with torch.inference_mode():
            logprobs = model(seen)[0, 1:].log_softmax(dim=-1)
        expected = logprobs[torch.arange(12), row["tokens"]]
        torch.testing.assert_close(torch.tensor(row["logprobs"]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "flags",
    [
        ("--seed", 5),
        ("--temperature", 5),
        ("--temperature", 0),
        ("--top-k", 2),
        ("--top-p", 0.2),
        ("--prompt", "9"),
        ("--unconditional",),
        ("--max-new-tokens", 39),
        ("--set", "sample.runtime.seed=5"),
    ],
)
def test_each_option_changes_what_is_drawn(
    trained: Project, tp: Tp, flags: tuple[object, ...]
) -> None:
    usual = tp(*FIRST).out
    assert tp(*FIRST, *flags).out != usual == tp(*FIRST).out


def test_the_checkpoint_decides_the_weights(trained: Project, tp: Tp) -> None:
    (best,) = tp(*FIRST, "--json", "--checkpoint", "best").lines
    (older,) = tp(*FIRST, "--json", "--checkpoint", "ckpt_last_00000015.pt").lines
    assert (best["checkpoint"], best["step"]) == ("best_val.pt", 20)
    assert (older["checkpoint"], older["step"]) == ("ckpt_last_00000015.pt", 15)
    assert older["logprobs"] != best["logprobs"]


def test_asking_for_more_samples_keeps_the_first_ones(trained: Project, tp: Tp) -> None:
    def texts(count: int) -> list[str]:
        rows = tp(*FIRST, "--json", "--max-new-tokens", 5, "--n-samples", count).lines
        return [row["text"] for row in rows]

    assert texts(2) == texts(70)[:2]


@pytest.mark.parametrize("given", [b"12 bottles\n", b"FILE:nowhere", b"", b"12\r\n"])
def test_a_prompt_from_standard_input_is_taken_as_it_stands(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch, given: bytes
) -> None:
    give_on_standard_input(monkeypatch, given)
    ended = tp(*FIRST, "--json", "--prompt", "-")
    if given == b"":
        refused(ended, 1, "empty")
    elif given == b"FILE:nowhere":
        refused(ended, 1, "lacks")
    else:
        assert ended.lines[0]["prompt"] == given.decode().replace("\r\n", "\n")


def test_standard_input_that_is_not_utf_8_is_refused_with_its_byte(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_on_standard_input(monkeypatch, b"12\xff")
    refused(tp(*FIRST, "--prompt", "-"), 1, "standard input is not UTF-8", "byte 0xff at offset 2")


def test_a_prompt_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/zero").open("rb") as endless, pytest.raises(Exception, match="64 MiB"):
        read_prompt(endless, "it")


def test_a_prompt_of_a_megabyte_is_read_up_to_the_context(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_on_standard_input(monkeypatch, b"12 bottles " * 100_000)
    (long,) = tp(*FIRST, "--json", "--prompt", "-").lines
    assert len(long["prompt"]) == 1_100_000
    # The context is 16 tokens.
    short = tp(*FIRST, "--json", "--prompt", long["prompt"][-16:])
    assert long["tokens"] == short.lines[0]["tokens"]
    assert "only the last" not in short.err
    (half,) = tp(*FIRST, "--json", "--prompt", long["prompt"][-8:]).lines
    assert long["tokens"] != half["tokens"]


def test_what_a_long_prompt_loses_is_said(trained: Project, tp: Tp) -> None:
    ended = tp(*FIRST, "--prompt", "12 bottles " * 2)
    assert "the prompt has 22 tokens and the context 16: only the last 16 are used" in ended.err


def test_samples_can_go_to_a_file(trained: Project, tp: Tp) -> None:
    flags = ("--n-samples", 3, "--max-new-tokens", 9)
    rows = tp(*FIRST, *flags, "--json").lines
    out = trained.root / "texts.jsonl"
    out.write_text("old")
    ended = tp(*FIRST, *flags, "--out", "texts.jsonl")
    assert (ended.code, ended.out) == (0, "")
    assert "wrote 3 samples to texts.jsonl" in ended.err
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    assert tp(*FIRST, *flags, "--out", "texts.jsonl", "--json").lines == rows
    assert [path.name for path in trained.root.glob("*texts*")] == ["texts.jsonl"]


@pytest.mark.parametrize("out", ["missing/texts.jsonl", ".", "/dev/null"])
def test_an_output_that_cannot_be_a_file_is_refused_before_anything_is_drawn(
    trained: Project, tp: Tp, out: str
) -> None:
    refused(tp(*FIRST, "--out", out), 2, "--out", out)


def test_an_old_file_survives_when_the_samples_cannot_be_drawn(trained: Project, tp: Tp) -> None:
    out = trained.root / "texts.jsonl"
    out.write_text("old")
    refused(tp(*FIRST, "--prompt", "ß", "--out", "texts.jsonl"), 1, "'ß'")
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--prompt", "1", "--unconditional"), 2, "mutually exclusive"),
        (("--prompt", "7 Bücher"), 1, "'ü'"),
        (("--prompt", "FILE:"), 1, "no file"),
        (("--prompt", "FILE:nowhere"), 1, "nowhere"),
        (("--n-samples", 0), 2, "n-samples"),
        (("--n-samples", 10**6), 2, "10000"),
        (("--max-new-tokens", 0), 2, "max-new-tokens"),
        (("--temperature", -1), 2, "temperature"),
        (("--temperature", "nan"), 2, "temperature"),
        (("--temperature", "inf"), 2, "temperature"),
        (("--top-p", 0), 2, "top_p"),
        (("--top-p", 2), 2, "top_p"),
        (("--top-p", "nan"), 2, "--top-p"),
        (("--top-k", -1), 2, "top-k"),
        (("--seed", -1), 2, "seed"),
        (("--set", "model.n_layer=3"), 2, "model"),
        (("--checkpoint", "../secret.pt"), 2, "checkpoint"),
        (("--checkpoint", "none.pt"), 1, "ckpt_last_00000020.pt"),
    ],
)
def test_wrong_requests_are_refused_in_a_sentence(
    trained: Project, tp: Tp, flags: tuple[object, ...], code: int, said: str
) -> None:
    refused(tp(*FIRST, *flags), code, said)


def test_an_unknown_run_names_the_nearest_ones(trained: Project, tp: Tp) -> None:
    refused(tp("generate", "--run-id", "fisrt"), 2, "fisrt", "first")
    refused(tp("generate"), 2, "--run-id")
    hostile = tp("generate", "--run-id", "\x1b]52;c;cm0=\x07[/red]")
    refused(hostile, 2, "no run")
    assert CONTROL.search(hostile.err) is None


def test_a_run_without_a_checkpoint_says_so(trained: Project, tp: Tp) -> None:
    shutil.rmtree(trained.run_named("first").checkpoints)
    refused(tp(*FIRST), 1, "no checkpoint", "Train first")
    refused(tp(*FIRST, "--checkpoint", "ckpt_last_00000020.pt"), 1, "Checkpoints there: none")


def test_a_damaged_checkpoint_is_refused_and_the_others_are_named(trained: Project, tp: Tp) -> None:
    damaged = trained.run_named("first").checkpoints / "ckpt_last_00000020.pt"
    data = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(data[:-100])
    ended = tp(*FIRST, "--checkpoint", damaged.name)
    refused(ended, 1, "is damaged", "ckpt_last_00000015.pt")
    assert damaged.name not in ended.err.splitlines()[-1]


def test_a_run_folder_that_was_moved_generates_the_same(
    trained: Project, tp: Tp, tmp_path: Path
) -> None:
    expected = tp(*FIRST).out
    shutil.move(trained.run_named("first").root, tmp_path / "elsewhere" / "other-name")
    shutil.rmtree(trained.experiment)
    moved = tp("generate", "--run-id", "other", "--runs-dir", tmp_path / "elsewhere")
    assert moved.out == expected
