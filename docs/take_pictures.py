"""Draw the pictures of the console in `docs/pictures/`: `make screenshots`.

Three small runs are trained on the texts of this folder first, so the pictures show real numbers.
"""

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from transformer_playground.cli.main import main as tp
from transformer_playground.tui.app import Console

HERE = Path(__file__).resolve().parent
WIDE, NARROW = (120, 36), (80, 24)
# The fonts that the toolkit links to would be fetched from elsewhere by whoever opens a picture.
FONTS = re.compile(r"@font-face\s*\{.*?\}|<!--.*?-->", re.DOTALL)
CONFIG = """\
[experiment]
description = "The documents of this project, character by character"

[model]
n_layer = 2
n_head = 2
n_embd = 64
block_size = 64

[train.data]
batch_size = 8

[train.runtime]
max_iters = 400
eval_interval = 50
eval_windows = 60
log_interval = 5
sample_interval = 100
device = "cpu"
threads = 1
tensorboard = false

[sample.sample]
start = "The "
max_new_tokens = 240
"""
RUNS = {
    "docs-learned": (),
    "docs-rope": ("model.positional_encoding=rope",),
    "docs-rope-seed-2": ("model.positional_encoding=rope", "train.runtime.seed=2"),
}


def train_runs(project: Path) -> None:
    """Train three small runs below `project`."""
    raw = project / "experiments" / "docs" / "raw"
    raw.mkdir(parents=True)
    (raw.parent / "config.toml").write_text(CONFIG, encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.md"))]
    (raw / "input.txt").write_text("\n".join(texts), encoding="utf-8")
    for run_id, overrides in RUNS.items():
        flags = [word for override in overrides for word in ("--set", override)]
        if tp(["loop", "docs", "--run-id", run_id, *flags]):
            raise SystemExit(f"{run_id} could not be trained")


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing changes any more."""
    # Files are read in threads; half a second without a change is as good as done.
    seen = ""
    for _ in range(60):
        await pilot.pause(0.5)
        now = pilot.app.export_screenshot()
        if now == seen and not getattr(pilot.app.screen, "is_reading", False):
            return
        seen = now


async def take(project: Path, name: str, size: tuple[int, int], *keys: str) -> None:
    """Draw what the console shows after some keys."""
    console = Console(project / "experiments", project / "runs", project / "sweeps")
    async with console.run_test(size=size) as pilot:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        picture = console.export_screenshot(title="tp-tui")
    (HERE / "pictures" / f"{name}.svg").write_text(FONTS.sub("", picture), encoding="utf-8")


async def take_all(project: Path) -> None:
    """Draw every picture."""
    marks = ("space", "space", "space")
    await take(project, "console-runs", WIDE)
    await take(project, "console-runs-80x24", NARROW)
    await take(project, "console-launch", WIDE, "n")
    await take(project, "console-live", WIDE, *marks, "2")
    await take(project, "console-sample", WIDE, "3", "enter")
    await take(
        project, "console-inside", WIDE, "3", "enter", *["right"] * 40, "L", "tab", "tab", "d"
    )
    await take(project, "console-compare", WIDE, *marks, "4")
    await take(project, "console-grid", WIDE, *marks, "5", "g")
    await take(project, "console-data", WIDE, "7", "slash", *"token", "enter", "E")
    await take(project, "console-model", WIDE, "6")
    await take(project, "console-keys", WIDE, "question_mark")


def main() -> None:
    """Train, then draw."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = str(Path(folder) / "config")
        os.chdir(folder)
        train_runs(Path())
        asyncio.run(take_all(Path()))
    sys.stderr.write(f"pictures are in {HERE / 'pictures'}\n")


if __name__ == "__main__":
    main()
