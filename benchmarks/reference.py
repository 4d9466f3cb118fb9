"""The plain float32 training loop that ours is measured against, independent of our packages.

A GPT-2-shaped model and a loop as in nanoGPT: learned positions, pre-norm LayerNorm, GELU, no
biases, tied head, torch's fused attention, AdamW in two groups, gradient clipping, cosine schedule
with warm-up, no dropout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import torch
from torch import Tensor, nn
from torch.nn import functional

Tokens = Tensor
"""Token ids of a text, int64 (N,)."""


@dataclass(frozen=True)
class Recipe:
    """Shape, batch and schedule; the defaults are nanoGPT's CPU recipe for Tiny Shakespeare."""

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    block_size: int = 64
    batch_size: int = 12
    steps: int = 2000
    learning_rate: float = 1e-3
    min_lr: float = 1e-4
    warmup_steps: int = 100
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    grad_clip: float = 1.0

    @property
    def tokens_per_step(self) -> int:
        """Targets of one step."""
        return self.batch_size * self.block_size


def tiny_shakespeare() -> tuple[Tokens, Tokens, int]:
    """Characters of Tiny Shakespeare as tokens: first 90 %, last 10 %, size of the vocabulary."""
    folder = resources.files("transformer_playground.data") / "bundled"
    text = (folder / "tiny_shakespeare.txt").read_text(encoding="utf-8")
    ids = {char: index for index, char in enumerate(sorted(set(text)))}
    tokens = torch.tensor([ids[char] for char in text])
    held_out = len(tokens) * 9 // 10
    return tokens[:held_out], tokens[held_out:], len(ids)


class Block(nn.Module):
    """Attention and MLP, each after a LayerNorm and added to its input."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width = recipe.n_embd
        self.n_head = recipe.n_head
        self.norm_1 = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_embd) to (B, T, n_embd)."""
        batch, length, width = x.shape
        queries, keys, values = (
            part.view(batch, length, self.n_head, -1).transpose(1, 2)
            for part in self.qkv(self.norm_1(x)).split(width, dim=2)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        changed: Tensor = x + self.down(functional.gelu(self.up(self.norm_2(x))))
        return changed


class ReferenceModel(nn.Module):
    """Token and position embeddings, blocks, norm and the tied head."""

    def __init__(self, recipe: Recipe, vocab_size: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, recipe.n_embd)
        self.positions = nn.Embedding(recipe.block_size, recipe.n_embd)
        self.blocks = nn.ModuleList(Block(recipe) for _ in range(recipe.n_layer))
        self.norm = nn.LayerNorm(recipe.n_embd, bias=False)
        self.head = nn.Linear(recipe.n_embd, vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                is_output = name.endswith(("output.weight", "down.weight"))
                shrink = math.sqrt(2 * recipe.n_layer) if is_output else 1.0
                nn.init.normal_(parameter, std=0.02 / shrink)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of the targets; both are (B, T) int64."""
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


class ReferenceLoop:
    """Training of the reference, a step at a time.

    Args:
        recipe: Model, batch and schedule.
        train: Text to train on.
        vocab_size: Number of different tokens.
        seed: Seed of initialisation and batches.
    """

    def __init__(self, recipe: Recipe, train: Tokens, vocab_size: int, *, seed: int = 1337) -> None:
        torch.manual_seed(seed)
        self.recipe, self._train = recipe, train
        self.model = ReferenceModel(recipe, vocab_size)
        matrices = [each for each in self.model.parameters() if each.dim() >= 2]
        vectors = [each for each in self.model.parameters() if each.dim() < 2]
        # As in nanoGPT, which uses the fused implementation on CUDA only.
        self._optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=recipe.betas,
        )
        self.step_number = 0

    def batch(self) -> tuple[Tensor, Tensor]:
        """Random windows: inputs and targets, each (B, T)."""
        size = self.recipe.block_size
        starts = torch.randint(len(self._train) - size, (self.recipe.batch_size,)).tolist()
        inputs = torch.stack([self._train[start : start + size] for start in starts])
        targets = torch.stack([self._train[start + 1 : start + 1 + size] for start in starts])
        return inputs, targets

    def learning_rate(self) -> float:
        """Linear warm-up, then half a cosine down to `min_lr`."""
        recipe = self.recipe
        if self.step_number < recipe.warmup_steps:
            return recipe.learning_rate * (self.step_number + 1) / (recipe.warmup_steps + 1)
        done = (self.step_number - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
        share = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        return recipe.min_lr + share * (recipe.learning_rate - recipe.min_lr)

    def step(self) -> Tensor:
        """One optimizer step; the loss, as a tensor."""
        rate = self.learning_rate()
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss: Tensor = self.model(*self.batch())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step_number += 1
        return loss.detach()


def split_loss(
    loss_of: Callable[[Tensor, Tensor], Tensor], split: Tokens, block_size: int
) -> float:
    """Mean loss in nats over the consecutive windows of a whole split.

    Args:
        loss_of: The model's loss.
        split: Tokens of the split; the rest that does not fill a window is left out.
        block_size: Tokens per window.
    """
    whole = (len(split) - 1) // block_size
    inputs = split[: whole * block_size].view(whole, block_size)
    targets = split[1 : whole * block_size + 1].view(whole, block_size)
    total = 0.0
    with torch.inference_mode():
        for first in range(0, whole, 64):
            rows = slice(first, first + 64)
            total += loss_of(inputs[rows], targets[rows]).item() * len(inputs[rows])
    return total / whole
