"""`tp compare`: the same question to several real models."""

import gc
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.commands import Ended, Project, Tp
from builders.schemas import check
from transformer_playground.comparison.compared_run import draw_samples
from transformer_playground.model.gpt import GPT
from transformer_playground.runs.generation_request import SampleRequest, resolve_request

BOTH = ("compare", "--run-ids", "first,second", "--max-new-tokens", 5)


def change(project: Project, run_id: str, **tables: dict[str, Any]) -> None:
    """Change settings in a run's `config.json`: `sample_runtime={"seed": 3}` and the like."""
    path = project.run_named(run_id).config_path
    document = json.loads(path.read_bytes())
    for table, values in tables.items():
        section = document["config"]
        for name in table.split("_"):
            section = section[name]
        section.update(values)
    path.write_text(json.dumps(document))


@pytest.fixture
def two(trained: Project) -> Project:
    """The runs `first` and `second`: the same weights, settings that differ."""
    shutil.copytree(trained.run_named("first").root, trained.run_named("second").root)
    change(trained, "second", train_optim={"learning_rate": 0.5})
    return trained


def answers(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    (found,) = ended.lines
    check("compare", found)
    return list(found["sampling"]["runs"])


def test_runs_with_checkpoints_write_three_texts_each(two: Project, tp: Tp) -> None:
    ended = tp("compare", "--run-ids", "first,second")
    assert ended.code == 0, ended.err
    assert ended.out.count("--- sample 3 of 3 ---") == 2
    assert "=== first (best_val.pt, step 20) ===" in ended.out
    assert "other settings are those of first" in ended.out
    first, second = answers(tp("compare", "--run-ids", "first,second", "--json"))
    assert first["texts"] == second["texts"]
    assert len(set(first["texts"])) > 1
    assert f"1{first['texts'][0]}\n" in ended.out


def test_no_samples_are_drawn_if_none_are_wanted(two: Project, tp: Tp) -> None:
    ended = tp("compare", "--run-ids", "first,second", "--n-samples", 0)
    assert "sample" not in ended.out + ended.err


def test_without_any_checkpoint_there_is_a_word_instead(two: Project, tp: Tp) -> None:
    for run_id in ("first", "second"):
        shutil.rmtree(two.run_named(run_id).checkpoints)
    ended = tp(*BOTH[:3])
    assert ended.code == 0
    assert "None of these runs has a checkpoint" in ended.err
    assert "===" not in ended.out


def test_what_is_left_out_is_for_all_as_the_first_run_has_it(two: Project, tp: Tp) -> None:
    change(two, "first", sample_sample={"temperature": 0.0, "top_k": 3}, sample_runtime={"seed": 9})
    (found,) = tp(*BOTH, "--json", "--n-samples", 1).lines
    sampling = found["sampling"]
    assert (sampling["temperature"], sampling["top_k"], sampling["seed"]) == (0.0, 3, 9)
    assert (sampling["settings_from"], sampling["max_new_tokens"]) == ("first", 5)
    assert sampling["runs"][0]["texts"] == sampling["runs"][1]["texts"]
    greedy = sampling["runs"][1]["texts"]
    (turned,) = tp("compare", "--run-ids", "second,first", "--json", "--n-samples", 1).lines
    assert turned["sampling"]["temperature"] == 0.8
    assert [text[:5] for text in turned["sampling"]["runs"][1]["texts"]] != greedy


@pytest.mark.parametrize(
    "words",
    [
        ("--prompt", "9 bottles"),
        ("--temperature", 3.0),
        ("--top-k", 1),
        ("--top-p", 0.05),
        ("--seed", 5),
        ("--max-new-tokens", 7),
        ("--unconditional",),
    ],
)
def test_each_option_changes_what_is_written(
    two: Project, tp: Tp, words: tuple[object, ...]
) -> None:
    plain = answers(tp("compare", "--run-ids", "first,second", "--json"))
    changed = answers(tp("compare", "--run-ids", "first,second", "--json", *words))
    for before, after in zip(plain, changed, strict=True):
        assert before["texts"] != after["texts"]
    assert changed[0]["texts"] == changed[1]["texts"]


def test_a_prompt_may_come_from_a_file_or_standard_input(
    two: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = answers(tp(*BOTH, "--json", "--prompt", "9 bot"))
    (two.root / "prompt.txt").write_text("9 bot")
    assert answers(tp(*BOTH, "--json", "--prompt", "FILE:prompt.txt")) == stated
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"9 bot")))
    assert answers(tp(*BOTH, "--json", "--prompt", "-")) == stated


def test_the_checkpoint_and_the_number_are_as_asked(two: Project, tp: Tp) -> None:
    for each in answers(tp(*BOTH, "--json", "--checkpoint", "last", "--n-samples", 2)):
        assert each["checkpoint"] == "last.pt"
        assert [len(text) for text in each["texts"]] == [5, 5]


def test_a_run_that_cannot_answer_says_why_and_the_others_go_on(two: Project, tp: Tp) -> None:
    shutil.rmtree(two.run_named("first").checkpoints)
    without, answered = answers(tp(*BOTH, "--json"))
    assert "no checkpoint" in without["problem"]
    assert without["texts"] == []
    assert len(answered["texts"]) == 3
    ended = tp(*BOTH)
    assert ended.code == 0
    assert "There is no checkpoint" in ended.out
    assert "no checkpoint" in tp(*BOTH, "--markdown").out


def test_a_prompt_that_a_tokenizer_lacks_is_a_sentence_too(two: Project, tp: Tp) -> None:
    for each in answers(tp(*BOTH, "--json", "--prompt", "é")):
        assert "é" in each["problem"]
        assert each["checkpoint"] is None


def test_damaged_checkpoints_are_skipped_with_a_note(two: Project, tp: Tp) -> None:
    path = two.run_named("second").checkpoints / "best_val.pt"
    path.unlink()
    path.write_bytes(b"torn")
    ended = tp(*BOTH, "--json")
    assert answers(ended)[1]["skipped"]
    assert "skipped an unusable checkpoint: best_val.pt" in ended.err


def test_a_group_is_sampled_from_its_best_run(trained: Project, tp: Tp) -> None:
    best = trained.run_named("second")
    shutil.copytree(trained.run_named("first").root, best.root)
    change(trained, "second", train_runtime={"seed": 2})
    rows = [json.loads(row) for row in best.metrics_path.read_text().splitlines()]
    for row in rows:
        if row["event"] == "eval":
            row["val_loss"] -= 1.0
    best.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(trained.run_named("first").root, trained.run_named("third").root)
    change(trained, "third", train_optim={"learning_rate": 0.5})
    words = ("compare", "--run-ids", "first,second,third", "--max-new-tokens", 5)
    ended = tp(*words, "--json")
    assert [each["run_id"] for each in answers(ended)] == ["second", "third"]
    assert "second, the best of {first,second}" in ended.err
    single = answers(tp(*words, "--json", "--no-group"))
    assert [each["run_id"] for each in single] == ["first", "second", "third"]


def test_markdown_fences_any_generated_text(two: Project, tp: Tp, tmp_path: Path) -> None:
    ended = tp(*BOTH, "--markdown", "--n-samples", 2)
    assert ended.out.count("```text\n") == 4
    assert ended.out.count("\n```\n") == 4
    assert "### second (best\\_val.pt, step 20)" not in ended.out
    assert "### second (best_val.pt, step 20)" in ended.out


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every checkpoint file that is opened, in order, by the name of its run."""
    seen: list[str] = []
    active = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        # A hook cannot be taken out again; it rests after the test.
        if active and event == "open" and str(arguments[0]).endswith(".pt"):
            seen.append(Path(str(arguments[0])).parent.parent.name)

    sys.addaudithook(watch)
    yield seen
    active = False


def test_each_model_is_read_once_however_many_samples(
    two: Project, tp: Tp, opened: list[str]
) -> None:
    assert tp("sample", "first").code == 0
    once = len(opened)
    assert once > 0
    opened.clear()
    assert tp(*BOTH, "--n-samples", 9).code == 0
    assert opened == ["first"] * once + ["second"] * once


def test_a_model_is_released_before_the_next_one_is_loaded(two: Project) -> None:
    runs = [two.run_named(run_id) for run_id in ("first", "second")]
    spec = resolve_request(runs[0], SampleRequest(max_new_tokens=3))
    # Without the collector: nothing but the call itself may hold the model.
    gc.collect()
    gc.disable()
    try:
        before = models()
        for run in runs:
            assert draw_samples(run, spec).problem is None
            assert {id(model) for model in models()} == {id(model) for model in before}
    finally:
        gc.enable()


def models() -> list[GPT]:
    return [each for each in gc.get_objects() if type(each) is GPT]
