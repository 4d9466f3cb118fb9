"""nanoGPT's model written a second time, its checkpoints and its output folders."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 6, "vocab_size": 11}


class ReferenceBlock(nn.Module):
    """A GPT-2 block in the layout and with the names of nanoGPT."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        width = SHAPE["n_embd"]
        self.ln_1 = nn.LayerNorm(width, bias=bias)
        self.attn = nn.ModuleDict(
            {
                "c_attn": nn.Linear(width, 3 * width, bias=bias),
                "c_proj": nn.Linear(width, width, bias=bias),
            }
        )
        self.ln_2 = nn.LayerNorm(width, bias=bias)
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(width, 4 * width, bias=bias),
                "c_proj": nn.Linear(4 * width, width, bias=bias),
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width)."""
        batch, length, width = x.shape
        heads = self.attn["c_attn"](self.ln_1(x)).view(batch, length, 3, SHAPE["n_head"], -1)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.attn["c_proj"](mixed.transpose(1, 2).reshape(batch, length, width))
        inner = functional.gelu(self.mlp["c_fc"](self.ln_2(x)))
        return x + torch.as_tensor(self.mlp["c_proj"](inner))


class Reference(nn.Module):
    """GPT-2 with exact GELU and a tied head, written down once more."""

    def __init__(self, bias: bool, vocab_size: int = SHAPE["vocab_size"]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.vocab_size = vocab_size
        width = SHAPE["n_embd"]
        table = nn.Embedding(vocab_size, width)
        self.transformer = nn.ModuleDict(
            {
                "wte": table,
                "wpe": nn.Embedding(SHAPE["block_size"], width),
                "h": nn.ModuleList(ReferenceBlock(bias) for _ in range(SHAPE["n_layer"])),
                "ln_f": nn.LayerNorm(width, bias=bias),
            }
        )
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        self.lm_head.weight = table.weight
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, vocabulary)."""
        positions = torch.arange(tokens.shape[1])
        embedded = self.transformer["wte"](tokens) + self.transformer["wpe"](positions)
        blocks = self.transformer["h"]
        assert isinstance(blocks, nn.ModuleList)
        x = nn.Sequential(*blocks)(torch.as_tensor(embedded))
        return torch.as_tensor(self.lm_head(self.transformer["ln_f"](x)))


def nanogpt_checkpoint(reference: Reference, bias: bool, **changes: Any) -> dict[str, Any]:
    """The content of a `ckpt.pt`."""
    return {
        "model": reference.state_dict(),
        "optimizer": {"state": {}, "param_groups": []},
        "model_args": SHAPE | {"bias": bias, "dropout": 0.0, "vocab_size": reference.vocab_size},
        "iter_num": 2000,
        "best_val_loss": torch.tensor(1.88),
        "config": {"dataset": "shakespeare_char"},
    } | changes


def configured_optimizer(reference: Reference, learning_rate: float) -> torch.optim.AdamW:
    """AdamW as nanoGPT sets it up: decayed matrices, then vectors."""
    parameters = [each for each in reference.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.dim() >= 2], "weight_decay": 0.1},
        {"params": [each for each in parameters if each.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99))


def train_reference(
    reference: Reference, optimizer: torch.optim.AdamW, steps: int, *, seed: int = 3
) -> None:
    """Train on random tokens."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        tokens = torch.randint(reference.vocab_size, (4, 7), generator=generator)
        logits = reference(tokens[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def write_meta(folder: Path, characters: str) -> None:
    """The `meta.pkl` of nanoGPT's character datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        "vocab_size": len(characters),
        "itos": dict(enumerate(characters)),
        "stoi": {character: index for index, character in enumerate(characters)},
    }
    (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
