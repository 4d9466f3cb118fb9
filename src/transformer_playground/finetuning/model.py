"""Adapter model: a base model with LoRA adapters, its arguments and its key-value cache."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import CheckpointError
from transformer_playground.model.base import LanguageModel, evaluating, trainable_parameters

# Far above the sizes of real models; only damaged files exceed it.
_MAX_SIZE = 1 << 24


@dataclass(frozen=True)
class AdapterModelArgs:
    """Arguments of an adapter model; together with its trained weights they define it.

    Attributes:
        targets: Linear layers with an adapter, by the ends of their names.
        new_tokens: Token ids whose embedding rows are trained, ascending.
        vocab_size: Rows of the embedding table.
        block_size: Maximum context in tokens.
        end_token: Token id that ends a document.
        base_fingerprint: Of the base weights, see `base_model.base_fingerprint`.
    """

    hf_model: HfModelConfig
    peft: PeftConfig
    targets: tuple[str, ...]
    new_tokens: tuple[int, ...]
    vocab_size: int
    block_size: int
    end_token: int
    base_fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads."""
        return vars(self) | {
            "hf_model": self.hf_model.model_dump(mode="json"),
            "peft": self.peft.model_dump(mode="json"),
            "targets": list(self.targets),
            "new_tokens": list(self.new_tokens),
        }

    @classmethod
    def from_dict(cls, args: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; nothing is loaded.

        Raises:
            CheckpointError: The values are invalid; the message is the bare reason.
        """
        try:
            model_args = cls(
                hf_model=HfModelConfig(**args["hf_model"]),
                peft=PeftConfig(**args["peft"]),
                targets=tuple(args["targets"]),
                new_tokens=tuple(args["new_tokens"]),
                vocab_size=args["vocab_size"],
                block_size=args["block_size"],
                end_token=args["end_token"],
                base_fingerprint=args["base_fingerprint"],
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise CheckpointError("its model_args do not describe an adapter model") from error
        model_args._check()
        return model_args

    def _check(self) -> None:
        if not self.hf_model.model_name or not isinstance(self.base_fingerprint, str):
            raise _impossible("base model", self.hf_model.model_name)
        if not self.targets or not all(isinstance(name, str) and name for name in self.targets):
            raise _impossible("targets", list(self.targets))
        for name in ("vocab_size", "block_size"):
            if not _is_within(getattr(self, name), 1, _MAX_SIZE + 1):
                raise _impossible(name, getattr(self, name))
        if not _is_within(self.end_token, 0, self.vocab_size):
            raise _impossible("end_token", self.end_token)
        for token in self.new_tokens:
            if not _is_within(token, 0, self.vocab_size):
                raise _impossible("new_tokens", token)


def _is_within(value: object, first: int, behind: int) -> bool:
    return type(value) is int and first <= value < behind


def _impossible(name: str, value: object) -> CheckpointError:
    return CheckpointError(f"its model_args have an invalid {name}, {value!r:.60}")


class AdapterCache:
    """Key-value cache: transformers' `DynamicCache` with the interface of our GPT's cache.

    Args:
        config: Configuration of the transformers model.
        batch_size: Number of sequences decoded together.
        capacity: Maximum number of tokens of a sequence.

    Attributes:
        states: The `DynamicCache`.
        length: Number of cached tokens; the model updates it.
    """

    def __init__(self, config: Any, *, batch_size: int, capacity: int) -> None:
        from transformers import DynamicCache

        self.states = DynamicCache(config=config)
        self.batch_size = batch_size
        self.capacity = capacity
        self.length = 0

    def reset(self) -> None:
        """Remove all tokens."""
        self.states.reset()
        self.length = 0

    def select(self, rows: Tensor) -> Self:
        """A cache with the sequences `rows`, int64 (new batch size,); repeats are allowed."""
        chosen = copy.copy(self)
        chosen.batch_size = len(rows)
        # Layers replace their tensors and never write to them, so shallow copies suffice.
        chosen.states = copy.copy(self.states)
        chosen.states.layers = [copy.copy(layer) for layer in self.states.layers]
        chosen.states.batch_select_indices(rows)
        return chosen


class AdapterModel(LanguageModel):
    """A frozen causal language model with trainable adapters.

    All parameters that require gradients are trained in float32; their names depend only on
    `model_args`.

    Args:
        adapted: PEFT's model, which wraps the transformers model.
        model_args: Its arguments, saved in checkpoints.
    """

    def __init__(self, adapted: Any, model_args: AdapterModelArgs) -> None:
        super().__init__()
        self.adapted = adapted
        self.model_args = model_args
        self.vocab_size = model_args.vocab_size
        self.block_size = model_args.block_size
        # Adapters have dropout, and base models may have dropout.
        self.has_dropout = True
        self._layer_sizes: list[tuple[int, int | None]] | None = None

    @property
    def base(self) -> Any:
        """The transformers model, with adapters."""
        return self.adapted.get_base_model()

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the frozen weights and the activations."""
        # Of the frozen weight itself: PEFT's wrapper would return a copy with the new rows.
        embedding = self.base.get_input_embeddings()
        while hasattr(embedding, "original_module"):
            embedding = embedding.original_module
        dtype: torch.dtype = embedding.weight.dtype
        return dtype

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token at every position; with packing, documents are separated.

        Args:
            tokens: (B, T) int64, T at most `block_size`.

        Returns:
            Logits (B, T, vocab_size) in the dtype of the activations.

        Raises:
            ValueError: T exceeds `block_size`.
        """
        if tokens.shape[1] > self.block_size:
            raise ValueError(
                f"{tokens.shape[1]} tokens do not fit into a context of {self.block_size}"
            )
        packing = self.model_args.hf_model.packing
        options = {"position_ids": self._document_positions(tokens)} if packing else {}
        logits: Tensor = self.base(input_ids=tokens, **options, use_cache=False).logits
        return logits

    def _document_positions(self, tokens: Tensor) -> Tensor:
        """Position of each token in its document (B, T); transformers separates documents by it."""
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        is_end = tokens == self.model_args.end_token
        starts = torch.where(is_end, positions + 1, 0).cummax(dim=1).values.roll(1, dims=1)
        starts[:, 0] = 0
        return positions - starts

    def next_logits(self, tokens: Tensor, cache: AdapterCache) -> Tensor:
        """Append tokens to the cache and return the logits of the next token.

        Args:
            tokens: (B, T) int64.
            cache: From `new_cache`, for B sequences.

        Returns:
            Logits, float32 (B, vocab_size).

        Raises:
            ValueError: The tokens do not fit into the cache.
        """
        end = cache.length + tokens.shape[1]
        if end > min(cache.capacity, self.block_size):
            raise ValueError(f"{end} tokens do not fit into a context of {cache.capacity}")
        logits: Tensor = self.base(
            input_ids=tokens, past_key_values=cache.states, use_cache=True, logits_to_keep=1
        ).logits
        cache.length = end
        return logits[:, -1].float()

    def new_cache(self, batch_size: int, capacity: int) -> AdapterCache:
        """An empty cache for sequences of at most `capacity` tokens."""
        return AdapterCache(self.base.config, batch_size=batch_size, capacity=capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Bytes of the cache of one sequence of `capacity` tokens."""
        if self._layer_sizes is None:
            self._layer_sizes = self._measure_cache()
        return sum(
            token_bytes * (capacity if window is None else min(capacity, window))
            for token_bytes, window in self._layer_sizes
        )

    def _measure_cache(self) -> list[tuple[int, int | None]]:
        """Bytes per token and maximum number of tokens in the cache of each layer."""
        cache = self.new_cache(1, 1)
        with evaluating(self):
            self.next_logits(torch.zeros(1, 1, dtype=torch.int64, device=self.device), cache)
        return [_layer_size(layer) for layer in cache.states.layers]

    def layers(self) -> list[nn.Module]:
        """The blocks of the base model: its longest list of modules."""
        lists = [each for each in self.base.modules() if isinstance(each, nn.ModuleList)]
        return list(max(lists, key=len, default=()))

    def hidden_matrices(self) -> set[str]:
        """Empty: adapter matrices have a low rank and are not suited for Muon."""
        return set()

    def args(self) -> dict[str, Any]:
        """Plain values that `rebuild` needs besides the trained weights."""
        return self.model_args.to_dict()

    def trained(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""
        return dict(trainable_parameters(self))


def _layer_size(layer: Any) -> tuple[int, int | None]:
    """Bytes per token and maximum number of tokens of a cache layer that holds one token."""
    keys_values = [
        value for name in ("keys", "values") if (value := getattr(layer, name, None)) is not None
    ]
    if not keys_values:
        # The state of a recurrent layer has a constant size.
        return sum(value.nbytes for value in vars(layer).values() if isinstance(value, Tensor)), 1
    # A sliding-window layer keeps its window except for the next token.
    window = layer.sliding_window - 1 if layer.is_sliding else None
    return sum(value.nbytes for value in keys_values), window
