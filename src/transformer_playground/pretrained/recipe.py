"""What an adapted model is made from, as plain values of a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import CheckpointError

# Hundreds of times what real models have; more would be asked for by damaged files alone.
_LARGEST = 1 << 24


@dataclass(frozen=True)
class Recipe:
    """What an adapted model is made from; with its trained weights it is the whole model.

    Attributes:
        hf_model: The base model.
        peft: The adapters, as configured.
        targets: The linear layers that have one, by the ends of their names.
        new_tokens: Ids whose embedding rows are trained, ascending.
        vocab_size: Rows of the embedding table.
        block_size: Longest context in tokens.
        end_token: What ends a document; the next token begins another one.
        base_fingerprint: Of the base's weights, see `files.base_fingerprint`.
    """

    hf_model: HfModelConfig
    peft: PeftConfig
    targets: tuple[str, ...]
    new_tokens: tuple[int, ...]
    vocab_size: int
    block_size: int
    end_token: int
    base_fingerprint: str

    def args(self) -> dict[str, Any]:
        """Plain values from which `from_args` makes this again."""
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
    def from_args(cls, args: Mapping[str, Any]) -> Self:
        """Read what `args` gave; nothing is loaded.

        Raises:
            CheckpointError: These are values of something else, or impossible ones; the message is
                the reason alone.
        """
        try:
            recipe = cls(
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
        recipe._check()
        return recipe

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
