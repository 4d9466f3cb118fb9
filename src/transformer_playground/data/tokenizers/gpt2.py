"""GPT-2's byte-pair encoding, built from the bundled table and never from the network."""

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

import tiktoken

from transformer_playground.data.meta import META_FILE, META_VERSION, write_meta
from transformer_playground.data.tokenizers.base import TableDecoder, require_unicode
from transformer_playground.errors import DataError

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 50256
VOCAB_SIZE = 50257
TABLE_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

_TABLE = Path(__file__).parent.parent / "bundled" / "r50k_base.tiktoken"
# How GPT-2 cuts text before it merges bytes (Radford et al. 2019): English contractions, words,
# numbers and other signs, each with the one space before it, then the remaining white space.
_WORDS = (
    r"'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


@functools.cache
def _ranks() -> dict[bytes, int]:
    try:
        content = _TABLE.read_bytes()
    except OSError as error:
        raise DataError(
            f"The bundled BPE table {_TABLE} cannot be read: {error.strerror}.",
            "Install the package again.",
        ) from error
    if hashlib.sha256(content).hexdigest() != TABLE_SHA256:
        raise DataError(f"The bundled BPE table {_TABLE} is damaged.", "Install the package again.")
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


@functools.cache
def _encoding() -> tiktoken.Encoding:
    return tiktoken.Encoding(
        "gpt2",
        pat_str=_WORDS,
        mergeable_ranks=_ranks(),
        special_tokens={END_OF_TEXT: END_OF_TEXT_ID},
        explicit_n_vocab=VOCAB_SIZE,
    )


@functools.cache
def _tokens() -> tuple[bytes, ...]:
    ranks = _ranks()
    return (*sorted(ranks, key=ranks.__getitem__), END_OF_TEXT.encode())


class Gpt2Tokenizer(TableDecoder):
    """GPT-2's 50,257 tokens; `<|endoftext|>` both starts and ends a document.

    Raises:
        DataError: The bundled table is missing or damaged.
    """

    kind = "gpt2"
    vocab_size = VOCAB_SIZE
    bos_id: int | None = END_OF_TEXT_ID
    eos_id: int | None = END_OF_TEXT_ID

    def __init__(self) -> None:
        self._encoding = _encoding()
        super().__init__(_tokens())

    @classmethod
    def from_meta(cls, meta: dict[str, Any]) -> "Gpt2Tokenizer":
        """Build the tokenizer a `meta.pkl` refers to.

        Raises:
            DataError: It refers to another table or vocabulary size.
        """
        reference = meta.get("tokenizer")
        if meta.get("vocab_size") != VOCAB_SIZE or not isinstance(reference, dict):
            raise DataError(f"{META_FILE} does not describe GPT-2's {VOCAB_SIZE} tokens.")
        if reference.get("sha256") != TABLE_SHA256:
            raise DataError(f"{META_FILE} refers to a BPE table that is not the bundled one.")
        return cls()

    def encode(self, text: str) -> list[int]:
        """Token ids; `<|endoftext|>` inside the text is ordinary text.

        Raises:
            DataError: The text is not valid Unicode.
        """
        require_unicode(text)
        return self._encoding.encode_ordinary(text)

    def describe(self) -> dict[str, Any]:
        """Which tokenizer this is."""
        return {
            "version": META_VERSION,
            "kind": self.kind,
            "vocab_size": self.vocab_size,
            "tokenizer": {"name": self.kind, "sha256": TABLE_SHA256},
        }

    def save(self, folder: Path) -> None:
        """Write `meta.pkl`, which refers to the bundled table."""
        folder.mkdir(parents=True, exist_ok=True)
        write_meta(folder / META_FILE, self.describe())
