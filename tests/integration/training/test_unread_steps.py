"""On an accelerator losses stay on the device: the same here, on the CPU, with the same setting."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from builders.training import prepared_config, rows_of, runtime, train
from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.errors import TrainingError
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.runs.folder import create_run
from transformer_playground.training import accumulation
from transformer_playground.training import trainer as module
from transformer_playground.training.setup import build_setup
from transformer_playground.training.trainer import Trainer

OPTIMIZERS = ("adamw", "muon")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "max_unread_steps", lambda _: 100)


def chosen(optimizer: str) -> dict[str, Any]:
    return {"train": {"optim": {"optimizer": optimizer}, "schedule": {"warmup_iters": 0}}}


def trainer_of(folder: Path, *changes: dict[str, Any]) -> Trainer:
    setup = build_setup(prepared_config(folder, *changes), prepare_command="")
    trainer = Trainer(setup, create_run(folder / "runs", "run", {}), [])
    trainer.begin_session()
    return trainer


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.params.state_dict().items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_losses_and_weights_do_not_depend_on_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    at_once = train(tmp_path / "at-once", chosen(optimizer)).run
    monkeypatch.setattr(module, "max_unread_steps", lambda _: 100)
    later = train(tmp_path / "later", chosen(optimizer)).run
    for event, key in (("train", "train_loss"), ("train", "grad_norm"), ("eval", "val_loss")):
        first, second = ([row[key] for row in rows_of(run, event)] for run in (at_once, later))
        assert first == second
        assert len(first) > 2
    models = [
        load_payload(choose(run.checkpoints, "last").path)["model"] for run in (at_once, later)
    ]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.parametrize(("grad_clip", "advice"), [(0.0, "set"), (1.0, "lower")])
def test_the_advice_after_a_non_finite_step_knows_whether_norms_are_clipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grad_clip: float, advice: str
) -> None:
    trainer = trainer_of(tmp_path, {"train": {"optim": {"grad_clip": grad_clip}}})
    true_loss = summed_cross_entropy
    monkeypatch.setattr(
        accumulation, "summed_cross_entropy", lambda *given: true_loss(*given) * torch.nan
    )
    with pytest.raises(TrainingError) as raised:
        trainer.train_step()
    assert f"or {advice} train.optim.grad_clip, and resume" in (raised.value.hint or "")


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_non_finite_step_is_not_applied_and_reported_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    trainer = trainer_of(tmp_path, chosen(optimizer))
    for _ in range(2):
        trainer.train_step()
    before = weights(trainer)
    true_loss = summed_cross_entropy
    monkeypatch.setattr(
        accumulation, "summed_cross_entropy", lambda *given: true_loss(*given) * torch.nan
    )
    trainer.train_step()
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(trainer).items())
    monkeypatch.setattr(accumulation, "summed_cross_entropy", true_loss)
    trainer.train_step()
    after = weights(trainer)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert any(not torch.equal(before[name], tensor) for name, tensor in after.items())
    with pytest.raises(TrainingError, match=r"loss is nan at step 2; this step was not applied"):
        trainer.evaluate(scheduled=True)


@pytest.mark.usefixtures("unread")
def test_no_step_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tmp_path, chosen("muon"), runtime(ema_decay=0.9))
    # The first step allocates the state of the optimizers.
    trainer.train_step()
    read: list[str] = []
    for name in ("item", "tolist", "numpy", "__float__", "__int__", "__bool__"):
        original = getattr(torch.Tensor, name)

        def watched(tensor: Tensor, *given: Any, _name: str = name, _of: Any = original) -> Any:
            read.append(_name)
            return _of(tensor, *given)

        monkeypatch.setattr(torch.Tensor, name, watched)
    with torch.profiler.profile() as profile:
        trainer.train_step()
    called = [event for event in profile.events() or () if event.name == "aten::item"]
    # The CPU kernel of the fused optimizer reads its own step count; others do not.
    assert {event.cpu_parent.name for event in called} <= {"aten::_fused_adamw_"}
    assert read == []
    trainer.save(last=True, best=False)
    assert "tolist" in read


@pytest.mark.usefixtures("unread")
def test_losses_are_read_before_too_many_are_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "max_unread_steps", lambda _: 3)
    trainer = trainer_of(tmp_path)
    sums = []
    for _ in range(5):
        trainer.train_step()
        sums.append(trainer.state.window_loss)
    assert sums[:3] == [0.0] * 3
    assert sums[3] > 0.0
    assert sums[4] == sums[3]
