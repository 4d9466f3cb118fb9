"""What the service says about a text is what `tp inspect` says."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builders.commands import Project, make_trained_project
from builders.schemas import check
from transformer_playground.inspection.request import View
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.inside_state import InsideState
from transformer_playground.tui.inside.question import (
    Answer,
    GivenTokens,
    Question,
    SplitWindow,
    TypedText,
)
from transformer_playground.tui.inside.service import InsideService


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the runs `one` and `two`; the context is 16 tokens."""
    return make_trained_project(tmp_path_factory.mktemp("inside") / "project", "one", "two")


@pytest.fixture
def service(two_runs: Project) -> InsideService:
    return InsideService(two_runs.root / "experiments", two_runs.root / "runs")


def last(service: InsideService, question: Question) -> Answer:
    (*_, answer) = service.answers(question)
    return answer


def asked(text: str | tuple[int, ...] | int, run_id: str = "one", **about: object) -> Question:
    chosen: TypedText | GivenTokens | SplitWindow
    if isinstance(text, str):
        chosen = TypedText(text)
    else:
        chosen = SplitWindow(text) if isinstance(text, int) else GivenTokens(text)
    return replace(Question((Source(run_id),), chosen), **about)  # type: ignore[arg-type]


def test_scores_lens_attention_and_ablation_are_those_of_the_command(
    service: InsideService, two_runs: Project, tmp_path: Path
) -> None:
    answer = last(service, asked("10 bottles", position=4, block=1, parts=("1.0", "0.mlp")))
    column = answer.columns[0]
    documents = {}
    views: tuple[View, ...] = ("text", "lens", "attention", "ablate", "heads")
    for view in views:
        path = tmp_path / f"{view}.json"
        service.export(
            replace(answer.question, sources=(column.source,)),
            answer,
            view,
            path,
        )
        documents[view] = json.loads(path.read_text(encoding="utf-8"))
        check("inspect", documents[view])
    result = {view: each["checkpoints"][0]["result"] for view, each in documents.items()}
    assert column.without is not None
    assert result["text"]["surprisals"] == pytest.approx(column.without.surprisals)
    assert result["ablate"]["parts"][0]["part"] == "1.0 + 0.mlp"
    assert result["ablate"]["parts"][0]["loss"] == pytest.approx(column.without.mean_loss)
    assert documents["text"]["text"]["token_texts"] == list("10 bottles")
    whole = last(service, asked("10 bottles", position=4, block=1)).columns[0]
    assert result["lens"]["layers"][2]["target_probability"] == pytest.approx(
        column.lens[2].target_probability
    )
    assert column.lens[2].target_probability != whole.lens[2].target_probability
    weights = torch.tensor(result["attention"]["weights"][1])
    assert torch.allclose(weights, torch.tensor(column.weights), atol=1e-5)
    assert not torch.allclose(weights, torch.tensor(whole.weights), atol=1e-5)
    out = {"parts": ["1.0", "0.mlp"], "replacement": "zero"}
    for view in ("text", "lens", "attention"):
        assert documents[view]["without"] == out
    assert documents["heads"]["without"] is None
    assert column.continued is not None
    assert len(column.continued[0]) == 24


def test_a_window_begins_at_its_most_surprising_token(service: InsideService) -> None:
    answer = last(service, asked(1))
    scores = answer.columns[0].scores
    assert answer.text is not None
    assert scores is not None
    assert answer.text.windows is not None
    assert answer.text.windows > 1
    assert scores.surprisals[answer.position] == max(each or 0 for each in scores.surprisals)
    beyond = last(service, asked(10**6))
    assert "There is no window 1,000,000" in beyond.problem


@pytest.mark.parametrize("count", [1, 16, 17, 50])
def test_texts_of_any_length_are_read_around_the_cursor(service: InsideService, count: int) -> None:
    tokens = tuple(n % 7 for n in range(count))
    for position in {1, count // 2 or 1, count}:
        answer = last(service, asked(tokens, position=position, parts=("0.mlp",)))
        assert answer.problem == ""
        assert answer.text is not None
        assert len(answer.text.tokens) == min(count, 16)
        assert answer.text.tokens == tokens[answer.text.start : answer.text.start + 16]
        column = answer.columns[0]
        assert len(column.weights[0]) == answer.here
        assert (column.lens[0].target_rank is None) == (position == count)


def test_what_cannot_be_read_is_said_in_a_sentence(service: InsideService) -> None:
    assert "\x07" not in last(service, asked("1")).problem
    for text in ("", "\x07"):
        problem = last(service, asked(text)).problem
        assert problem.endswith(".")
        assert "Traceback" not in problem


def test_a_checkpoint_that_is_gone_stays_usable_while_loaded_and_is_refused_after(
    two_runs: Project, tmp_path: Path
) -> None:
    root = shutil.copytree(two_runs.root, tmp_path / "copy")
    service = InsideService(root / "experiments", root / "runs")
    answer = last(service, asked("10 bottles"))
    source = answer.columns[0].source
    # It was asked for as the best one, whose own file is another as soon as there is a better one.
    assert source.checkpoint.startswith("ckpt_")
    for path in (root / "runs/one/checkpoints").iterdir():
        path.unlink()
    again = last(service, replace(answer.question, sources=(source,), position=2))
    assert again.problem == ""
    service.release()
    gone = last(service, replace(answer.question, sources=(source,)))
    assert gone.text is None
    assert source.checkpoint in gone.problem


def test_runs_side_by_side_read_the_same_tokens_and_another_tokenizer_is_refused(
    two_runs: Project, tmp_path: Path
) -> None:
    root = shutil.copytree(two_runs.root, tmp_path / "copy")
    service = InsideService(root / "experiments", root / "runs")
    both = replace(
        asked("10 bottles", parts=("0.0", "7.0")), sources=(Source("one"), Source("two"))
    )
    first, second = last(service, both).columns
    assert second.problem == ""
    assert first.source.run_id == "one"
    assert first.parts == second.parts == ("0.0",)
    state = InsideState(both)
    state.take(last(service, both))
    assert state.answer is not None
    for question, run_id in zip(state.by_run(), ("one", "two"), strict=True):
        service.export(question, state.answer, "text", root / f"{run_id}.json")
        document = json.loads((root / f"{run_id}.json").read_text(encoding="utf-8"))
        check("inspect", document)
        assert document["run_id"] == run_id
        assert document["text"]["token_texts"] == list("10 bottles")
    change_tokenizer(open_run(root / "runs", "two"))
    fresh = InsideService(root / "experiments", root / "runs")
    first, second = last(fresh, both).columns
    assert first.scores is not None
    assert second.scores is None
    assert second.problem == (
        "two has another tokenizer than one: they do not read the same tokens."
    )


def test_a_run_trained_again_under_its_id_has_its_own_tokens(
    two_runs: Project, tmp_path: Path
) -> None:
    root = shutil.copytree(two_runs.root, tmp_path / "copy")
    service = InsideService(root / "experiments", root / "runs")
    old = last(service, asked("10 bottles"))
    run = open_run(root / "runs", "one")
    change_tokenizer(run)
    for path in (run.config_path, *run.checkpoints.iterdir()):
        os.utime(path, (1, 1))
    new = last(service, asked("10 bottles"))
    assert old.text is not None
    assert new.text is not None
    assert new.text.texts == old.text.texts
    assert new.text.tokens != old.text.tokens


def change_tokenizer(run: RunFolder) -> None:
    from transformer_playground.data.tokenizers import load_tokenizer
    from transformer_playground.data.tokenizers.char import CharTokenizer

    known = load_tokenizer(run.tokenizer)
    assert isinstance(known, CharTokenizer)
    CharTokenizer("".join(reversed(known.characters))).save(run.tokenizer)


def test_a_moved_cursor_makes_no_pass_of_its_own(
    service: InsideService, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = asked("10 bottles", position=3)
    answer = last(service, question)
    moved = replace(question, sources=(answer.columns[0].source,), position=5)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a pass was made")

    monkeypatch.setattr("transformer_playground.inspection.text_pass.ablate", fail)
    assert last(service, moved).problem == ""


def test_a_window_is_text_of_the_dataset(two_runs: Project, service: InsideService) -> None:
    answer = last(service, asked(2))
    assert answer.text is not None
    assert "".join(answer.text.texts) in two_runs.raw.read_text(encoding="utf-8")
