"""A scaffolded experiment is whole, valid and refuses to overwrite."""

from pathlib import Path
from typing import get_args

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import discover, load_experiment
from transformer_playground.experiments.registry import dataset_state, prepare_experiment
from transformer_playground.experiments.scaffold import Template, scaffold

TEMPLATES: tuple[Template, ...] = get_args(Template)
FROM_SCRATCH = [template for template in TEMPLATES if template != "lora"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_loads_and_names_its_tokenizer(tmp_path: Path, template: Template) -> None:
    files = scaffold(tmp_path / "experiments", "mine", template)
    folder = tmp_path / "experiments" / "mine"
    assert sorted(files) == [folder / ".gitignore", folder / "README.md", folder / "config.toml"]
    assert (folder / "raw").is_dir()
    _, loaded = load_experiment(tmp_path / "experiments", "mine", None, (), {})
    if template == "lora":
        assert loaded.config.experiment.kind == "lora"
    else:
        assert loaded.config.prepare.tokenizer_type == template
    assert loaded.config.prepare.bundled == "tiny_shakespeare"
    assert loaded.config.prepare.dataset_dir == folder / "datasets"


@pytest.mark.parametrize("template", FROM_SCRATCH)
def test_every_template_prepares_as_it_stands(tmp_path: Path, template: Template) -> None:
    scaffold(tmp_path, "mine", template)
    experiment, loaded = load_experiment(tmp_path, "mine", None, (), {})
    prepared = prepare_experiment(experiment, loaded.config, report=lambda _: None)
    assert prepared.val_tokens > 10 * loaded.config.model.block_size
    assert dataset_state(experiment, loaded.config) == "prepared"


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_line_of_a_template_says_something(tmp_path: Path, template: Template) -> None:
    """What equals the default is left out; the choices that make a template stay."""
    scaffold(tmp_path, "mine", template)
    stated = {
        line.split(" = ")[0]
        for line in (tmp_path / "mine" / "config.toml").read_text().splitlines()
        if " = " in line and not line.startswith("#")
    }
    _, loaded = load_experiment(tmp_path, "mine", None, (), {})
    differing = {key.split(".")[-1] for key in loaded.provenance}
    shown_anyway = {
        "tokenizer_type", "n_layer", "n_head", "n_embd", "block_size", "batch_size", "start",
        "eval_interval", "r", "lora_alpha",
    }  # fmt: skip
    assert stated - differing <= shown_anyway


def test_the_readme_speaks_of_this_experiment(tmp_path: Path) -> None:
    scaffold(tmp_path, "mine", "char")
    readme = (tmp_path / "mine" / "README.md").read_text()
    assert readme.startswith("# mine\n")
    assert "tp loop mine" in readme
    assert "$" not in readme


@pytest.mark.parametrize("taken", ["folder", "empty folder", "file", "dangling link"])
def test_what_is_there_is_never_touched(tmp_path: Path, taken: str) -> None:
    place = tmp_path / "mine"
    match taken:
        case "folder":
            place.mkdir()
            (place / "config.toml").write_text("mine")
        case "empty folder":
            place.mkdir()
        case "file":
            place.write_text("mine")
        case _:
            place.symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="already exists"):
        scaffold(tmp_path, "mine", "char")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", ""])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not an experiment name"):
        scaffold(tmp_path / "experiments", name, "char")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(UsageError, match="cannot be written: No space left"):
        scaffold(tmp_path, "mine", "char")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_experiments_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiments").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        scaffold(tmp_path / "experiments", "mine", "char")


def test_a_new_experiment_is_found_at_once(tmp_path: Path) -> None:
    scaffold(tmp_path, "mine", "gpt2")
    assert [experiment.name for experiment in discover(tmp_path)] == ["mine"]
