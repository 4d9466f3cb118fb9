"""One layer of the transformer: attention and MLP around the residual stream."""

from torch import Tensor, nn

from transformer_playground.config.model import ModelConfig
from transformer_playground.model.attention import Attention, Scope
from transformer_playground.model.kv_cache import KVCache
from transformer_playground.model.mlp import MLP
from transformer_playground.model.norms import build_norm


class Block(nn.Module):
    """Attention and, if enabled, an MLP, each added to the residual stream.

    - pre-norm: `x + branch(norm(x))` (Xiong et al. 2020; GPT-2).
    - post-norm: `norm(x + branch(x))`, as in the first transformer (Vaswani et al. 2017).
    - parallel: `x + attention(norm(x)) + mlp(norm(x))` with one shared norm (Wang & Komatsuzaki
      2021, GPT-J).
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.post_norm = config.norm_position == "post"
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, layer)
        self.mlp = MLP(config) if config.mlp_enabled else None
        own_norm = config.mlp_enabled and not config.parallel_residual
        self.mlp_norm = build_norm(config) if own_norm else None
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(self, x: Tensor, scope: Scope, cache: KVCache | None = None) -> Tensor:
        """(B, T, n_embd) to (B, T, n_embd)."""
        if self.post_norm:
            return self._post_norm(x, scope, cache)
        normed: Tensor = self.attention_norm(x)
        attended: Tensor = x + self.dropout(self.attention(normed, scope, cache))
        if self.mlp is None:
            return attended
        if self.mlp_norm is not None:
            normed = self.mlp_norm(attended)
        combined: Tensor = attended + self.dropout(self.mlp(normed))
        return combined

    def _post_norm(self, x: Tensor, scope: Scope, cache: KVCache | None) -> Tensor:
        attended: Tensor = self.attention_norm(x + self.dropout(self.attention(x, scope, cache)))
        if self.mlp is None or self.mlp_norm is None:
            return attended
        combined: Tensor = self.mlp_norm(attended + self.dropout(self.mlp(attended)))
        return combined
