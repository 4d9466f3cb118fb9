"""An experiment from a template trains, also one that finetunes a base model."""

import json
from pathlib import Path

from builders.base_models import build_model_folder
from builders.commands import TP, Project
from builders.finetuning import LINES

FEW_STEPS = (
    *("--set", "train.runtime.max_iters=4", "--set", "train.runtime.eval_interval=2"),
    *("--set", "train.runtime.eval_windows=2", "--set", "hf_model.block_size=16"),
    *("--set", "train.runtime.device=cpu", "--run-id", "first"),
)


def test_a_new_finetuning_experiment_trains_on_the_base_model_beside_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    made = project.child(TP, "new", "mine", "--template", "lora")
    assert made.code == 0, made.err
    assert made.out.endswith("Next: tp loop mine\n")
    folder = tmp_path / "experiments" / "mine"
    base = build_model_folder("llama", folder)
    config = (folder / "config.toml").read_text()
    name = "HuggingFaceTB/SmolLM2-135M"
    (folder / "config.toml").write_text(config.replace(name, f"./{base.name}"))
    (folder / "raw" / "lines.txt").write_text("\n".join(LINES))

    ended = project.child(TP, "loop", "mine", *FEW_STEPS)
    assert ended.code == 0, ended.err
    run = project.run_named("first")
    assert (run.root / "adapters" / "final" / "adapter_model.safetensors").is_file()
    summary = json.loads(run.summary_path.read_bytes())
    assert (summary["status"], summary["final_step"]) == ("finished", 4)
