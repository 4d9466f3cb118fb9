"""What every tokenizer can do, and how token ids become text again."""

import codecs
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from transformer_playground.errors import DataError


class Tokenizer(Protocol):
    """Text to token ids and back.

    `decode(encode(text)) == text` holds for every text that `encode` accepts.
    """

    @property
    def kind(self) -> str:
        """`char`, `gpt2`, `sentencepiece` or `huggingface`."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of token ids; valid ids are 0 … vocab_size - 1."""
        ...

    @property
    def bos_id(self) -> int | None:
        """Token that starts a document, if there is one."""
        ...

    @property
    def eos_id(self) -> int | None:
        """Token that ends a document, if there is one."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text; names of special tokens in it are ordinary text too.

        Raises:
            DataError: The tokenizer lacks a character of the text; the message names it.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; bytes that are not UTF-8 become the replacement character.

        Raises:
            DataError: An id is outside the vocabulary.
        """
        ...

    def token_bytes(self, token: int) -> bytes:
        """UTF-8 bytes of one token, which may be a part of a character or empty.

        Raises:
            DataError: The id is outside the vocabulary.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Give the part of `meta.pkl` that identifies this tokenizer, as built-in types."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_tokenizer(folder)` needs to give this tokenizer back."""
        ...


class TableDecoder:
    """A tokenizer's way back: the one place where ids become text.

    Args:
        tokens: The bytes of each token id.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens

    def token_bytes(self, token: int) -> bytes:
        """UTF-8 bytes of one token: often a part of a character, or empty for a silent one.

        Raises:
            DataError: The id is outside the vocabulary.
        """
        if not 0 <= token < len(self._tokens):
            raise DataError(
                f"Token id {token} is outside the vocabulary of {len(self._tokens)} tokens.",
                "Use the tokenizer that belongs to this model.",
            )
        return self._tokens[token]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of many tokens; bytes that are not UTF-8 become the replacement character.

        Raises:
            DataError: An id is outside the vocabulary.
        """
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")


class StreamDecoder:
    """Token ids to text pieces, each given out as soon as its characters are whole.

    The pieces of `push` and `flush`, joined, equal `tokenizer.decode` of all tokens at once.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Text that this token completes; empty while a character is still incomplete."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """Show what is left of an incomplete character; the decoder is fresh afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


def require_unicode(text: str) -> None:
    """Refuse text that no file could hold.

    Raises:
        DataError: The text has a lone surrogate, as the shell passes on bytes that are not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"The text is not valid Unicode at character {error.start} ({text[error.start]!r}).",
            "Pass it as UTF-8.",
        ) from None
