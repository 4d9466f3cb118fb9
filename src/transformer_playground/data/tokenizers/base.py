"""Tokenizers: what each can do, the registry of their names, and token ids back into text."""

import codecs
import functools
import importlib
import operator
import pkgutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.meta import META_FILE, META_VERSION, read_meta, write_meta
from transformer_playground.errors import DataError
from transformer_playground.files import replace_file

_Class = TypeVar("_Class", bound="type[Tokenizer]")


class Tokenizer(ABC):
    """Text to token ids and back; `@register_tokenizer(name)` makes a subclass selectable.

    `decode(encode(text)) == text` holds for every text that `encode` accepts. Subclasses import
    large libraries inside functions: the registry imports the modules of all tokenizers.

    Args:
        tokens: The bytes of each token id.

    Attributes:
        kind: The tokenizer's name, `prepare.tokenizer_type`.
        settings: Names of the `[prepare]` settings that shape only this tokenizer.
        file_names: Files that `save` may write beside `meta.pkl`.
        end_of_text: How its end-of-text token is written; None if it has none.
        prepends_bos: Every document begins with `bos_id`, whatever `prepare.documents` is.
        encodes_piecewise: A text encodes the same in any two parts, even within a word.
        bos_id: Token that starts a document, if there is one.
        eos_id: Token that ends a document, if there is one.
        vocab_size: Number of token ids; valid ids are 0 … vocab_size - 1.
        files: What `save` writes beside `meta.pkl`, by name.
    """

    kind: ClassVar[str]
    settings: ClassVar[tuple[str, ...]] = ()
    file_names: ClassVar[tuple[str, ...]] = ()
    end_of_text: ClassVar[str | None] = None
    prepends_bos: ClassVar[bool] = False
    encodes_piecewise: ClassVar[bool] = False
    bos_id: int | None = None
    eos_id: int | None = None
    files: Mapping[str, bytes] = MappingProxyType({})

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens
        self.vocab_size = len(tokens)

    @classmethod
    def build(
        cls, text: Iterator[str], config: PrepareConfig, *, report: Callable[[str], None]
    ) -> Self:
        """Fit a new tokenizer to the training text.

        Args:
            text: The training part in pieces of any size; a mark between documents is a "\\n".
            config: The `[prepare]` table.
            report: Called with one line per stage.

        Raises:
            DataError: The text does not fit the settings, or nothing can be fitted.
        """
        raise DataError(f"The tokenizer '{cls.kind}' comes with a model, not from training text.")

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> Self:
        """Load what `save` wrote into a folder.

        Args:
            folder: Where `files` lie.
            meta: The content of the folder's `meta.pkl`.

        Raises:
            DataError: A file or entry is missing or damaged.
        """

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Token ids of ordinary text; names of special tokens in it are ordinary text too.

        Raises:
            DataError: The tokenizer lacks a character of the text; the message names it.
        """

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.uint32], Counter[str]]:
        """Token ids of the characters that have some, and a count of those left out."""
        return np.array(self.encode(text), dtype=np.uint32), Counter()

    def decode(self, ids: Sequence[int]) -> str:
        """Text of many tokens; bytes that are not UTF-8 become the replacement character.

        Raises:
            DataError: An id is outside the vocabulary.
        """
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

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

    def describe(self) -> dict[str, Any]:
        """The part of `meta.pkl` that identifies this tokenizer, as built-in types."""
        details = self._details()
        reference = {"name": self.kind} | details.pop("tokenizer", {})
        return {
            "version": META_VERSION,
            "kind": self.kind,
            "vocab_size": self.vocab_size,
            **details,
            "tokenizer": reference,
        }

    def _details(self) -> dict[str, Any]:
        """Entries of `meta.pkl` beyond the common ones.

        "tokenizer" holds what tells this tokenizer from others of its kind, such as "sha256" of its
        table and the "file" beside `meta.pkl` that has it.
        """
        return {}

    def save(self, folder: Path) -> None:
        """Write what `load_tokenizer(folder)` needs to give this tokenizer back."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            replace_file(folder / name, operator.methodcaller("write", content))
        write_meta(folder / META_FILE, self.describe())


_registry: dict[str, type[Tokenizer]] = {}


def register_tokenizer(name: str) -> Callable[[_Class], _Class]:
    """Make a tokenizer class available as `prepare.tokenizer_type = name`."""

    def register(tokenizer: _Class) -> _Class:
        tokenizer.kind = name
        _registry[name] = tokenizer
        return tokenizer

    return register


@functools.cache
def tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Every tokenizer class by its name, those of all modules in this package."""
    package = importlib.import_module(__name__.rpartition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return MappingProxyType(_registry)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a dataset folder, a run's `tokenizer/` folder or nanoGPT data.

    Raises:
        DataError: The folder has no usable tokenizer.
    """
    path = folder / META_FILE
    meta = read_meta(path)
    # nanoGPT's own files have the character tables and no kind.
    kind = meta.get("kind", "char" if "stoi" in meta else None)
    if not isinstance(kind, str) or kind not in tokenizers():
        raise DataError(
            f"{path} names the tokenizer {kind!r}; known are {', '.join(tokenizers())}.",
            "Prepare the dataset again.",
        )
    return tokenizers()[kind].load(folder, meta)


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
