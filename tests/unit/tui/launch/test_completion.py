"""The launch form: completions, sizes and previews."""

from pathlib import Path

import pytest

from builders.commands import Project, make_project
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.reference import ANY_NAME, schema_index
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.completion import complete, describe_key, is_complete
from transformer_playground.tui.launch.service import (
    check_name,
    choices,
    preview,
    summary_lines,
)


def texts(typed: str, config: ExperimentConfig | None = None) -> list[str]:
    return [each.text for each in complete(typed, config)]


def test_part_of_a_key_completes_it_with_the_most_likely_first() -> None:
    assert texts("norm")[0] == "model.norm="
    assert texts("model.n_l") == ["model.n_layer="]
    assert texts("lear")[0] == "train.optim.learning_rate="
    assert texts("embd n_") == ["model.n_embd="]
    assert texts("qqq") == []


def test_every_setting_can_be_completed_from_its_last_part() -> None:
    for entry in schema_index().values():
        if not entry.is_table and ANY_NAME not in entry.key:
            assert f"{entry.name}=" in texts(entry.key[-1]), entry.name
            assert describe_key(f"{entry.name}=").startswith(entry.description)


def test_value_completions_are_choices_switches_and_the_current_value() -> None:
    config = ExperimentConfig(model=ModelConfig(norm="rmsnorm", n_layer=7))
    assert texts("model.norm=", config) == ["model.norm=layernorm", "model.norm=rmsnorm"]
    notes = {each.text: each.note for each in complete("model.norm=", config)}
    assert notes == {"model.norm=layernorm": "default", "model.norm=rmsnorm": "now"}
    assert texts("model.bias=") == ["model.bias=true", "model.bias=false"]
    assert texts("model.n_layer=", config) == ["model.n_layer=7", "model.n_layer=4"]
    assert texts("model.n_kv_head=") == ["model.n_kv_head=none"]
    assert texts("model.positional_encoding=ro") == ["model.positional_encoding=rope"]
    assert texts('model.positional_encoding="ro') == ["model.positional_encoding=rope"]
    assert texts("model.nothing=") == []
    assert texts("model=") == []


def test_every_offered_value_is_valid_for_its_setting(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    offered = 0
    for entry in schema_index().values():
        if entry.is_table or ANY_NAME in entry.key:
            continue
        for each in complete(f"{entry.name}=", None):
            # Some values do not fit this tiny model, but each has the right form.
            belongs = entry.key[0] not in {"hf_model", "peft"}
            belongs &= not {"lora", "huggingface"} & set(each.text.split("="))
            if belongs and (entry.key[0] in {"experiment", "sample"} or entry.choices):
                overrides = ["train.runtime.device=auto", each.text]
                load_experiment(project.root / "experiments", "tiny", None, overrides, {})
                offered += 1
            assert is_complete(each.text)
    assert offered > 20


@pytest.mark.parametrize(
    ("text", "whole"),
    [("model.bias=true", True), ("model.bias=", False), ("model.bias", False), ("x.y=1", False)],
)
def test_a_whole_override_has_a_known_key_and_a_value(text: str, whole: bool) -> None:
    assert is_complete(text) is whole


def folders(project: Project) -> tuple[Path, Path]:
    return project.root / "experiments", project.root / "runs"


def test_a_preview_has_the_values_with_and_without_the_changes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    found = preview(*folders(project), Launch("tiny", ("model.norm=rmsnorm",)))
    assert found.problem == ""
    assert found.data == "missing"
    assert found.parameters is None
    assert found.values.new["model.norm"] == "rmsnorm"
    assert found.values.was["model.norm"] == "layernorm"
    assert found.values.new["model.n_layer"] == found.values.was["model.n_layer"] == 2
    assert found.config is not None
    lines = dict(summary_lines(found.config, 1_234_567))
    assert lines["model"] == "1.23M parameters · 2 layers × 16 wide · 2 heads · context 16"
    assert lines["training"] == "20 steps · 4 × 16 = 64 tokens each"


def test_a_preview_of_an_invalid_launch_is_one_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    found = preview(*folders(project), Launch("tiny", ("model.n_layer=x",)))
    assert found.config is None
    assert "model.n_layer" in found.problem
    assert "no experiment 'none'" in preview(*folders(project), Launch("none")).problem
    assert "no run 'gone'" in preview(*folders(project), Launch("tiny", resume="gone")).problem


def test_a_broken_experiment_is_among_the_choices_with_its_error(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project.root / "experiments" / "bad").mkdir()
    (project.root / "experiments" / "bad" / "config.toml").write_text("[model]\nx = 1\n")
    bad, tiny = choices(project.root / "experiments")
    assert (bad.name, bad.data) == ("bad", "broken")
    assert "unknown key model.x" in bad.description
    assert (tiny.kind, tiny.data, tiny.description) == ("gpt", "missing", "bottles on a wall")


def test_a_run_id_must_be_free_and_well_formed(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    assert check_name(tmp_path, "") == ""
    assert check_name(tmp_path, "free") == ""
    assert "already a run" in check_name(tmp_path, "taken")
    assert "is not a valid run ID" in check_name(tmp_path, "../x")
