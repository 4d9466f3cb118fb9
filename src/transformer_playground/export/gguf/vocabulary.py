"""A tokenizer in the form in which GGUF stores it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transformer_playground.data.tokenizers.token_table import byte_characters
from transformer_playground.export.gguf.model_file import Value

_CHARACTERS = {byte: char for char, byte in byte_characters().items()}


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as llama.cpp stores it.

    Attributes:
        model: Its algorithm: rwkv (longest match), gpt2 (byte-pair encoding) or llama
            (SentencePiece).
        tokens: Name of each token, in the notation of the algorithm.
        types: Type of each token, see `gguf.TokenType`.
        start: Token that starts a document, if any.
        end: Token that ends a document, if any.
        needs_end: There is no end token, but the algorithm must have one: one more row.
        adds_start: A text begins with `start`.
        keys: Further metadata, without the prefix `tokenizer.ggml.`.
    """

    model: str
    tokens: Sequence[str]
    types: Sequence[int]
    start: int | None = None
    end: int | None = None
    needs_end: bool = False
    adds_start: bool = False
    keys: Mapping[str, Value] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the embedding table that it needs."""
        return len(self.tokens) + int(self.needs_end)


def gpt2_text(piece: bytes) -> str:
    """Bytes as the characters of byte-level byte-pair encoding."""
    return "".join(_CHARACTERS[byte] for byte in piece)
