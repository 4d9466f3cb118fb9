"""`tp eval`: what it measures, prints and refuses."""

import importlib.util
import json
from typing import Any

import pytest

from builders.commands import CONTROL, Ended, Project, Tp
from builders.schemas import check
from transformer_playground.harness.model import HarnessModel


def document(ended: Ended) -> Any:
    assert ended.code == 0, ended.err
    (printed,) = ended.lines
    check("eval", printed)
    return printed


def test_the_loss_is_that_of_the_report_and_the_sum_of_its_tokens(trained: Project, tp: Tp) -> None:
    made = document(tp("eval", "first", "--json"))
    report = tp("report", "--run-id", "first", "--n-samples", 2, "--json").lines[0]
    assert made["loss"] == pytest.approx(report["evaluation"]["full_validation"]["loss"], rel=1e-3)
    rows = made["tokens"]
    assert sum(row["loss_share"] for row in rows) == pytest.approx(1)
    mean = sum(row["count"] * row["loss"] for row in rows) / sum(row["count"] for row in rows)
    assert made["loss"] == pytest.approx(mean)
    assert [each["order"] for each in made["ngram"]["orders"]] == [1, 2, 3, 4, 5]
    for each in made["ngram"]["orders"]:
        assert each["is_beaten"] == (made["loss"] < each["loss"])
    fifth = made["ngram"]["orders"][-1]
    assert report["evaluation"]["ngram"] == {
        key: fifth[key] for key in ("order", "loss", "beaten_at")
    }
    text = tp("report", "--run-id", "first", "--n-samples", 2).out
    assert "No evaluation in training beats a 5-gram of the training text" in text


def test_pairs_of_a_file_are_scored_by_kind_and_the_output_fits(trained: Project, tp: Tp) -> None:
    pairs = [
        {"good": "on the wall", "bad": "no the wall", "kind": "a"},
        {"good": "of them", "bad": "of\u202e\x1b[31m", "kind": "b"},
        {"good": "one of", "bad": "one fo", "kind": "b"},
    ]
    file = trained.root / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    words = ("eval", "first", "--task", "pairs", "--pairs", file, "--pairs", "en")
    made = document(tp(*words, "--json"))
    assert (made["loss"], made["tokens"], made["ngram"]) == (None, None, None)
    mine, english = made["pairs"]
    assert (mine["pairs"], mine["skipped"]) == (2, 1)
    assert [(kind["kind"], kind["pairs"]) for kind in mine["kinds"]] == [("a", 1), ("b", 1)]
    assert (english["accuracy"], english["pairs"]) == (None, 0)
    for printed in (tp(*words), tp("eval", "first")):
        assert printed.code == 0, printed.err
        assert max(map(len, printed.out.splitlines())) <= 80
        assert not CONTROL.search(printed.out)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--task", "riddles"), 2, "There is no task 'riddles'"),
        (("--pairs", "nowhere.jsonl"), 2, "cannot be read"),
        (("--pairs", "broken.jsonl"), 2, "Line 2 of broken.jsonl is not a pair"),
        (("--pairs", "empty.jsonl"), 2, "There are no pairs"),
        (("--task", "tokens", "--order", "5"), 2, "--order has no effect without --task ngram."),
        (("--task", "ngram", "--pairs", "en"), 2, "--pairs has no effect without --task pairs."),
        (("--task", "ngram", "--n-pairs", "9"), 2, "--n-pairs has no effect without --task pairs."),
        (("--pairs", "en", "--n-pairs", "9"), 2, "--n-pairs has no effect without --pairs text."),
        (("--include-path", "."), 2, "--include-path has no effect without --task lm-eval:NAME."),
        (("--task", "lm-eval:mine", "--order", "5"), 2, "no effect without --task ngram."),
        (("--num-fewshot", "2"), 2, "--num-fewshot has no effect without --task lm-eval:NAME."),
        (("--limit", "2"), 2, "--limit has no effect without --task lm-eval:NAME."),
        (("--task", "lm-eval:mine", "--num-fewshot", "-1"), 2, "number of examples, not -1"),
        (("--task", "lm-eval:mine", "--limit", "2.5"), 2, "not 2.5"),
        (("--task", "lm-eval:mine", "--apply-chat-template"), 2, "has no chat template"),
        (("--dataset", "nowhere"), 1, "nowhere"),
        (("--checkpoint", "none.pt"), 1, "There is no checkpoint"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    trained: Project, tp: Tp, words: tuple[str, ...], code: int, message: str
) -> None:
    (trained.root / "broken.jsonl").write_text('{"good": "a", "bad": "b"}\n{"good": 1}\n')
    (trained.root / "empty.jsonl").write_text("\n")
    ended = tp("eval", "first", *words)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err


def test_without_lm_eval_a_sentence_says_how_to_install_it(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    ended = tp("eval", "first", "--task", "lm-eval:mine")
    assert (ended.code, ended.out) == (2, "")
    assert "pip install 'transformer-playground[lm-eval]'" in ended.err


TASK = """
task: mine
dataset_path: text
dataset_kwargs: {data_files: {test: mine.txt}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}]
"""


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval")
@pytest.mark.filterwarnings("ignore")
def test_lm_eval_runs_a_task_of_local_files(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(trained.root / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (trained.root / "mine.yaml").write_text(TASK)
    (trained.root / "mine.txt").write_text("on the wall\none of them\n")
    words = ("eval", "first", "--task", "lm-eval:mine", "--include-path", ".")
    made = document(tp(*words, "--json"))
    assert (made["loss"], made["pairs"]) == (None, None)
    (row,) = made["lm_eval"]
    assert (row["task"], row["documents"]) == ("mine", 2)
    (metric,) = row["metrics"]
    assert (metric["metric"], metric["higher_is_better"]) == ("bits_per_byte", False)
    assert 1 < metric["value"] < 10
    assert "bits_per_byte" in tp(*words).out
    ended = tp(*words, "--num-fewshot", 1)
    assert (ended.code, ended.out) == (2, "")
    assert "--num-fewshot has no effect on tasks that score whole texts: mine." in ended.err


CHOICE = """
task: chosen
dataset_path: json
dataset_kwargs: {data_files: {train: asked.jsonl, test: asked.jsonl}}
fewshot_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: ["wall", "bottles"]
doc_to_target: a
metric_list: [{metric: acc}]
"""


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval")
@pytest.mark.filterwarnings("ignore")
def test_examples_and_a_limit_of_documents_are_passed_to_lm_eval(
    trained: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(trained.root / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (trained.root / "chosen.yaml").write_text(CHOICE)
    rows = [
        {"q": f"{word} on the", "a": place % 2}
        for place, word in enumerate(["bottle", "of", "them", "all"])
    ]
    (trained.root / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: list[str] = []
    read = HarnessModel._encoded_pair

    def noting(self: HarnessModel, context: str, continuation: str) -> Any:
        asked.append(context)
        return read(self, context, continuation)

    monkeypatch.setattr(HarnessModel, "_encoded_pair", noting)
    task = ("eval", "first", "--task", "lm-eval:chosen", "--include-path", ".", "--limit", 2)
    words = (*task, "--num-fewshot", 2, "--seed", 5, "--json")
    (row,) = document(tp(*words))["lm_eval"]
    assert (row["documents"], row["num_fewshot"], row["seed"]) == (2, 2, 5)
    # Two choices for each of two questions, after two examples with their answers.
    assert len(asked) == 4
    for context in asked:
        assert context.count(" on the wall") + context.count(" on the bottles") == 2
    first, asked[:] = [*asked], []
    document(tp(*words))
    assert asked == first
    ended = tp(*task, "--num-fewshot", 9)
    assert "has 4 documents to take examples from, not 9" in ended.err
