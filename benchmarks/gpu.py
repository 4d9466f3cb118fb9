"""Training speed on a GPU beside a plain loop as nanoGPT's, for GPT-2 124M and model M.

Both sides train the same shape on the same text, GPT-2 tokens for 124M and characters for M, in
bfloat16, with TF32 for what stays float32, fused AdamW and pinned batches; `compiled` with
torch.compile. Utilisation is the share of the fastest matrix product measured here in bfloat16,
counting forward and backward without recomputation. A batch that does not fit is halved.

It needs less than four minutes on one card. Without CUDA it checks itself: toy shapes on the CPU,
a few steps, and both sides must give finite losses.
"""

import argparse
import contextlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from presets import prepared_request
from reference import Recipe, ReferenceModel
from transformer_playground.runs.folder import create_run
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.run import build_trainer, load_setup
from transformer_playground.training.schedules import learning_rate

_WARMUP_STEPS = 5
_MIN_BATCH = 1


@dataclass(frozen=True)
class Shape:
    """A model and its batch; a padded vocabulary suits tensor cores."""

    name: str
    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    batch_size: int
    tokenizer: str
    vocab_size: int

    def overrides(self) -> list[str]:
        """The settings of our side."""
        model = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")
        return [
            *(f"model.{name}={getattr(self, name)}" for name in model),
            f"train.data.batch_size={self.batch_size}",
            f"prepare.tokenizer_type={self.tokenizer}",
            *(f"train.runtime.{name}=false" for name in ("tensorboard", "auto_plot")),
        ]


SHAPES = (
    Shape("GPT-2 124M", 12, 12, 768, 1024, 32, "gpt2", 50304),
    Shape("M", 6, 6, 384, 256, 256, "char", 128),
)
TOYS = (
    Shape("toy GPT-2", 2, 2, 16, 32, 4, "gpt2", 50304),
    Shape("toy M", 2, 2, 32, 32, 4, "char", 128),
)


@dataclass(frozen=True)
class Speed:
    """A side's tokens per second, and the loss of its last step."""

    tokens_per_second: float
    loss: float


class Side:
    """One side of the comparison: a step, and its loss as a tensor on the device."""

    def __init__(self, step: Callable[[], object], loss: Callable[[], float]) -> None:
        self.step, self.loss = step, loss


@contextlib.contextmanager
def our_side(shape: Shape, device: str, *, compiled: bool) -> Iterator[Side]:
    """The trainer of a real run, without its evaluations and checkpoints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = [*shape.overrides(), f"train.runtime.device={device}"]
        settings.append(f"train.runtime.compile={str(compiled).lower()}")
        request = prepared_request("shakespeare_char", folder, *settings)
        setup = load_setup(request, request.config, lambda _: None)
        run = create_run(folder / "runs", "bench", {"experiment": "bench", "config": {}})
        trainer = build_trainer(setup, run, (), TrainingControl(), None)
        with contextlib.closing(trainer):
            trainer.begin_session()

            def step() -> None:
                rate = learning_rate(trainer.state.step, trainer.train)
                trainer.optimizers.set_learning_rate(rate)
                trainer.train_step()

            def loss() -> float:
                # Evaluating reads the losses of all steps; a step that is not finite ends it.
                trainer.evaluate(scheduled=False)
                return trainer.state.window_loss / max(trainer.state.step, 1)

            yield Side(step, loss)


@contextlib.contextmanager
def plain_side(shape: Shape, device: str, *, compiled: bool) -> Iterator[Side]:
    """NanoGPT's loop: autocast, fused AdamW in two groups, clipping, pinned batches."""
    torch.manual_seed(0)
    recipe = Recipe(shape.n_layer, shape.n_head, shape.n_embd, shape.block_size, shape.batch_size)
    cuda = device == "cuda"
    model = ReferenceModel(recipe, shape.vocab_size).to(device)
    decayed = [each for each in model.parameters() if each.dim() >= 2]
    others = [each for each in model.parameters() if each.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        fused=cuda,
    )
    forward = torch.compile(model) if compiled else model
    text = torch.randint(min(shape.vocab_size, 50_000), (1_000_000,))
    newest: list[Tensor] = []

    def batch() -> tuple[Tensor, Tensor]:
        size = shape.block_size
        starts = torch.randint(len(text) - size, (shape.batch_size,)).tolist()
        pair = [
            torch.stack([text[start + shift : start + shift + size] for start in starts])
            for shift in (0, 1)
        ]
        if cuda:
            pair = [each.pin_memory().to(device, non_blocking=True) for each in pair]
        return pair[0], pair[1]

    def step() -> None:
        # The default device is that of the positions, which the model makes in its forward pass.
        with torch.device(device), torch.autocast(device, torch.bfloat16):
            loss: Tensor = forward(*batch_)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        newest[:] = [loss.detach()]
        batch_[:] = batch()

    def loss() -> float:
        return newest[0].item()

    batch_ = list(batch())
    yield Side(step, loss)


def measure(side: Side, shape: Shape, device: str, seconds: float) -> Speed:
    """Run warm-up steps, then steps for some seconds; the clock stops when the device is done."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(_WARMUP_STEPS):
        side.step()
    wait()
    start_time = time.perf_counter()
    side.step()
    wait()
    one = time.perf_counter() - start_time
    steps = max(2, math.ceil(seconds / max(one, 1e-4)))
    start_time = time.perf_counter()
    for _ in range(steps):
        side.step()
    wait()
    spent = time.perf_counter() - start_time
    return Speed(steps * shape.batch_size * shape.block_size / spent, side.loss())


def peak_flops(device: str, size: int) -> float:
    """Operations per second of the fastest of ten square bfloat16 products."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = math.inf
    for _ in range(10):
        if device == "cuda":
            torch.cuda.synchronize()
        start_time = time.perf_counter()
        product = left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start_time)
    assert product.isfinite().all()
    return 2 * size**3 / best


def fitting(shape: Shape, device: str, seconds: float, peak: float) -> dict[str, float]:
    """Figures of both sides with the largest batch that fits for each of them."""
    while True:
        try:
            return compare(shape, device, seconds, peak)
        except torch.OutOfMemoryError:
            if shape.batch_size <= _MIN_BATCH:
                raise
        torch.cuda.empty_cache()
        halved = {**vars(shape), "batch_size": shape.batch_size // 2}
        shape = Shape(**halved)
        print(f"{shape.name}: out of memory, trying a batch of {shape.batch_size}")


def compare(shape: Shape, device: str, seconds: float, peak: float) -> dict[str, float]:
    """Measure both sides, compiled or not, and print a line for each."""
    from transformer_playground.config.model import ModelConfig

    names = ("n_layer", "n_head", "n_embd", "block_size")
    config = ModelConfig(**{name: getattr(shape, name) for name in names})
    flop = config.flop_per_token(shape.vocab_size, shape.block_size)
    figures: dict[str, float] = {}
    # Compiling takes half a minute on each side: on CUDA only.
    for compiled in (False, True) if device == "cuda" else (False,):
        for name, open_side in (("ours", our_side), ("plain", plain_side)):
            with open_side(shape, device, compiled=compiled) as side:
                speed = measure(side, shape, device, seconds)
            if not math.isfinite(speed.loss):
                raise SystemExit(f"{shape.name}, {name}: the loss is {speed.loss}")
            key = f"{name}_compiled" if compiled else name
            figures[key] = round(speed.tokens_per_second)
            figures[f"{key}_utilisation"] = round(speed.tokens_per_second * flop / peak, 4)
            print(
                f"{shape.name:<11} {shape.batch_size:>4} x {shape.block_size:<5} {key:<15}"
                f"{speed.tokens_per_second:>12,.0f} tokens/s"
                f"{figures[f'{key}_utilisation']:>8.1%}   loss {speed.loss:.3f}",
                flush=True,
            )
    figures["ratio"] = round(figures["ours"] / figures["plain"], 3)
    if "ours_compiled" in figures:
        figures["ratio_compiled"] = round(figures["ours_compiled"] / figures["plain_compiled"], 3)
    return figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="time per measurement")
    parser.add_argument("--check", action="store_true", help="toy shapes on the CPU")
    stated = parser.parse_args(arguments)
    cuda = torch.cuda.is_available() and not stated.check
    device, shapes = ("cuda", SHAPES) if cuda else ("cpu", TOYS)
    if not cuda:
        stated.seconds = min(stated.seconds, 0.1)
        print("no CUDA device or --check: toy shapes on the CPU, which say nothing about a GPU")
    else:
        torch.backends.cuda.matmul.allow_tf32 = True
        print(torch.cuda.get_device_name())
    peak = peak_flops(device, 8192 if cuda else 256)
    print(f"fastest bfloat16 product: {peak / 1e12:.3f} TFLOP/s")
    start_time = time.perf_counter()
    figures = {shape.name: fitting(shape, device, stated.seconds, peak) for shape in shapes}
    seconds = round(time.perf_counter() - start_time, 1)
    print(json.dumps({"benchmark": "gpu", "device": device, "figures": figures, "s": seconds}))


if __name__ == "__main__":
    main()
