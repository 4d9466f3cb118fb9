"""How tokens get to know where they are: added vectors, rotated queries and keys, or biases."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from transformer_playground.config.model import ModelConfig, PositionalEncoding

Rotation = tuple[Tensor, Tensor]

_LARGEST_OWN_SCORE = 1.81


class LearnedPositions(nn.Module):
    """One trained vector for each position (Gehring et al. 2017; GPT-2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.block_size, config.n_embd))

    def forward(self, start: int, end: int) -> Tensor:
        """Vectors of the positions `start` to `end - 1`, (end - start, n_embd)."""
        return self.weight[start:end]


class SinusoidalPositions(nn.Module):
    """Fixed sines and cosines of geometric wavelengths (Vaswani et al. 2017, section 3.5).

    The paper multiplies token embeddings by sqrt(n_embd) so that a table of amplitude 1 does not
    drown them. Here the table is scaled to the size that token embeddings start with instead.
    """

    table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        angles = _angles(0, config.block_size, config.n_embd, 10_000.0, torch.device("cpu"))
        table = torch.cat((angles.sin(), angles.cos()), dim=-1)[:, : config.n_embd]
        rms = table.square().mean().sqrt()
        self.register_buffer("table", table * (embedding_std(config) / rms), persistent=False)

    def forward(self, start: int, end: int) -> Tensor:
        """Vectors of the positions `start` to `end - 1`, (end - start, n_embd)."""
        return self.table[start:end]


ADDED_POSITIONS: dict[PositionalEncoding, Callable[[ModelConfig], nn.Module]] = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
}


def build_added_positions(config: ModelConfig) -> nn.Module | None:
    """The module whose vectors are added to token embeddings; None for the other encodings."""
    build = ADDED_POSITIONS.get(config.positional_encoding)
    return None if build is None else build(config)


def embedding_std(config: ModelConfig) -> float:
    """Standard deviation that token and position embeddings start with.

    A tied head scores the current token by its own embedding's squared length. Alone in the
    residual stream that score is about `std * n_embd` after the final norm, less by sqrt(2) where
    an equally long position is added: for a wide model and the usual 0.02 it would put nearly all
    probability on repeating the token. The branches of a pre-norm block, as large as the
    embeddings, dilute it. Where these start at zero, where there are no MLPs, and after a norm the
    score is bounded by 1.8, which moves a loss of ln(65) by 2 %.
    """
    is_diluted = (
        config.mlp_enabled and config.norm_position == "pre" and not config.zero_init_output
    )
    if is_diluted or not config.tie_embeddings:
        return config.init_std
    share = 0.5**0.5 if config.positional_encoding in ADDED_POSITIONS else 1.0
    return min(config.init_std, _LARGEST_OWN_SCORE / (share * config.n_embd))


def rotation(
    config: ModelConfig, start: int, end: int, *, device: torch.device, dtype: torch.dtype
) -> Rotation:
    """Cosines and sines by which rope turns the positions `start` to `end - 1`.

    Computed in float32 and rounded once: a stored table would be rounded each time the model is
    cast. Source: Su et al. 2021, "RoFormer".

    Returns:
        Two tensors (end - start, 1, head_dim / 2) that broadcast over heads.
    """
    angles = _angles(start, end, config.head_dim, config.rope_theta, device).unsqueeze(1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn channel pairs (i, i + head_dim / 2), as Llama does; x is (B, T, heads, head_dim)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def alibi_bias(n_head: int, queries: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
    """Penalty that grows with distance, at another rate in each head (Press et al. 2021, "ALiBi").

    Args:
        n_head: Number of query heads.
        queries: Positions of the queries, (T,).
        keys: Positions of the keys, (L,).
        dtype: Format of the result.

    Returns:
        (n_head, T, L), to be added to the scaled scores.
    """
    slopes = torch.tensor(alibi_slopes(n_head), device=queries.device)
    distance = keys - queries.unsqueeze(1)
    return (slopes[:, None, None] * distance).to(dtype)


def alibi_slopes(n_head: int) -> list[float]:
    """The geometric series of the paper; between powers of two, every other slope of the next."""
    power = 2 ** math.floor(math.log2(n_head))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    finer = [2 ** (-8 * (i + 1) / (2 * power)) for i in range(2 * power)]
    return slopes + finer[::2][: n_head - power]


def _angles(start: int, end: int, channels: int, theta: float, device: torch.device) -> Tensor:
    """Position times frequency, float32 (end - start, ceil(channels / 2))."""
    exponents = torch.arange(0, channels, 2, device=device, dtype=torch.float32) / channels
    positions = torch.arange(start, end, device=device, dtype=torch.float32)
    return torch.outer(positions, theta**-exponents)
