"""Tokenizer base class, registry and streaming decoder."""

import codecs
import contextlib
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
from transformer_playground.errors import DataError, describe_error, is_library_fault
from transformer_playground.files import replace_file

_Class = TypeVar("_Class", bound="type[Tokenizer]")


class Tokenizer(ABC):
    """Base class of tokenizers; subclasses use `@register_tokenizer(name)`.

    `decode(encode(text)) == text` for every text that `encode` accepts. Subclasses import large
    libraries inside functions because the registry imports all tokenizer modules. `tokens` are the
    bytes of each token id.

    Attributes:
        kind: Name of the tokenizer, `prepare.tokenizer_type`.
        recipe: Increment when the same text and settings give other tokens.
        settings: Names of the `[prepare]` settings that only affect this tokenizer.
        file_names: Files that `save` may write next to `meta.pkl`.
        end_of_text: Text of the end-of-text token; None if it has none.
        prepends_bos: Every document begins with `bos_id`, for any `prepare.documents`.
        cut_before: White space before which a text can be split without changing its tokens, if no
            white space precedes it; None = anywhere.
        bos_id: Start-of-document token, if any.
        eos_id: End-of-document token, if any.
        vocab_size: Number of token ids; valid ids are 0 … vocab_size - 1.
        files: Contents of the files that `save` writes next to `meta.pkl`, by name.
        notes: What a user should know about how `build` trained it.
    """

    kind: ClassVar[str]
    recipe: ClassVar[int] = 0
    settings: ClassVar[tuple[str, ...]] = ()
    file_names: ClassVar[tuple[str, ...]] = ()
    end_of_text: ClassVar[str | None] = None
    prepends_bos: ClassVar[bool] = False
    cut_before: ClassVar[str | None] = " \n"
    bos_id: int | None = None
    eos_id: int | None = None
    files: Mapping[str, bytes] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens
        self.vocab_size = len(tokens)

    @classmethod
    def build(
        cls, text: Iterator[str], config: PrepareConfig, *, report: Callable[[str], None]
    ) -> Self:
        """Train a tokenizer on pieces of the training text; `report` gets one line per stage.

        Raises:
            DataError: The text does not fit the settings, or the tokenizer cannot be trained.
        """
        raise DataError(f"The tokenizer '{cls.kind}' comes with a model, not from training text.")

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> Self:
        """Load a saved tokenizer; `meta` is the content of the folder's `meta.pkl`.

        Raises:
            DataError: A file or entry is missing or damaged.
        """

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Token ids of a text; names of special tokens are ordinary text.

        Raises:
            DataError: The tokenizer lacks a character of the text.
        """

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.uint32], Counter[str]]:
        """Token ids of the known characters, and a count of the unknown ones."""
        return np.array(self.encode(text), dtype=np.uint32), Counter()

    def decode(self, ids: Sequence[int]) -> str:
        """Text of tokens; invalid UTF-8 becomes the replacement character.

        Raises:
            DataError: An id is outside the vocabulary.
        """
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """UTF-8 bytes of a token: possibly part of a character, or empty.

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
        """The entries of `meta.pkl` for this tokenizer, as built-in types."""
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
        """Additional entries of `meta.pkl`.

        "tokenizer" identifies it among its kind, such as "file" and "sha256" of its table.
        """
        return {}

    def save(self, folder: Path) -> None:
        """Write the files for `load_tokenizer(folder)`."""
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
    """All tokenizer classes of this package by name."""
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
    # nanoGPT's files have character tables but no kind.
    kind = meta.get("kind", "char" if "stoi" in meta else None)
    if not isinstance(kind, str) or kind not in tokenizers():
        raise DataError(
            f"{path} has the unknown tokenizer {kind!r}; known: {', '.join(tokenizers())}.",
            "Prepare the dataset again.",
        )
    return tokenizers()[kind].load(folder, meta)


class StreamDecoder:
    """Streaming decoder: returns text as soon as its characters are complete.

    The joined pieces of `push` and `flush` equal `tokenizer.decode` of all tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Text completed by this token; empty while a character is incomplete."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """Replacement for an incomplete character; resets the decoder."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


@contextlib.contextmanager
def translate_native_errors(library: str) -> Iterator[None]:
    """Translate exceptions of a native tokenizer library.

    Raises:
        DataError: The library failed.
    """
    try:
        yield
    except BaseException as error:
        if not is_library_fault(error):
            raise
        raise DataError(
            f"{library} cannot encode this text: {describe_error(error)}.",
            "Divide very long words and lines into shorter ones.",
        ) from error


def require_unicode(text: str) -> None:
    """Check that a text can be encoded as UTF-8.

    Raises:
        DataError: The text has a lone surrogate, as from a shell argument that is not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"The text is not valid Unicode at character {error.start} ({text[error.start]!r}).",
            "Pass it as UTF-8.",
        ) from None
