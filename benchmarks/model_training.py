"""Training throughput against transformers' GPT2LMHeadModel in a plain PyTorch loop.

Both sides are the same architecture with the same batches of Tiny Shakespeare by characters. The
reference is float32 with fused AdamW and does nothing but forward, backward, step and zero_grad.
Our side is a step of the trainer: precision of `dtype = "auto"`, float32 master weights, gradient
clipping. Rounds alternate, so that other load affects both sides.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import ModelConfig
from transformer_playground.config.train import OptimConfig
from transformer_playground.model.base import count_parameters
from transformer_playground.model.device import choose_precision
from transformer_playground.model.gpt import GPT
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.optimizers import build_optimizers

_OPTIM = OptimConfig()


@dataclass(frozen=True)
class Shape:
    """A model and its batch; `goal` is the target ratio of throughputs."""

    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    batch_size: int
    steps: int
    goal: float


SHAPES = {
    "S": Shape(4, 4, 128, 64, 12, steps=20, goal=1.2),
    "M": Shape(6, 6, 384, 256, 8, steps=3, goal=1.8),
}


class Corpus:
    """Random windows of Tiny Shakespeare by characters."""

    def __init__(self, shape: Shape) -> None:
        folder = resources.files("transformer_playground.data") / "bundled"
        text = (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8")
        ids = {char: index for index, char in enumerate(sorted(set(text)))}
        self.vocab_size = len(ids)
        self._tokens = torch.tensor([ids[char] for char in text])
        self._shape = shape

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, (B, T) each."""
        shape, generator = self._shape, torch.Generator().manual_seed(seed)
        last = len(self._tokens) - shape.block_size - 1
        starts = torch.randint(last, (shape.batch_size, 1), generator=generator)
        windows = self._tokens[starts + torch.arange(shape.block_size + 1)]
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


Step = Callable[[Tensor, Tensor], None]
Loss = Callable[[Tensor, Tensor], float]


def reference(shape: Shape, vocab_size: int) -> tuple[Step, Loss]:
    """Transformers' model in a plain float32 loop."""
    import transformers

    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=vocab_size,
            n_positions=shape.block_size,
            n_embd=shape.n_embd,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=_OPTIM.learning_rate,
        betas=(_OPTIM.beta1, _OPTIM.beta2),
        weight_decay=_OPTIM.weight_decay,
        fused=True,
    )

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        logits = model(inputs).logits
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def step(inputs: Tensor, targets: Tensor) -> None:
        loss_of(inputs, targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, _without_gradients(loss_of)


def ours(shape: Shape, vocab_size: int) -> tuple[Step, Loss, str, int]:
    """Our model with the components of the trainer."""
    config = ModelConfig(
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        n_embd=shape.n_embd,
        block_size=shape.block_size,
        bias=True,
        activation="gelu_tanh",
    )
    model = GPT(config, vocab_size).train()
    parameters = count_parameters(model)
    precision = choose_precision("auto", torch.device("cpu"), parameters)
    weights = MixedPrecisionParams(model, precision.dtype)
    optimizers = build_optimizers(_OPTIM, weights.named(), model.hidden_matrices())

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        return summed_cross_entropy(model(inputs), targets) / targets.numel()

    def step(inputs: Tensor, targets: Tensor) -> None:
        loss_of(inputs, targets).backward()  # type: ignore[no-untyped-call]
        weights.accumulate_grads()
        nn.utils.clip_grad_norm_(weights.masters, _OPTIM.grad_clip)
        for optimizer in optimizers:
            optimizer.step()
        optimizers.zero_grad()
        weights.copy_to_model()

    return step, _without_gradients(loss_of), precision.name, parameters


def _without_gradients(loss_of: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    def evaluate(inputs: Tensor, targets: Tensor) -> float:
        with torch.inference_mode():
            return loss_of(inputs, targets).item()

    return evaluate


def _seconds(
    step: Step, corpus: Corpus, first: int, steps: int, clock: Callable[[], float]
) -> float:
    batches = [corpus.batch(first + index) for index in range(steps)]
    began = clock()
    for inputs, targets in batches:
        step(inputs, targets)
    return (clock() - began) / steps


def measure(name: str, rounds: int, clock: Callable[[], float]) -> dict[str, float | str]:
    """Alternate both sides for `rounds` rounds and compare medians."""
    shape = SHAPES[name]
    corpus = Corpus(shape)
    their_step, their_loss = reference(shape, corpus.vocab_size)
    our_step, our_loss, dtype, parameters = ours(shape, corpus.vocab_size)
    theirs: list[float] = []
    mine: list[float] = []
    for round_index in range(rounds + 1):
        first = round_index * shape.steps
        theirs.append(_seconds(their_step, corpus, first, shape.steps, clock))
        mine.append(_seconds(our_step, corpus, first, shape.steps, clock))
    # The first round warms up caches and allocators.
    theirs, mine = theirs[1:], mine[1:]
    held_out = [corpus.batch(10_000_000 + index) for index in range(4)]
    tokens = shape.batch_size * shape.block_size
    slow, fast = statistics.median(theirs), statistics.median(mine)
    return {
        "shape": name,
        "parameters": parameters,
        "dtype": dtype,
        "transformers_ms": 1e3 * slow,
        "ours_ms": 1e3 * fast,
        "transformers_tokens_per_s": tokens / slow,
        "ours_tokens_per_s": tokens / fast,
        "ratio": statistics.median(a / b for a, b in zip(theirs, mine, strict=True)),
        "goal": shape.goal,
        "transformers_loss": statistics.mean(their_loss(*batch) for batch in held_out),
        "ours_loss": statistics.mean(our_loss(*batch) for batch in held_out),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="S,M", help="comma-separated, of S and M")
    parser.add_argument("--rounds", type=int, default=9)
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
    results = [measure(name, options.rounds, clock) for name in options.shapes.split(",")]
    print(f"{'shape':6}{'dtype':10}{'transformers':>14}{'ours':>12}{'ratio':>8}{'goal':>7}  loss")
    for row in results:
        print(
            f"{row['shape']:6}{row['dtype']:10}{row['transformers_ms']:11.1f} ms"
            f"{row['ours_ms']:9.1f} ms{row['ratio']:8.2f}{row['goal']:7.1f}"
            f"  {row['transformers_loss']:.3f} vs {row['ours_loss']:.3f}"
        )
    print(
        json.dumps(
            {
                "benchmark": "model_training",
                "torch": torch.__version__,
                "threads": options.threads,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()
