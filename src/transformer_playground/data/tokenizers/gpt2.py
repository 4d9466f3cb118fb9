"""Byte-pair tokenizer of GPT-2, from the bundled table."""

import base64
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.meta import META_FILE, tokenizer_digest
from transformer_playground.data.tokenizers.base import (
    Tokenizer,
    register_tokenizer,
    require_unicode,
    translate_native_errors,
)
from transformer_playground.errors import DataError, translate_os_errors

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 50256
VOCAB_SIZE = 50257
TABLE_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

_TABLE = Path(__file__).parent.parent / "bundled" / "r50k_base.tiktoken"
# GPT-2's pre-tokenization (Radford et al. 2019): English contractions, words, numbers and other
# characters, each with one space before it, then the remaining white space.
_PATTERN = (
    r"'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)
# The regular expression engine needs one stack entry for each character of white space and fails
# at a million. These are the characters of `\s` there; Python's has U+001C to U+001F as well.
_WHITE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_LONG_RUN = re.compile(f"{_WHITE}{{1000,}}")
# Of each 100th character a run of 1000 has ten, which is much faster to search for.
_STRIDE = 100
_SAMPLED_RUN = re.compile(f"{_WHITE}{{10,}}")
_ONE_PIECE = "(?s).+"


@functools.cache
def _ranks() -> dict[bytes, int]:
    table, hint = f"The bundled BPE table {_TABLE}", "Install the package again."
    with translate_os_errors(DataError, f"{table} cannot be read", hint):
        content = _TABLE.read_bytes()
    if hashlib.sha256(content).hexdigest() != TABLE_SHA256:
        raise DataError(f"{table} is damaged.", hint)
    pairs = (line.split() for line in content.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


@functools.cache
def _encoding(pattern: str) -> "tiktoken.Encoding":
    import tiktoken

    return tiktoken.Encoding(
        "gpt2",
        pat_str=pattern,
        mergeable_ranks=_ranks(),
        special_tokens={END_OF_TEXT: END_OF_TEXT_ID},
        explicit_n_vocab=VOCAB_SIZE,
    )


@functools.cache
def _tokens() -> tuple[bytes, ...]:
    ranks = _ranks()
    return (*sorted(ranks, key=ranks.__getitem__), END_OF_TEXT.encode())


@register_tokenizer("gpt2")
class Gpt2Tokenizer(Tokenizer):
    """GPT-2's 50,257 tokens; `<|endoftext|>` both starts and ends a document.

    Raises:
        DataError: The bundled table is missing or damaged.
    """

    end_of_text = END_OF_TEXT
    bos_id = END_OF_TEXT_ID
    eos_id = END_OF_TEXT_ID

    def __init__(self) -> None:
        self._encoding = _encoding(_PATTERN)
        super().__init__(_tokens())

    @classmethod
    def build(
        cls, text: Iterator[str], config: PrepareConfig, *, report: Callable[[str], None]
    ) -> "Gpt2Tokenizer":
        """The bundled tokenizer; the text is not used."""
        return cls()

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> "Gpt2Tokenizer":
        """The tokenizer a `meta.pkl` refers to.

        Raises:
            DataError: It refers to another table or vocabulary size.
        """
        if meta.get("vocab_size") != VOCAB_SIZE or not isinstance(meta.get("tokenizer"), dict):
            raise DataError(f"{META_FILE} does not describe GPT-2's {VOCAB_SIZE} tokens.")
        if tokenizer_digest(meta) != TABLE_SHA256:
            raise DataError(f"{META_FILE} refers to a BPE table that is not the bundled one.")
        return cls()

    def encode(self, text: str) -> list[int]:
        """Token ids; `<|endoftext|>` inside the text is ordinary text.

        Raises:
            DataError: The text is not valid Unicode.
        """
        require_unicode(text)
        with translate_native_errors("tiktoken"):
            return [
                token
                for encoding, part in self._parts(text)
                for token in encoding.encode_ordinary(part)
            ]

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.uint32], Counter[str]]:
        """`encode` without a Python number for each token; threads run it side by side.

        Raises:
            DataError: The text is not valid Unicode.
        """
        require_unicode(text)
        with translate_native_errors("tiktoken"):
            parts = [
                encoding.encode_to_numpy(part, disallowed_special=())
                for encoding, part in self._parts(text)
            ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)), Counter()

    def _parts(self, text: str) -> "Iterator[tuple[tiktoken.Encoding, str]]":
        """The text in parts, each with the encoding for it."""
        start = 0
        runs = _LONG_RUN.finditer(text) if _SAMPLED_RUN.search(text[::_STRIDE]) else ()
        for run in runs:
            # The pattern takes a run as one piece, without its last character if text follows.
            stop = run.end() if run.end() == len(text) else run.end() - 1
            yield self._encoding, text[start : run.start()]
            yield _encoding(_ONE_PIECE), text[run.start() : stop]
            start = stop
        yield self._encoding, text[start:]

    def _details(self) -> dict[str, Any]:
        return {"tokenizer": {"sha256": TABLE_SHA256}}
