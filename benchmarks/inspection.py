"""Time of looking inside a model of size M at 64 tokens, view by view, beside a forward pass.

M is 6 layers, 384 wide, context 256, 65 characters. Each view is called in alternating rounds after
a warm-up; the goal is 300 ms for each.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from transformer_playground.config.model import ModelConfig
from transformer_playground.inspection.ablation import Component, ablate
from transformer_playground.inspection.heads import attention_patterns, score_heads
from transformer_playground.inspection.lens import attribute_logits, logit_lens
from transformer_playground.inspection.neurons import most_active
from transformer_playground.inspection.patching import patch_grid
from transformer_playground.inspection.recording import record
from transformer_playground.inspection.text import score_tokens
from transformer_playground.inspection.weights import module_tree, weight_statistics
from transformer_playground.model.base import evaluating
from transformer_playground.model.gpt import GPT

_LENGTH = 64
_GOAL_MS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    # With branches that start at zero, an untrained model repeats the last token of a prompt.
    config = ModelConfig(n_layer=6, n_head=6, n_embd=384, block_size=256, zero_init_output=True)
    model = GPT(config, 65).eval()
    tokens = torch.randint(65, (1, _LENGTH), generator=torch.Generator().manual_seed(0))
    # So that the answers differ.
    other = (tokens + 1) % 65

    def forward() -> None:
        with evaluating(model):
            model(tokens)

    sides: dict[str, Callable[[], object]] = {
        "forward pass": forward,
        "surprisal": lambda: score_tokens(record(model, tokens).logits[0], tokens[0]),
        "logit lens": lambda: list(logit_lens(model, tokens)),
        "attribution": lambda: attribute_logits(model, tokens, tokens),
        "attention": lambda: attention_patterns(model, tokens),
        "ablation of a head": lambda: ablate(model, tokens, [Component(3, 2)]),
        "neurons": lambda: most_active(model, tokens, 3),
        "modules and gradients": lambda: (module_tree(model), weight_statistics(model, tokens)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name, call in sides.items():
            started = time.perf_counter()
            call()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - started))
    # Not held against the goal: more than 64 tokens.
    larger: dict[str, Callable[[], object]] = {
        "patching, 384 places": lambda: patch_grid(model, tokens[0], other[0]),
        "scores of heads": lambda: score_heads(model),
    }
    once = {}
    for name, call in larger.items():
        started = time.perf_counter()
        call()
        once[name] = 1e3 * (time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        print(f"{name:24} {median:8.1f} ms{'' if median < _GOAL_MS else '  misses the goal'}")
    for name, taken in once.items():
        print(f"{name:24} {taken:8.1f} ms, no goal")
    print(json.dumps({"goal_ms": _GOAL_MS, "medians_ms": medians, "larger_ms": once}))


if __name__ == "__main__":
    main()
