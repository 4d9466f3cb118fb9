"""Which architecture of llama.cpp computes what a `[model]` table describes: a table as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from transformer_playground.config.model import Activation, ModelConfig, Norm
from transformer_playground.export.matching import Allowed, Row, choose_row

Biases = Literal["none", "optional", "required"]
Mlp = Literal["plain", "gated", "relu", "gated_relu2", "gated_silu", "gated_relu"]
"""How an MLP is written.

- plain, gated: llama.cpp has the activation.
- relu: as a steep GELU.
- gated_relu2: relu(x)² = relu(x) · x, with a steep SiLU as the gate.
- gated_silu, gated_relu: a gate whose other factor is the constant 1, which needs a bias.
"""

_STEEP: frozenset[Mlp] = frozenset({"relu", "gated_relu2", "gated_relu"})


@dataclass(frozen=True)
class Architecture(Row):
    """An architecture of llama.cpp.

    Attributes:
        norm: Its normalisation.
        mlps: How each activation is written.
        biases: Whether it has bias tensors of linear layers; "required" ones are zeros if absent.
        own_head: The output head is a tensor of its own, even if it is the embedding table.
        table: Position vectors are added to the embeddings.
        rotary: Positions are rotary; "none" is written as rotary ones without an angle.
        pairs: Rotary positions turn channels (2i, 2i + 1) instead of (i, i + head_dim / 2).
        fused: Queries, keys and values are one tensor.
        second_norm: A parallel block has a norm tensor for each branch.
        scaled_table: Token embeddings are multiplied by sqrt(n_embd).
        divides_by_head_dim: Scores are divided by head_dim instead of its square root.
        keys: Further metadata, without the architecture's prefix.
    """

    norm: Norm = "layernorm"
    mlps: Mapping[Activation, Mlp] = field(default_factory=dict)
    biases: Biases = "none"
    own_head: bool = False
    table: bool = False
    rotary: bool = False
    pairs: bool = False
    fused: bool = False
    second_norm: bool = False
    scaled_table: bool = False
    divides_by_head_dim: bool = False
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def norm_bias(self) -> bool:
        """Whether norms have a bias tensor."""
        return self.norm == "layernorm"

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalised."""
        return self.allowed["qk_norm"] == (True,)

    @property
    def windows(self) -> bool:
        """Whether each layer has a sliding window, and a score of no key."""
        return "attention_window" not in self.allowed

    def mlp(self, config: ModelConfig) -> Mlp:
        """How the MLP is written; one of zeros if there is none."""
        if config.mlp_enabled:
            return self.mlps[config.activation]
        return "gated" if "swiglu" in self.mlps or "geglu" in self.mlps else "plain"

    def is_steep(self, config: ModelConfig) -> bool:
        """Whether an activation is written as a steep one of another kind."""
        return self.mlp(config) in _STEEP

    def tolerance(self, config: ModelConfig) -> float:
        """Limit of the difference of log-probabilities for logits up to 1."""
        if not config.mlp_enabled:
            return 1e-4
        # llama.cpp looks GELU up in a table of float16 numbers.
        if self.name in _GELU_NAMES:
            return 2e-3
        return 1e-3 if self.is_steep(config) else 1e-4


_GELU_NAMES = frozenset({"gpt2", "mpt", "starcoder2", "gptneox", "gemma"})


def _architecture(
    name: str,
    norm: Norm,
    positions: tuple[str, ...],
    mlps: Mapping[Activation, Mlp],
    *,
    parallel: tuple[bool, ...] = (False,),
    tied_only: bool = False,
    qk_norm: bool = False,
    windows: bool = False,
    biases: Biases = "none",
    **own: Any,
) -> Architecture:
    allowed: dict[str, Allowed] = {
        "norm_position": ("pre",),
        "logit_softcap": (None,),
        "norm": (norm,),
        "positional_encoding": positions,
        "qk_norm": (qk_norm,),
        "parallel_residual": parallel,
        "activation": tuple(mlps),
    }
    if biases == "none":
        allowed["bias"] = (False,)
    if tied_only:
        allowed["tie_embeddings"] = (True,)
    if not windows:
        allowed["attention_window"] = (None,)
    return Architecture(
        name, allowed, norm=norm, mlps=mlps, biases=biases,
        rotary="rope" in positions, table="learned" in positions, **own,
    )  # fmt: skip


_GELU: Mapping[Activation, Mlp] = {"gelu": "plain", "gelu_tanh": "plain", "relu": "relu"}
_SWIGLU: Mapping[Activation, Mlp] = {"swiglu": "gated", "relu2": "gated_relu2"}
_WITH_BIAS: Mapping[Activation, Mlp] = {**_SWIGLU, "silu": "gated_silu", "relu": "gated_relu"}
_RELU2: Mapping[Activation, Mlp] = {"relu2": "plain"}
_ROTARY, _ALIBI = ("rope", "none"), ("alibi",)
_ALIBI_KEYS = {"attention.max_alibi_bias": 8.0}
_BOTH = (False, True)

ARCHITECTURES = (
    _architecture(
        "gpt2", "layernorm", ("learned", "sinusoidal", "none"), _GELU,
        biases="required", fused=True,
    ),
    _architecture(
        "mpt", "layernorm", _ALIBI, _GELU, biases="optional", fused=True, keys=_ALIBI_KEYS
    ),
    _architecture("nemotron", "layernorm", _ROTARY, _RELU2, biases="optional", own_head=True),
    _architecture("starcoder2", "layernorm", _ROTARY, _GELU, biases="required"),
    _architecture("stablelm", "layernorm", _ROTARY, _SWIGLU, parallel=_BOTH, own_head=True),
    _architecture(
        "gptneox", "layernorm", _ROTARY, _GELU, parallel=(True,), biases="required",
        own_head=True, fused=True, second_norm=True, keys={"use_parallel_residual": True},
    ),
    _architecture(
        "jais", "layernorm", _ALIBI, _WITH_BIAS, biases="required",
        own_head=True, fused=True, divides_by_head_dim=True, keys=_ALIBI_KEYS,
    ),
    _architecture("arcee", "rmsnorm", _ROTARY, _RELU2, pairs=True),
    _architecture("llama", "rmsnorm", _ROTARY, _WITH_BIAS, biases="optional", pairs=True),
    _architecture("qwen3", "rmsnorm", _ROTARY, _SWIGLU, qk_norm=True),
    _architecture(
        "gemma", "rmsnorm", _ROTARY, {"geglu": "gated"}, tied_only=True, scaled_table=True
    ),
    _architecture("refact", "rmsnorm", _ALIBI, _SWIGLU, own_head=True),
    _architecture("plamo", "rmsnorm", _ROTARY, _SWIGLU, parallel=(True,), own_head=True),
    _architecture(
        "granite_swa", "rmsnorm", _ROTARY, _WITH_BIAS, biases="optional", pairs=True,
        windows=True, keys={"logit_scale": 1.0},
    ),
)  # fmt: skip
"""In order of preference."""


def choose_architecture(config: ModelConfig) -> Architecture:
    """The first architecture that computes a model of these settings.

    Raises:
        ExportError: None does; the sentence names the settings, the hint the nearest ones that map.
    """
    return choose_row(
        config,
        ARCHITECTURES,
        program="llama.cpp",
        instead="--to hf exports more settings, and all of them with --custom-code.",
    )
