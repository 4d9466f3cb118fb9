"""Runs that a search and successive halving need to find the best learning rate of a grid.

A model of 59,000 parameters on Tiny Shakespeare is trained with 16 learning rates and three seeds
by `tp sweep`; the best of the grid is the one with the lowest mean loss. Then TPE searches the same
16 values with a third and with half of the runs, for many seeds of its sampler, and successive
halving trains them by its own rule. Both see the losses of the grid's runs, which equal those of
their own runs bit for bit, so nothing is trained twice. Goals: TPE within one step of the grid's
best in a third of the runs, halving at the same best in half of the steps.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformer_playground.sweeps.axes import Axis
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.halving import decide, loss_until
from transformer_playground.sweeps.progress import Progress
from transformer_playground.sweeps.results import combine
from transformer_playground.sweeps.search import Search
from transformer_playground.sweeps.spec import Halving, load_sweep
from transformer_playground.sweeps.trials import TrialState

STEPS = 243
FIRST_RUNG = 27
CONFIG = f"""[prepare]
bundled = "tiny_shakespeare"
tokenizer_type = "char"

[model]
n_layer = 2
n_head = 4
n_embd = 48
block_size = 64
positional_encoding = "rope"
norm = "rmsnorm"
qk_norm = true
zero_init_output = true

[train.data]
batch_size = 12

[train.schedule]
schedule = "cosine"
warmup_iters = 10
min_lr = 0.0

[train.runtime]
max_iters = {STEPS}
eval_interval = 9
eval_windows = 24
sample_interval = 0
"""
TP = (sys.executable, "-P", "-c", "from transformer_playground.cli.main import run; run()")


def train_grid(folder: Path) -> list[TrialState]:
    """The finished trials of the grid; those of an earlier call are not trained again."""
    experiment = folder / "experiments" / "small"
    if not (folder / "sweeps" / "grid").exists():
        experiment.mkdir(parents=True, exist_ok=True)
        (experiment / "config.toml").write_text(CONFIG)
        new = ["sweep", "new", "small", "--name", "grid", "--seeds", "3"]
        new += ["--set", "learning_rate=1e-4..1e-1:log:16"]
        subprocess.run([*TP, *new], cwd=folder, check=True)
    subprocess.run([*TP, "sweep", "run", "grid"], cwd=folder, check=True)
    sweep = load_sweep(SweepFolder(folder / "sweeps" / "grid"))
    return Progress(sweep, folder / "experiments", folder / "runs").states()


def distance_of_search(axis: Axis, losses: Mapping[Any, float], runs: int, draw_seed: int) -> int:
    """Steps of the grid between its best value and the best one of a search."""
    values = sorted(losses)
    with tempfile.TemporaryDirectory() as folder:
        search = Search(Path(folder), (axis,), draw_seed)
        for _ in range(runs):
            search.choose(lambda _: False)
            found = search.combinations()
            number = max(found)
            search.tell(number, losses[dict(found[number])[axis.key]])
        tried = [dict(each)[axis.key] for each in search.combinations().values()]
    best, chosen = (min(some, key=losses.__getitem__) for some in (values, tried))
    return abs(values.index(best) - values.index(chosen))


def halve(states: Sequence[TrialState], runs_dir: Path) -> tuple[list[TrialState], int]:
    """The trials that successive halving trains to their end, and the steps of all together."""
    halving = Halving(steps=FIRST_RUNG)
    trained = dict.fromkeys((state.trial.run_id for state in states), 0)
    measured = {state.trial.run_id: state for state in states}

    def loss_at(state: TrialState, step: int) -> float | None:
        run_id = state.trial.run_id
        return loss_until(measured[run_id], step, runs_dir) if trained[run_id] >= step else None

    begun = [replace(state, state="open") for state in states]
    while goals := {
        state.trial.run_id: state.goal
        for state in decide(halving, begun, STEPS, loss_at)
        if state.goal is not None and trained[state.trial.run_id] < state.goal
    }:
        trained |= goals
    whole = [state for state in states if trained[state.trial.run_id] == STEPS]
    return whole, sum(trained.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep the project here, and use its runs again")
    parser.add_argument("--samplers", type=int, default=50, help="seeds of the sampler")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        states = train_grid(folder)
        combinations = combine(states)
        best = combinations[0].values
        losses = {each.values[0][1]: each.loss.mean or 0.0 for each in combinations}
        sweep = load_sweep(SweepFolder(folder / "sweeps" / "grid"))
        print(f"best of the grid: {best[0][1]:g}, {len(losses)} values", flush=True)
        result: dict[str, Any] = {"benchmark": "sweep_search", "best": best[0][1]}
        distance = partial(distance_of_search, sweep.axes[0], losses)
        for runs in (len(losses) // 3, len(losses) // 2):
            found = [distance(runs, seed) for seed in range(options.samplers)]
            within = sum(each <= 1 for each in found)
            print(f"TPE, {runs} runs: within one step for {within} of {len(found)} samplers")
            print(f"  distance with seed 0: {found[0]}", flush=True)
            result[f"tpe_{runs}"] = within / len(found)
        whole, steps = halve(states, folder / "runs")
        winner = combine(whole)[0].values
        share = steps / (STEPS * len(states))
        print(f"halving: {winner[0][1]:g} after {share:.1%} of the steps", flush=True)
        result |= {"halving": winner[0][1], "halving_steps": round(share, 4)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
