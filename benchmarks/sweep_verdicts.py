"""How often the verdict of a sweep is wrong, and how often it finds a real difference.

Losses are simulated: a common effect of each seed, and independent noise of standard deviation 1
for each run. With equal combinations any clear winner is an error; the goal is 1 % ± 0.5 %. Power
is how often the right one is called clear if it is better than all others by so many deviations.
"""

import argparse
import json
import random
from collections.abc import Sequence

from transformer_playground.comparison.significance import LEVEL
from transformer_playground.sweeps.results import block_tests, rejections

SEEDS = (3, 5, 10, 15, 20, 30)
SHAPES = (2, 4, 8)


def clear_winner(rows: Sequence[Sequence[float]]) -> int | None:
    """The combination that is called better than all others; None without a clear one."""
    order = sorted(range(len(rows)), key=lambda place: sum(rows[place]))
    p_values = block_tests([rows[place] for place in order])
    if p_values is None or rejections(p_values, LEVEL) < len(p_values):
        return None
    return order[0]


def share(combinations: int, seeds: int, better: float, count: int) -> float:
    """Share of simulated sweeps in which a combination is called clear, and is the first one.

    Args:
        better: By how much the first combination is better; 0 = all are equal, and any clear
            winner counts.
    """
    generator = random.Random(f"{combinations}-{seeds}-{better}")
    found = 0
    for _ in range(count):
        of_seed = [generator.gauss(0, 1) for _ in range(seeds)]
        rows = [
            [effect + generator.gauss(0, 1) - (better if place == 0 else 0.0) for effect in of_seed]
            for place in range(combinations)
        ]
        winner = clear_winner(rows)
        found += winner is not None if better == 0 else winner == 0
    return found / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="simulated sweeps of each kind")
    options = parser.parse_args()
    print("| combinations | better by | " + " | ".join(f"{seeds} seeds" for seeds in SEEDS) + " |")
    print("| --: | --: |" + " --: |" * len(SEEDS))
    result: dict[str, dict[str, float]] = {}
    for combinations in SHAPES:
        for better in (0.0, 1.0, 2.0):
            row = {str(n): share(combinations, n, better, options.count) for n in SEEDS}
            result[f"{combinations} combinations, {better:g}"] = row
            cells = " | ".join(f"{100 * value:.1f} %" for value in row.values())
            print(f"| {combinations} | {better:g} | {cells} |", flush=True)
    print(json.dumps({"benchmark": "sweep_verdicts", "count": options.count, "shares": result}))


if __name__ == "__main__":
    main()
