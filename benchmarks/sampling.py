"""Sampling speed against transformers' `generate` with its key-value cache.

Batch 1, 500 tokens after a prompt of 8, temperature 0.8, no filters. Model M has 6 layers of 384
channels, model S 4 layers of 128, both a vocabulary of 65 and 512 positions, so that all tokens fit
into the context. The reference samples in float32, our side in float32, in bfloat16 and with int8
weights. Rounds alternate, so that other load affects all of them.

Each token reads every weight once, so memory bandwidth bounds the speed: it is measured too, as
the sum over an array that is larger than the caches, and each speed is also given as a share of it.
llama.cpp is not run here; its printed speed was measured with model M in float32 on two cores of a
Xeon with AMX.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import torch
import transformers

from transformer_playground.config.model import ModelConfig
from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.model.base import count_parameters
from transformer_playground.model.decoding import store_for_decoding
from transformer_playground.model.gpt import GPT

_VOCAB = 65
_PROMPT = (20, 43, 50, 50, 53, 1, 58, 46)
_MODELS = {
    "M": ModelConfig(
        n_layer=6, n_head=6, n_embd=384, block_size=512, bias=True, activation="gelu_tanh"
    ),
    "S": ModelConfig(
        n_layer=4, n_head=4, n_embd=128, block_size=512, bias=True, activation="gelu_tanh"
    ),
}
_WEIGHTS = ("float32", "bfloat16", "int8")
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
# For model M.
_GOALS = {"float32": 2.0, "int8": 3.0}
_BANDWIDTH_BYTES = 256 << 20
# Tokens per second of llama.cpp 0.4 by number of threads.
_LLAMA_CPP = {1: 471, 2: 810}

Clock = Callable[[], float]
Sampler = Callable[[int], int]


def reference(config: ModelConfig) -> Sampler:
    """Transformers' model and generation loop, warnings off."""
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=_VOCAB,
            n_positions=config.block_size,
            n_embd=config.n_embd,
            n_layer=config.n_layer,
            n_head=config.n_head,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    ).eval()
    prompt = torch.tensor([_PROMPT])

    def sample(tokens: int) -> int:
        with torch.inference_mode():
            output = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=True,
                temperature=0.8,
                top_k=0,
                max_new_tokens=tokens,
                use_cache=True,
            )
        return int(output.shape[1]) - len(_PROMPT)

    return sample


def ours(config: ModelConfig, weights: str) -> Sampler:
    """Our model and generation loop."""
    model = GPT(config, _VOCAB).eval()
    if weights == "bfloat16":
        model.bfloat16()
    elif weights == "int8":
        model.quantize()
    # As the model of a checkpoint is stored when it is loaded for sampling.
    store_for_decoding(model)

    def sample(tokens: int) -> int:
        settings = SamplingSettings(
            max_new_tokens=tokens, temperature=0.8, top_k=0, top_p=1.0, seed=0
        )
        return len(generate(model, _PROMPT, settings)[0].tokens)

    return sample


def read_bandwidth() -> float:
    """Bytes per second that a sum over a large array reads, the best of several runs."""
    array = torch.ones(_BANDWIDTH_BYTES // 4)
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        array.sum()
        seconds.append(time.perf_counter() - began)
    return _BANDWIDTH_BYTES / min(seconds)


def _speed(sample: Sampler, tokens: int, clock: Clock) -> float:
    began = clock()
    drawn = sample(tokens)
    return drawn / (clock() - began)


def measure(
    name: str, threads: int, options: argparse.Namespace, clock: Clock
) -> dict[str, object]:
    """Median speeds of all sides and ratios to the reference, printed and returned."""
    torch.set_num_threads(threads)
    config = _MODELS[name]
    samplers = {"transformers": reference(config)}
    samplers |= {weights: ours(config, weights) for weights in _WEIGHTS}
    rounds: dict[str, list[float]] = {side: [] for side in samplers}
    for round_index in range(options.rounds + 1):
        for side, sample in samplers.items():
            speed = _speed(sample, options.tokens, clock)
            if round_index > 0:
                rounds[side].append(speed)
    bandwidth = read_bandwidth()
    parameters = count_parameters(GPT(config, _VOCAB))
    sides = {}
    for side, speeds in rounds.items():
        ratios = [a / b for a, b in zip(speeds, rounds["transformers"], strict=True)]
        weights = "float32" if side == "transformers" else side
        speed = statistics.median(speeds)
        ratio = statistics.median(ratios)
        share = speed * parameters * _BYTES[weights] / bandwidth
        goal = _GOALS.get(side) if name == "M" else None
        sides[side] = {"tokens_per_s": speed, "ratio": ratio, "share": share, "goal": goal}
        print(
            f"{name}  threads {threads}  {side:12} {speed:8.1f} tokens/s"
            f" {ratio:6.2f}x {share:6.0%} of the bandwidth"
            + (f"   goal {goal:g}x" if goal else ""),
            flush=True,
        )
    if name == "M" and threads in _LLAMA_CPP:
        print(
            f"{name}  threads {threads}  llama.cpp    {_LLAMA_CPP[threads]:8.1f} tokens/s"
            " on another machine"
        )
    return {"model": name, "threads": threads, "bytes_per_s": bandwidth, "sides": sides}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(_MODELS), default=list(_MODELS))
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure CPU time instead of wall time: more stable on a busy machine, "
        "meaningful with --threads 1 only",
    )
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    figures = [
        measure(name, threads, options, clock)
        for name in options.models
        for threads in options.threads
    ]
    print(
        json.dumps(
            {
                "benchmark": "sampling",
                "torch": torch.__version__,
                "tokens": options.tokens,
                "figures": figures,
            }
        )
    )


if __name__ == "__main__":
    main()
