"""Sampling speed against transformers' `generate` with its key-value cache.

Model M (6 layers, 384 wide, vocabulary 65) with 512 positions, so that 500 tokens after a prompt of
8 fit into the context of both sides; batch 1, float32, temperature 0.8, no filters. Rounds
alternate, so that other load affects both sides.
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
from transformer_playground.model.gpt import GPT

_VOCAB = 65
_PROMPT = (20, 43, 50, 50, 53, 1, 58, 46)
_CONFIG = ModelConfig(
    n_layer=6, n_head=6, n_embd=384, block_size=512, bias=True, activation="gelu_tanh"
)
_GOAL = 1.5

Sampler = Callable[[int], int]


def reference() -> Sampler:
    """Transformers' model and generation loop, warnings off."""
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=_VOCAB,
            n_positions=_CONFIG.block_size,
            n_embd=_CONFIG.n_embd,
            n_layer=_CONFIG.n_layer,
            n_head=_CONFIG.n_head,
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


def ours() -> Sampler:
    """Our model and generation loop."""
    model = GPT(_CONFIG, _VOCAB).eval()

    def sample(tokens: int) -> int:
        settings = SamplingSettings(
            max_new_tokens=tokens, temperature=0.8, top_k=0, top_p=1.0, seed=0
        )
        return len(generate(model, _PROMPT, settings)[0].tokens)

    return sample


def _speed(sample: Sampler, tokens: int, clock: Callable[[], float]) -> float:
    began = clock()
    drawn = sample(tokens)
    return drawn / (clock() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
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
    their_sampler, our_sampler = reference(), ours()
    theirs, mine = [], []
    for round_index in range(options.rounds + 1):
        their_speed = _speed(their_sampler, options.tokens, clock)
        our_speed = _speed(our_sampler, options.tokens, clock)
        if round_index > 0:
            theirs.append(their_speed)
            mine.append(our_speed)
    slow, fast = statistics.median(theirs), statistics.median(mine)
    ratio = statistics.median(b / a for a, b in zip(theirs, mine, strict=True))
    print(f"transformers {slow:8.1f} tokens/s")
    print(f"ours         {fast:8.1f} tokens/s")
    print(f"ratio        {ratio:8.2f}   goal {_GOAL}")
    print(
        json.dumps(
            {
                "benchmark": "sampling",
                "torch": torch.__version__,
                "threads": options.threads,
                "tokens": options.tokens,
                "transformers_tokens_per_s": slow,
                "ours_tokens_per_s": fast,
                "ratio": ratio,
                "goal": _GOAL,
            }
        )
    )


if __name__ == "__main__":
    main()
