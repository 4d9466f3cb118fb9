"""Positional encodings: learned, sinusoidal, rotary and ALiBi."""

import functools
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from transformer_playground.config.model import ModelConfig, PositionalEncoding

Rotation = tuple[Tensor, Tensor]

_LARGEST_OWN_SCORE = 1.81


class Positions(nn.Module):
    """Base class of positional encodings, which has no effect.

    A learned table is `self.weight` of shape `ModelConfig.position_table`. With `adds_vectors`,
    `forward` returns vectors about as long as the token embeddings.
    """

    adds_vectors: ClassVar[bool] = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, start: int, end: int) -> Tensor | None:
        """Vectors (end - start, n_embd) added to the embeddings."""
        return None

    def head_transform(
        self, start: int, end: int, *, device: torch.device, dtype: torch.dtype
    ) -> Callable[[Tensor], Tensor] | None:
        """Transform of queries and keys (B, end - start, heads, head_dim) in each layer."""
        return None

    def score_bias(
        self, start: int, end: int, *, device: torch.device, dtype: torch.dtype
    ) -> Tensor | None:
        """Bias (1 or n_head, end - start, end) added to the attention scores.

        Values for keys after their query are arbitrary.
        """
        return None


class LearnedPositions(Positions):
    """A learned vector per position (Gehring et al. 2017; GPT-2)."""

    adds_vectors = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.weight = nn.Parameter(torch.empty(config.position_table))

    def forward(self, start: int, end: int) -> Tensor:
        """Rows of the table."""
        return self.weight[start:end]


class SinusoidalPositions(Positions):
    """Fixed sines and cosines of geometric wavelengths (Vaswani et al. 2017, section 3.5).

    The paper multiplies token embeddings by sqrt(n_embd) to match a table of amplitude 1. Here the
    table is scaled to the initial size of the token embeddings instead.
    """

    adds_vectors = True
    table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        angles = _angles(0, config.block_size, config.n_embd, 10_000.0, torch.device("cpu"))
        table = torch.cat((angles.sin(), angles.cos()), dim=-1)[:, : config.n_embd]
        rms = table.square().mean().sqrt()
        self.register_buffer("table", table * (embedding_std(config) / rms), persistent=False)

    def forward(self, start: int, end: int) -> Tensor:
        """Rows of the table."""
        return self.table[start:end]


class RotaryPositions(Positions):
    """Queries and keys rotated by position-dependent angles (Su et al. 2021, "RoFormer")."""

    def head_transform(
        self, start: int, end: int, *, device: torch.device, dtype: torch.dtype
    ) -> Callable[[Tensor], Tensor]:
        """Rotation by the angles of the positions."""
        angles = rotation(self.config, start, end, device=device, dtype=dtype)
        return functools.partial(rotate, rotation=angles)


class AlibiPositions(Positions):
    """Attention scores reduced linearly with distance (Press et al. 2021, "ALiBi")."""

    def score_bias(
        self, start: int, end: int, *, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """The distance penalties."""
        queries = torch.arange(start, end, device=device)
        return alibi_bias(self.config.n_head, queries, torch.arange(end, device=device), dtype)


POSITIONS: dict[PositionalEncoding, type[Positions]] = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
    "rope": RotaryPositions,
    "alibi": AlibiPositions,
    "none": Positions,
}


def embedding_std(config: ModelConfig) -> float:
    """Initial standard deviation of token and position embeddings.

    A tied head scores the current token by the squared length of its own embedding. Without other
    terms in the residual stream, that score is about `std * n_embd` after the final norm, smaller
    by sqrt(2) with an equally long position vector: a wide model with the usual 0.02 would predict
    a repetition of the token. The branches of a pre-norm block, as large as the embeddings, dilute
    it. If they start at zero, without MLPs, and after a norm, the score is limited to 1.8, which
    changes a loss of ln(65) by 2 %.
    """
    is_diluted = (
        config.mlp_enabled and config.norm_position == "pre" and not config.zero_init_output
    )
    if is_diluted or not config.tie_embeddings:
        return config.init_std
    share = 0.5**0.5 if POSITIONS[config.positional_encoding].adds_vectors else 1.0
    return min(config.init_std, _LARGEST_OWN_SCORE / (share * config.n_embd))


def rotation(
    config: ModelConfig, start: int, end: int, *, device: torch.device, dtype: torch.dtype
) -> Rotation:
    """Cosines and sines of rotary positions, each (end - start, 1, head_dim / 2).

    Computed in float32 and rounded once; a buffer would be rounded whenever the model is cast.
    """
    angles = _angles(start, end, config.head_dim, config.rope_theta, device).unsqueeze(1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate channel pairs (i, i + head_dim / 2) as in Llama; x is (B, T, heads, head_dim)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def alibi_bias(n_head: int, queries: Tensor, keys: Tensor, dtype: torch.dtype) -> Tensor:
    """ALiBi bias (n_head, T, L) for query positions (T,) and key positions (L,)."""
    slopes = torch.tensor(alibi_slopes(n_head), device=queries.device)
    distance = keys - queries.unsqueeze(1)
    return (slopes[:, None, None] * distance).to(dtype)


def alibi_slopes(n_head: int) -> list[float]:
    """The paper's geometric series; between powers of two, every other slope of the next one."""
    power = 2 ** math.floor(math.log2(n_head))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    finer = [2 ** (-8 * (i + 1) / (2 * power)) for i in range(2 * power)]
    return slopes + finer[::2][: n_head - power]


def _angles(start: int, end: int, channels: int, theta: float, device: torch.device) -> Tensor:
    """Position times frequency, float32 (end - start, ceil(channels / 2))."""
    exponents = torch.arange(0, channels, 2, device=device, dtype=torch.float32) / channels
    positions = torch.arange(start, end, device=device, dtype=torch.float32)
    return torch.outer(positions, theta**-exponents)
