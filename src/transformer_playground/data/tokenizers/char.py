"""Character tokenizer with the tables of nanoGPT."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.meta import META_FILE
from transformer_playground.data.tokenizers.base import Tokenizer, register_tokenizer
from transformer_playground.errors import DataError
from transformer_playground.formatting import names_text

_SHOWN = 10


@register_tokenizer("char")
class CharTokenizer(Tokenizer):
    """One token per character of the training text, without unknown or end-of-text token."""

    cut_before = None

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = tuple(characters)
        self._ids = {char: index for index, char in enumerate(self.characters)}
        codes = np.array([ord(char) for char in self.characters], dtype=np.uint32)
        self._sorted_ids = np.argsort(codes).astype(np.uint32)
        self._sorted_codes = codes[self._sorted_ids]
        super().__init__([char.encode("utf-8") for char in self.characters])

    @classmethod
    def build(
        cls, text: Iterator[str], config: PrepareConfig, *, report: Callable[[str], None]
    ) -> "CharTokenizer":
        """The alphabet of the training text, sorted."""
        seen: set[str] = set()
        for piece in text:
            seen.update(piece)
        return cls(sorted(seen))

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> "CharTokenizer":
        """The tokenizer of a `meta.pkl`, also of nanoGPT.

        Raises:
            DataError: `stoi` does not number single characters from 0.
        """
        stoi = meta.get("stoi")
        if not isinstance(stoi, dict) or not stoi:
            raise DataError(f"{META_FILE} has no character table 'stoi'.", "Prepare again.")
        if not all(type(char) is str and len(char) == 1 for char in stoi):
            raise DataError(f"{META_FILE}: 'stoi' has keys that are not single characters.")
        if any("\ud800" <= char <= "\udfff" for char in stoi):
            raise DataError(f"{META_FILE}: 'stoi' has half a surrogate pair as a character.")
        by_id = {index: char for char, index in stoi.items() if type(index) is int}
        if by_id.keys() != set(range(len(stoi))):
            raise DataError(f"{META_FILE}: 'stoi' does not number its characters from 0.")
        return cls([by_id[index] for index in range(len(stoi))])

    def encode(self, text: str) -> list[int]:
        """Token ids, one per character.

        Raises:
            DataError: The text has characters outside the alphabet.
        """
        try:
            return [self._ids[char] for char in text]
        except KeyError:
            unknown = sorted(set(text) - set(self.characters))
        shown = names_text(list(map(repr, unknown)), _SHOWN)
        raise DataError(
            f"The tokenizer lacks {shown}: it only has the {self.vocab_size} characters of its "
            "training text.",
            "Remove them, or prepare with text that contains them.",
        )

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.uint32], Counter[str]]:
        """Token ids of the characters in the alphabet, and a count of the others."""
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        places = np.searchsorted(self._sorted_codes, codes).clip(max=self.vocab_size - 1)
        known = self._sorted_codes[places] == codes
        return self._sorted_ids[places[known]], Counter(map(chr, codes[~known]))

    def _details(self) -> dict[str, Any]:
        # nanoGPT's keys.
        return {"stoi": dict(self._ids), "itos": dict(enumerate(self.characters))}
