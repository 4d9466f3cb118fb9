"""What needs no torch starts without it, and nothing needs the console's toolkit."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import transformer_playground
from builders.commands import CONFIG, Project
from builders.runs import make_run, train_row

HEAVY = ("torch", "transformers", "peft", "tensorboard", "textual", "matplotlib")

RUN_SCRIPT = """\
import json, sys
from transformer_playground.{module} import run
sys.argv = {argv!r}
try:
    run()
finally:
    print(json.dumps(sorted({heavy!r} & sys.modules.keys())), file=sys.stderr)
"""

# Packages that work without a model.
LIGHT_PACKAGES = ("config", "data", "experiments")
LIGHT_MODULES = (
    *("cli.main", "tp_tui", "checkpoints.discovery"),
    *("runs.folder", "runs.listing", "runs.metrics"),
    *("runs.status", "runs.summary", "runs.series", "runs.index"),
    *("runs.curves", "plots.loss_curves", "plots.loss_plot", "training.sinks.text"),
)


def imported_by(project: Project, source: str) -> list[Any]:
    ended = project.child(sys.executable, "-c", source)
    assert ended.code == 0, ended.err
    heavy = json.loads(ended.err.splitlines()[-1])
    assert isinstance(heavy, list)
    return heavy


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("cli.main", ["tp", "--help"]),
        ("cli.main", ["tp", "train", "--help"]),
        ("cli.main", ["tp", "runs"]),
        ("cli.main", ["tp", "compare", "--run-ids", "tiny-1,tiny-2", "--json"]),
        ("cli.main", ["tp", "experiments"]),
        ("cli.main", ["tp", "prepare", "tiny"]),
        ("cli.main", ["tp", "new", "other"]),
        ("tp_tui", ["tp-tui", "--help"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_light_command_imports_nothing_heavy(
    project: Project, module: str, words: list[str]
) -> None:
    for run_id in ("tiny-1", "tiny-2"):
        make_run(project.root / "runs", run_id, rows=[train_row(1)])
    source = RUN_SCRIPT.format(module=module, argv=words, heavy=set(HEAVY))
    assert imported_by(project, source) == []


@pytest.mark.parametrize("words", [["tp", "--help"], ["tp", "runs"]], ids=" ".join)
def test_help_and_lists_start_without_array_and_config_libraries(
    project: Project, words: list[str]
) -> None:
    source = RUN_SCRIPT.format(
        module="cli.main", argv=words, heavy={*HEAVY, "numpy", "filelock", "tomlkit", "psutil"}
    )
    assert imported_by(project, source) == []


def test_training_resuming_and_timing_load_no_compiler(project: Project) -> None:
    words = ["loop", "tiny", "--run-id", "one", "--set", "train.optim.optimizer=muon"]
    commands = (
        [*words, "--set", "train.runtime.max_iters=2"],
        [*words, "--set", "train.runtime.max_iters=4"],
        ["train", "tiny", "--estimate", "--timed"],
    )
    compiler = {"torch._dynamo", "torch._inductor", "sympy", "triton"}
    source = f"""\
import json, sys
from transformer_playground.cli.main import main
found = []
for words in {commands!r}:
    assert main(words) == 0
    found.append(sorted({compiler!r} & sys.modules.keys()))
print(json.dumps(found), file=sys.stderr)
"""
    assert imported_by(project, source) == [[], [], []]


def test_a_plot_is_drawn_without_torch_and_without_a_display(project: Project) -> None:
    make_run(project.root / "runs", "tiny-1", rows=[train_row(1)])
    words = ["tp", "plot-loss", "--run-id", "tiny-1"]
    unwanted = {*HEAVY, "matplotlib.pyplot"} - {"matplotlib"}
    source = RUN_SCRIPT.format(module="cli.main", argv=words, heavy=unwanted)
    assert imported_by(project, source) == []


def test_a_wrong_configuration_is_refused_before_anything_heavy(project: Project) -> None:
    (project.experiment / "config.toml").write_text(CONFIG.replace("n_head = 2", "n_head = 3"))
    source = RUN_SCRIPT.format(module="cli.main", argv=["tp", "train", "tiny"], heavy=set(HEAVY))
    ended = project.child(sys.executable, "-c", source)
    assert ended.code == 2
    assert json.loads(ended.err.splitlines()[-1]) == []


def test_light_packages_import_nothing_heavy(project: Project) -> None:
    root = Path(transformer_playground.__path__[0])
    modules = [
        ".".join(path.relative_to(root).with_suffix("").parts)
        for package in LIGHT_PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        if path.stem != "__init__"
    ]
    assert len(modules) > 20
    imports = "\n".join(f"import transformer_playground.{name}" for name in modules)
    others = "\n".join(f"import transformer_playground.{name}" for name in LIGHT_MODULES)
    report = f"print(json.dumps(sorted({set(HEAVY)!r} & sys.modules.keys())), file=sys.stderr)"
    source = f"import json, sys\n{imports}\n{others}\n{report}"
    assert imported_by(project, source) == []


def test_the_first_frame_of_the_console_needs_nothing_but_its_toolkit(project: Project) -> None:
    make_run(project.root / "runs", "tiny-1", rows=[train_row(1)])
    unwanted = {*HEAVY, "numpy", "pydantic", "tomlkit", "psutil", "aiohttp", "typer"} - {"textual"}
    later = ("query", "naming", "listing", "labels", "summary", "metrics", "status")
    unwanted |= {f"transformer_playground.runs.{name}" for name in later}
    unwanted |= {
        f"transformer_playground.tui.runs.{name}" for name in ("filter_bar", "first_steps")
    }
    source = f"""\
import asyncio, json, sys
from pathlib import Path
from textual.app import App
import transformer_playground.tp_tui
from transformer_playground.tui.app import Console

seen = []

draw = App._display

def display(self, screen, renderable):
    seen.append(sorted({unwanted!r} & sys.modules.keys()))
    draw(self, screen, renderable)

App._display = display

async def look():
    async with Console(Path("experiments"), Path("runs")).run_test() as pilot:
        while not pilot.app.context.snapshot.runs:
            await pilot.pause()

asyncio.run(look())
print(json.dumps([seen[0], sorted({set(HEAVY)!r} & sys.modules.keys())]), file=sys.stderr)
"""
    at_first_frame_and_at_last = imported_by(project, source)
    assert at_first_frame_and_at_last == [[], ["textual"]]
