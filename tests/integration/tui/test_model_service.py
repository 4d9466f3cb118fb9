"""The Model view's service on real runs: what is measured, what is kept, and what goes wrong."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.commands import CONFIG, make_project
from builders.finetuning import finetune
from builders.runs import make_run
from builders.schemas import check
from builders.training import train
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.prepare import prepare_dataset
from transformer_playground.inspection.request import InspectRequest, resolve_inspection
from transformer_playground.inspection.views import inspect_run
from transformer_playground.inspection.weights import weight_histogram, weight_updates
from transformer_playground.runs.folder import RunFolder
from transformer_playground.tui.model import measure
from transformer_playground.tui.model.reading import Ask, Shown, Subject, spread
from transformer_playground.tui.model.service import ModelReader

FEW_STEPS = {
    "model": {"activation": "relu"},
    "train": {
        "runtime": {"max_iters": 4, "eval_interval": 2},
        "checkpointing": {"keep": {"last": 3, "best": 1}},
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with checkpoints at steps 0, 2 and 4."""
    return train(tmp_path_factory.mktemp("model"), FEW_STEPS).run


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it, to damage."""
    return RunFolder(shutil.copytree(trained.root, tmp_path / "runs" / trained.run_id))


def answers(
    run: RunFolder,
    ask: Ask | None = None,
    *,
    reader: ModelReader | None = None,
    react: Callable[[Shown], object] = lambda _: None,
    most: int = 1_000,
) -> list[Shown]:
    """What is published, in order."""
    reader = reader or ModelReader(run.root.parent.parent / "experiments", run.root.parent)
    found: list[Shown] = []

    def publish(shown: Shown) -> None:
        found.append(shown)
        react(shown)

    reader.work(ask or Ask(Subject(run.run_id)), publish, lambda: len(found) < most)
    return found


def checkpoints(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.checkpoints.glob("ckpt_last_*.pt"))


def test_shapes_come_first_and_the_end_is_what_tp_inspect_prints(trained: RunFolder) -> None:
    found = answers(trained)
    assert found[0].reading.structure is not None
    assert not found[0].reading.measured
    assert [shown.is_complete for shown in found] == [False] * (len(found) - 1) + [True]
    reading = found[-1].reading
    assert reading.step == 4
    assert reading.memory is not None
    assert reading.memory.weights == 4 * found[0].reading.structure["parameters"]
    request = InspectRequest("model", split="val", checkpoints=("all",))
    expected = inspect_run(resolve_inspection(trained, request))
    document = reading.document()
    check("inspect", document)
    assert document == expected
    assert len(expected["checkpoints"]) == 3


def test_what_was_measured_is_kept_until_a_file_is_another(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = ModelReader(run.root.parent, run.root.parent)
    first = answers(run, reader=reader)[-1]
    reader.release()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded again")

    with monkeypatch.context() as patch:
        patch.setattr("transformer_playground.runs.generation.load_model", refuse)
        again = answers(run, reader=reader)
        assert [shown.is_complete for shown in again] == [True]
        assert again[-1].reading == first.reading
        earlier = replace(first.ask, subject=Subject(run.run_id, checkpoint=checkpoints(run)[0]))
        assert answers(run, earlier, reader=reader)[-1].reading.step == 0


def test_a_request_that_is_superseded_ends_at_its_next_step(trained: RunFolder) -> None:
    found = answers(trained, most=2)
    assert len(found) == 2
    assert not found[-1].is_complete


def test_a_checkpoint_that_vanishes_meanwhile_is_left_out_and_named(run: RunFolder) -> None:
    def remove(shown: Shown) -> None:
        if shown.reading.chosen:
            for path in run.checkpoints.glob("*00000004*"):
                path.unlink(missing_ok=True)
            for path in (*run.checkpoints.glob("last.*"), *run.checkpoints.glob("best_val.*")):
                path.unlink(missing_ok=True)

    last = answers(run, react=remove)[-1]
    assert last.is_complete
    assert last.reading.step == 2
    assert [each["step"] for each in last.reading.history()] == [0, 2]
    assert "Left out" in " ".join(last.reading.notices)


@pytest.mark.parametrize(
    ("damage", "notice", "is_shown"),
    [
        (lambda run: shutil.rmtree(run.root), "", False),
        (lambda run: run.config_path.write_text("{"), "config.json", False),
        (
            lambda run: run.config_path.write_text(
                json.dumps({"run_id": run.run_id, "schema_version": 1, "config": {"model": 3}})
            ),
            "config.json",
            False,
        ),
        (lambda run: shutil.rmtree(run.checkpoints), "Shapes only", True),
        (lambda run: [path.write_bytes(b"x") for path in run.checkpoints.glob("*.pt")], "", True),
        (lambda run: shutil.rmtree(run.tokenizer), "Shapes only", True),
    ],
    ids=["no folder", "torn record", "hostile record", "no checkpoints", "damaged", "no tokenizer"],
)
def test_what_is_broken_is_said_in_a_sentence(
    run: RunFolder, damage: Callable[[RunFolder], object], notice: str, *, is_shown: bool
) -> None:
    damage(run)
    last = answers(run)[-1]
    assert last.is_complete
    assert (last.reading.structure is not None) is is_shown
    said = [*last.reading.notices, last.reading.problem]
    assert any(notice in text for text in said if text)
    assert not any("Traceback" in text or "\n" in text for text in said)


def test_without_the_dataset_all_but_gradients_is_measured(run: RunFolder) -> None:
    record = json.loads(run.config_path.read_text())
    record["config"]["prepare"]["dataset_dir"] = str(run.root / "nowhere")
    run.config_path.write_text(json.dumps(record))
    reading = answers(run)[-1].reading
    assert reading.entry is not None
    assert reading.entry["result"]["loss"] is None
    assert reading.entry["result"]["weights"][0]["weight_rms"] > 0
    assert any("No gradients" in text for text in reading.notices)


def test_two_checkpoints_are_as_far_apart_as_their_weights(trained: RunFolder) -> None:
    first, *_, last = checkpoints(trained)
    ask = Ask(
        Subject(trained.run_id),
        Subject(trained.run_id, checkpoint=first),
        histogram="blocks.0.mlp.up",
    )
    shown = answers(trained, ask)[-1]
    weights = [load_payload(trained.checkpoints / name)["model"] for name in (last, first)]
    assert shown.apart == pytest.approx(weight_updates(*weights))
    assert shown.other is not None
    assert shown.other.step == 0
    assert shown.histogram == weight_histogram(weights[0]["blocks.0.mlp.up.weight"])


def test_a_large_model_is_measured_when_asked(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "LARGE", 100)
    ask = Ask(Subject(trained.run_id), histogram="blocks.0.mlp.up")
    waiting = answers(trained, ask)[-1]
    assert waiting.reading.is_waiting
    assert waiting.reading.structure is not None
    assert not waiting.reading.measured
    assert waiting.histogram is None
    assert len(answers(trained, replace(ask, measures_large=True))[-1].reading.measured) == 3


def test_an_experiment_is_shown_before_and_after_its_dataset_is_prepared(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", CONFIG)
    run = make_run(project.root / "runs")
    ask = Ask(Subject("tiny", is_run=False))
    before = answers(run, ask)[-1].reading
    assert not before.has_vocabulary
    assert before.structure is not None
    assert before.document() is None
    folders = {
        "raw_dir": str(project.raw.parent),
        "dataset_dir": str(project.experiment / "datasets"),
    }
    prepare_dataset(PrepareConfig.model_validate(folders), report=lambda _: None)
    after = answers(run, ask)[-1].reading
    assert after.has_vocabulary
    assert after.structure is not None
    assert after.structure["parameters"] > before.structure["parameters"]
    assert after.settings["model.n_embd"] == 16
    (project.experiment / "config.toml").write_text("[model]\nn_layer = 'x'\n")
    broken = answers(run, ask)[-1].reading
    assert broken.structure is None
    assert "n_layer" in broken.problem


def test_a_finetuned_model_is_read_with_its_base_and_its_shapes_without(tmp_path: Path) -> None:
    changes = {"train": {"runtime": {"max_iters": 2, "eval_interval": 2}}}
    run = finetune(tmp_path, "qwen2", changes).run
    reading = answers(run)[-1].reading
    assert reading.entry is not None
    result = reading.entry["result"]
    assert 0 < result["trainable"] < result["parameters"]
    lora = [each for each in result["weights"] if ".lora_A." in each["name"]]
    assert all(each["gradient_rms"] is not None for each in lora)
    assert reading.settings["peft.r"] == 4
    (base,) = tmp_path.rglob("model.safetensors")
    base.unlink()
    lost = answers(run)[-1].reading
    assert lost.structure is not None
    assert lost.structure["modules"] == result["modules"]
    assert lost.notices


def test_of_many_checkpoints_some_are_measured_with_both_ends_and_the_chosen_one() -> None:
    names = [f"{number:03}" for number in range(100)]
    kept = spread(names, 41, 16)
    assert {"000", "041", "099"} <= kept
    assert len(kept) <= 17
    assert spread(names[:5], 0, 16) == set(names[:5])
