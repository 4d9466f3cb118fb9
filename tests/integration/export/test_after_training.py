"""Exports that `[export.*]` asks for: made when training ends, checked before it starts."""

import json
from pathlib import Path

import pytest

from builders.commands import Project, Tp
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.export.hf import target

MORE = ("--set", "train.runtime.max_iters=3", "--set", "train.runtime.eval_interval=1")


def enable(project: Project, text: str) -> None:
    """Add lines to the configuration of `tiny`."""
    path = project.experiment / "config.toml"
    path.write_text(f"{path.read_text()}\n{text}\n")


def test_an_enabled_export_is_made_when_training_ends_and_again_when_it_is_resumed(
    project: Project, tp: Tp
) -> None:
    enable(
        project,
        '[export]\nlicense = "mit"\n[export.safetensors]\nenabled = true\n'
        'export_dir = "models"\nmodel_name = "bottles"\n',
    )
    ended = tp("train", "tiny", "--run-id", "new", "--json", *MORE)

    assert ended.code == 0, ended.err
    folder = project.experiment / "models" / "bottles"
    assert str(folder) in ended.lines[-1]["artifacts"]
    stamp = json.loads((folder / "export.json").read_text())
    assert (stamp["step"], stamp["inputs"]["licence"]) == (3, "mit")
    assert "export: safetensors" in (project.run_named("new").log_path).read_text()

    ended = tp("train", "--resume", "new", "--set", "train.runtime.max_iters=5")
    assert ended.code == 0, ended.err
    assert json.loads((folder / "export.json").read_text())["step"] == 5


def test_the_folder_of_another_run_is_not_replaced(project: Project, tp: Tp) -> None:
    enable(
        project,
        '[export.safetensors]\nenabled = true\nexport_dir = "models"\nmodel_name = "bottles"\n',
    )
    assert tp("train", "tiny", "--run-id", "one", *MORE).code == 0
    stamp = project.experiment / "models" / "bottles" / "export.json"
    before = stamp.read_bytes()
    ended = tp("train", "tiny", "--run-id", "two", *MORE)

    assert ended.code == 1
    assert "the export to safetensors failed" in ended.err
    assert stamp.read_bytes() == before


def test_a_failed_export_is_a_notice_and_an_exit_code_and_harms_nothing(
    project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(target, "write_weights", fail)
    enable(project, "[export.hf]\nenabled = true")
    ended = tp("train", "tiny", "--run-id", "new", "--json", *MORE)

    assert ended.code == 1
    assert "error: the export to hf failed: " in ended.err
    assert "No space left on device" in ended.err
    assert "try again with: tp export new --to hf" in ended.err
    assert ended.lines[-1]["status"] == "finished"
    monkeypatch.undo()
    assert tp("export", "new", "--to", "hf").code == 0


def test_an_export_that_is_impossible_is_refused_before_training(project: Project, tp: Tp) -> None:
    enable(project, "[export.hf]\nenabled = true")
    before = project.files()
    ended = tp("train", "tiny", "--run-id", "new", "--set", "model.norm_position=post")

    assert ended.code == 1
    assert "model.norm_position = 'post'" in ended.err
    assert project.files() == before
    forced = ("--set", "export.hf.custom_code=true", "--set", "model.norm_position=post")
    assert tp("train", "tiny", "--run-id", "new", *MORE, *forced).code == 0


def test_two_exports_cannot_share_a_folder() -> None:
    table = {"enabled": True, "export_dir": Path("/models"), "model_name": "x"}
    with pytest.raises(
        ValueError, match=r"export\.hf and export\.onnx would write the same folder"
    ):
        ExperimentConfig.model_validate({"export": {"hf": table, "onnx": table}})
