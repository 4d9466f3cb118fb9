"""Batched sampling against sampling one by one.

Generates 200 samples of 100 tokens, as a report does. Model S is that of `shakespeare_char` (4
layers, 128 wide, context 64, which is exceeded once), model M has 6 layers, is 384 wide and has a
context of 256; vocabulary 65, float32. Both sides use the same model in one process in alternating
rounds. One by one takes minutes, so each round generates only `--singles` samples and scales the
time to 200, as shown in the table.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import torch

from transformer_playground.config.model import ModelConfig
from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.model.gpt import GPT

_VOCAB = 65
_PROMPT = (0,)
_MODELS = {
    "S": ModelConfig(n_layer=4, n_head=4, n_embd=128, block_size=64),
    "M": ModelConfig(n_layer=6, n_head=6, n_embd=384, block_size=256),
}
_GOAL = 8.0

Clock = Callable[[], float]


def _seconds(model: GPT, tokens: int, n_samples: int, seed: int, clock: Clock) -> float:
    settings = SamplingSettings(
        max_new_tokens=tokens, temperature=0.8, top_k=0, top_p=1.0, seed=seed
    )
    began = clock()
    drawn = generate(model, _PROMPT, settings, n_samples=n_samples)
    ended = clock()
    if any(len(each.tokens) != tokens for each in drawn):
        raise AssertionError("a sample is too short")
    return ended - began


def _measure(name: str, options: argparse.Namespace, clock: Clock) -> dict[str, float | str]:
    """Median seconds of both sides for all samples, and the median of the ratios per round."""
    model = GPT(_MODELS[name], _VOCAB).eval()
    _seconds(model, options.tokens, 2, 0, clock)
    together, one_by_one = [], []
    for round_index in range(options.rounds):
        together.append(_seconds(model, options.tokens, options.samples, round_index, clock))
        singles = sum(
            _seconds(model, options.tokens, 1, 1 + number, clock)
            for number in range(options.singles)
        )
        one_by_one.append(singles / options.singles * options.samples)
    return {
        "model": name,
        "together_s": statistics.median(together),
        "one_by_one_s": statistics.median(one_by_one),
        "ratio": statistics.median(
            slow / fast for slow, fast in zip(one_by_one, together, strict=True)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--singles", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure CPU time instead of wall time: more stable on a busy machine, "
        "meaningful with --threads 1 only",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    figures = []
    print(f"{options.samples} samples of {options.tokens} tokens")
    print(f"model   together   one by one ({options.singles} timed, scaled)   ratio")
    for name in _MODELS:
        figure = _measure(name, options, clock)
        figures.append(figure)
        print(
            f"{name:5} {figure['together_s']:8.2f} s {figure['one_by_one_s']:28.2f} s "
            f"{figure['ratio']:7.2f}   goal {_GOAL:g}",
            flush=True,
        )
    print(
        json.dumps(
            {
                "benchmark": "batched_sampling",
                "torch": torch.__version__,
                "threads": options.threads,
                "samples": options.samples,
                "tokens": options.tokens,
                "singles": options.singles,
                "models": figures,
                "goal": _GOAL,
            }
        )
    )


if __name__ == "__main__":
    main()
