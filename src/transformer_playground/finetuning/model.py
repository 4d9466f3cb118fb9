"""A pretrained model with adapters, what it is made from, and its cache of keys and values."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import CheckpointError
from transformer_playground.model.base import LanguageModel, trainable_parameters

# Hundreds of times what real models have; more would be asked for by damaged files alone.
_LARGEST = 1 << 24


@dataclass(frozen=True)
class AdapterModelArgs:
    """What an adapted model is made from; with its trained weights it is the whole model.

    Attributes:
        hf_model: The base model.
        peft: The adapters, as configured.
        targets: The linear layers that have one, by the ends of their names.
        new_tokens: Ids whose embedding rows are trained, ascending.
        vocab_size: Rows of the embedding table.
        block_size: Longest context in tokens.
        end_token: What ends a document; the next token begins another one.
        base_fingerprint: Of the base's weights, see `loading.base_fingerprint`.
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
        return {
            "hf_model": self.hf_model.model_dump(mode="json"),
            "peft": self.peft.model_dump(mode="json"),
            "targets": list(self.targets),
            "new_tokens": list(self.new_tokens),
            "vocab_size": self.vocab_size,
            "block_size": self.block_size,
            "end_token": self.end_token,
            "base_fingerprint": self.base_fingerprint,
        }

    @classmethod
    def from_dict(cls, args: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned; nothing is loaded.

        Raises:
            CheckpointError: These are values of something else, or impossible ones; the message is
                the reason alone.
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
            raise CheckpointError("its model_args do not describe an adapted model") from error
        model_args._check()
        return model_args

    def _check(self) -> None:
        if not self.hf_model.model_name or not isinstance(self.base_fingerprint, str):
            raise _impossible("base model", self.hf_model.model_name)
        if not self.targets or not all(isinstance(name, str) and name for name in self.targets):
            raise _impossible("targets", list(self.targets))
        for name in ("vocab_size", "block_size"):
            if not _is_within(getattr(self, name), 1, _LARGEST + 1):
                raise _impossible(name, getattr(self, name))
        if not _is_within(self.end_token, 0, self.vocab_size):
            raise _impossible("end_token", self.end_token)
        for token in self.new_tokens:
            if not _is_within(token, 0, self.vocab_size):
                raise _impossible("new_tokens", token)


def _is_within(value: object, first: int, behind: int) -> bool:
    return type(value) is int and first <= value < behind


def _impossible(name: str, value: object) -> CheckpointError:
    return CheckpointError(f"its model_args have an impossible {name}, {value!r:.60}")


class AdapterCache:
    """transformers' growing cache, with the interface of our own model's cache.

    It holds what each layer needs and no more: a sliding layer keeps its window.

    Args:
        config: transformers' configuration of the model.
        batch_size: Number of sequences decoded together.
        capacity: Most tokens a sequence can hold.

    Attributes:
        states: The cache that transformers' models write into.
        length: Tokens read so far; the model counts them.
    """

    def __init__(self, config: Any, *, batch_size: int, capacity: int) -> None:
        from transformers import DynamicCache

        self.states = DynamicCache(config=config)
        self.batch_size = batch_size
        self.capacity = capacity
        self.length = 0

    def reset(self) -> None:
        """Forget every token."""
        self.states.reset()
        self.length = 0

    def select(self, rows: Tensor) -> Self:
        """A cache whose sequences are the given ones of this cache, repeats allowed.

        Args:
            rows: Indices of sequences, int64 (new batch size,).
        """
        chosen = copy.copy(self)
        chosen.batch_size = len(rows)
        # Layers replace their tensors and never write into them, so that shallow copies will do.
        chosen.states = copy.copy(self.states)
        chosen.states.layers = [copy.copy(layer) for layer in self.states.layers]
        chosen.states.batch_select_indices(rows)
        return chosen


class AdapterModel(LanguageModel):
    """A frozen causal language model and the small matrices that are trained beside it.

    Trained are exactly the parameters that require gradients, all in float32; their names stay the
    same for the same model_args.

    Args:
        adapted: PEFT's model around transformers' one.
        model_args: What it was made from.
    """

    def __init__(self, adapted: Any, model_args: AdapterModelArgs) -> None:
        super().__init__()
        self.adapted = adapted
        self.model_args = model_args
        self.vocab_size = model_args.vocab_size
        self._cached_bytes: list[tuple[int, int | None]] | None = None

    @property
    def base(self) -> Any:
        """The model of transformers, adapters in place."""
        return self.adapted.get_base_model()

    @property
    def block_size(self) -> int:
        """Longest context in tokens."""
        return self.model_args.block_size

    @property
    def has_dropout(self) -> bool:
        """True: adapters have dropout, and base models may have their own."""
        return True

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._table.device

    @property
    def dtype(self) -> torch.dtype:
        """The format of the frozen weights and the activations."""
        return self._table.dtype

    @property
    def _table(self) -> Tensor:
        # The frozen weight itself: PEFT's wrapper would build a copy with the new rows in place.
        embedding = self.base.get_input_embeddings()
        while hasattr(embedding, "original_module"):
            embedding = embedding.original_module
        table: Tensor = embedding.weight
        return table

    def forward(self, tokens: Tensor) -> Tensor:
        """Score every possible next token at every position.

        With packing, no token sees what comes before the end of the document before its own.

        Args:
            tokens: (B, T) int64, T at most `block_size`.

        Returns:
            Logits (B, T, vocab_size) in the format of the activations.

        Raises:
            ValueError: More tokens than `block_size`.
        """
        if tokens.shape[1] > self.block_size:
            raise ValueError(
                f"{tokens.shape[1]} tokens do not fit into a context of {self.block_size}"
            )
        options = (
            {"position_ids": self._positions(tokens)} if self.model_args.hf_model.packing else {}
        )
        logits: Tensor = self.base(input_ids=tokens, **options, use_cache=False).logits
        return logits

    def _positions(self, tokens: Tensor) -> Tensor:
        """Of each token in its document (B, T): transformers lets none see another document's."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        is_end = tokens == self.model_args.end_token
        begins = torch.where(is_end, places + 1, 0).cummax(dim=1).values.roll(1, dims=1)
        begins[:, 0] = 0
        return places - begins

    def next_logits(self, tokens: Tensor, cache: AdapterCache) -> Tensor:
        """Read tokens that follow those in the cache, which holds them afterwards.

        Args:
            tokens: (B, T) int64.
            cache: From `new_cache`, for B sequences.

        Returns:
            Logits of the next token, float32 (B, vocab_size).

        Raises:
            ValueError: More tokens than fit into the cache.
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
        """Bytes that one sequence's keys and values take when `capacity` tokens are read."""
        if self._cached_bytes is None:
            self._cached_bytes = self._measured_cache()
        return sum(
            each * (capacity if window is None else min(capacity, window))
            for each, window in self._cached_bytes
        )

    def _measured_cache(self) -> list[tuple[int, int | None]]:
        """Bytes a token, and the most tokens that are kept, of each layer."""
        cache = self.new_cache(1, 1)
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            self.next_logits(torch.zeros(1, 1, dtype=torch.int64, device=self.device), cache)
        self.train(was_training)
        return [_layer_bytes(layer) for layer in cache.states.layers]

    def hidden_matrices(self) -> set[str]:
        """No weight is one that Muon is made for: an adapter's matrices are thin."""
        return set()

    def args(self) -> dict[str, Any]:
        """Plain values from which `rebuild` makes this model again, with its trained weights."""
        return self.model_args.to_dict()

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        return dict(trainable_parameters(self))


def _layer_bytes(layer: Any) -> tuple[int, int | None]:
    """Bytes a token, and the most tokens that are kept, of a layer that has read one."""
    grown = [
        value for name in ("keys", "values") if (value := getattr(layer, name, None)) is not None
    ]
    if not grown:
        # A recurrent layer's state is as large after any number of tokens.
        return sum(value.nbytes for value in vars(layer).values() if isinstance(value, Tensor)), 1
    # A sliding layer keeps its window but for the token that is read next.
    window = layer.sliding_window - 1 if layer.is_sliding else None
    return sum(value.nbytes for value in grown), window
