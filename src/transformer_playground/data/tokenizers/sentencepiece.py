"""SentencePiece tokenizer (BPE or unigram), trained on the corpus.

Kudo & Richardson 2018, "SentencePiece: A simple and language independent subword tokenizer". Byte
fallback and identity normalisation make encoding lossless for every text.
"""

import hashlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.meta import META_FILE, tokenizer_digest
from transformer_playground.data.sources.line_sample import sample_lines
from transformer_playground.data.sources.text import STRUCTURE_TOKENS, lines_of
from transformer_playground.data.tokenizers.base import (
    Tokenizer,
    register_tokenizer,
    require_unicode,
    translate_native_errors,
)
from transformer_playground.errors import DataError, translate_os_errors
from transformer_playground.formatting import percent_text

MODEL_FILE = "spm.model"
END_OF_TEXT = "</s>"

Algorithm = Literal["bpe", "unigram"]

_UNKNOWN, _BOS, _EOS = 0, 1, 2
# SentencePiece's character for a space; in texts, it is encoded as bytes instead.
_SPACE_MARK = "\u2581"
# As separate symbols they are preserved, and tokens do not cross lines.
_WHITESPACE_SYMBOLS = ("\n", "\t")
_PARTS = re.compile(f"([\n{_SPACE_MARK}])")
# Training would read U+2581 as a space, and skip each sentence with U+2585, its unknown character.
_RESERVED = re.compile(f"[{_SPACE_MARK}\u2585]")
# Characters. Training on a run of one repeated character takes time quadratic in its length.
_MAX_SENTENCE = 1 << 12
_ERRORS_ONLY = 2


@register_tokenizer("sentencepiece")
class SentencePieceTokenizer(Tokenizer):
    """A serialised SentencePiece model: id 0 unknown, 1 start, 2 end of a document.

    Raises:
        DataError: The bytes are not a model written by `train`.
    """

    recipe = 1
    settings = (
        "vocab_size",
        "sentencepiece_model",
        "character_coverage",
        "sentencepiece_sample",
    )
    file_names = (MODEL_FILE,)
    end_of_text = END_OF_TEXT
    bos_id = _BOS
    eos_id = _EOS

    def __init__(self, model: bytes) -> None:
        self.model = model
        self.files = {MODEL_FILE: model}
        self._processor = _load(model)
        super().__init__(list(map(self._bytes_of, range(self._processor.get_piece_size()))))
        space_mark = [
            self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in _SPACE_MARK.encode()
        ]
        self._between = {_SPACE_MARK: space_mark, "\n": self._processor.encode("\n")}

    def _bytes_of(self, token: int) -> bytes:
        if self._processor.is_control(token):
            return b""
        if self._processor.is_unknown(token):
            return "\N{REPLACEMENT CHARACTER}".encode()
        piece: str = self._processor.id_to_piece(token)
        if self._processor.is_byte(token):
            return bytes([int(piece[3:-1], 16)])
        return piece.replace(_SPACE_MARK, " ").encode()

    def encode(self, text: str) -> list[int]:
        """Token ids, without start or end of text.

        Raises:
            DataError: The text is not valid Unicode.
        """
        require_unicode(text)
        ids: list[int] = self._encode(text).tolist()
        return ids

    def encode_known(self, text: str) -> tuple[npt.NDArray[np.uint32], Counter[str]]:
        """`encode` as an array.

        Raises:
            DataError: The text is not valid Unicode.
        """
        require_unicode(text)
        return self._encode(text), Counter()

    def _encode(self, text: str) -> npt.NDArray[np.uint32]:
        # Tokens do not cross lines, and short texts take a third of the time of one long text.
        parts = _PARTS.split(text)
        with translate_native_errors("SentencePiece"):
            encoded = self._processor.encode(parts[::2])
        between = [self._between[mark] for mark in parts[1::2]]
        joined = itertools.chain.from_iterable(
            itertools.chain.from_iterable(itertools.zip_longest(encoded, between, fillvalue=()))
        )
        return np.fromiter(joined, dtype=np.uint32)

    def _details(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.model).hexdigest()
        return {"tokenizer": {"file": MODEL_FILE, "sha256": digest}}

    @classmethod
    def build(
        cls, text: Iterator[str], config: PrepareConfig, *, report: Callable[[str], None]
    ) -> "SentencePieceTokenizer":
        """Train a model on a sample of the text, with structure tokens as symbols if enabled."""
        sample = sample_lines(lines_of(text), config.sample_characters)
        report(
            f"Training SentencePiece ({config.sentencepiece_model}, {config.vocab_size:,} tokens) "
            f"on {sample.characters:,} characters"
        )
        tokenizer = train(
            iter(sample),
            vocab_size=config.vocab_size,
            algorithm=config.sentencepiece_model,
            character_coverage=config.character_coverage,
            symbols=STRUCTURE_TOKENS if config.add_structure_tokens else (),
        )
        if not sample.is_whole:
            share = percent_text(sample.characters / sample.total)
            tokenizer.notes = (
                f"SentencePiece was trained on a random sample of {share} of the training text, "
                f"{sample.characters:,} characters (prepare.sentencepiece_sample)",
            )
        return tokenizer

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> "SentencePieceTokenizer":
        """Load the model beside a `meta.pkl`.

        Raises:
            DataError: The model is missing, or not the one in `meta.pkl`.
        """
        path, hint = folder / MODEL_FILE, "Prepare the dataset again."
        with translate_os_errors(DataError, f"{path} cannot be read", hint):
            model = path.read_bytes()
        if hashlib.sha256(model).hexdigest() != tokenizer_digest(meta):
            raise DataError(f"{path} is not the model in {META_FILE}.", hint)
        return cls(model)


def _load(model: bytes) -> Any:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(model)
        special = (processor.unk_id(), processor.bos_id(), processor.eos_id())
        usable = special == (_UNKNOWN, _BOS, _EOS) and processor.is_byte(
            processor.piece_to_id("<0x00>")
        )
    except (RuntimeError, TypeError, ValueError, IndexError, OSError):
        usable = False
    if not usable:
        raise DataError(
            f"The {MODEL_FILE} is damaged or was not trained by prepare.",
            "Prepare the dataset again.",
        )
    return processor


def train(
    lines: Iterable[str],
    *,
    vocab_size: int,
    algorithm: Algorithm,
    character_coverage: float,
    symbols: Sequence[str] = (),
) -> SentencePieceTokenizer:
    """Train a model deterministically.

    Args:
        lines: Training text, line by line, without line ends.
        vocab_size: Exact number of tokens, including 256 bytes and the special tokens.
        algorithm: Byte-pair encoding or unigram language model.
        character_coverage: Fraction of characters with their own token; others are bytes.
        symbols: Strings that are always one token.

    Raises:
        DataError: The vocabulary is too large or too small for the text.
    """
    import sentencepiece

    sentences = _sentences(lines)
    first = next(sentences, None)
    if first is None:
        raise DataError(
            "The training text has no characters that SentencePiece can be trained on.",
            "Add text, or choose another prepare.tokenizer_type.",
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=itertools.chain([first], sentences),
            model_writer=model,
            vocab_size=vocab_size,
            model_type=algorithm,
            character_coverage=character_coverage,
            user_defined_symbols=[*_WHITESPACE_SYMBOLS, *symbols],
            byte_fallback=True,
            unk_id=_UNKNOWN,
            bos_id=_BOS,
            eos_id=_EOS,
            pad_id=-1,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            # Bytes; SentencePiece skips longer sentences.
            max_sentence_length=4 * _MAX_SENTENCE,
            # More threads change the order of sums and so the model.
            num_threads=1,
            minloglevel=_ERRORS_ONLY,
        )
    except RuntimeError as error:
        raise _training_error(str(error), vocab_size) from error
    return SentencePieceTokenizer(model.getvalue())


def _sentences(lines: Iterable[str]) -> Iterator[str]:
    """The training text in sentences of which SentencePiece skips none.

    A long line is divided before a space, where no token ends.
    """
    for line in lines:
        for part in _RESERVED.split(line):
            start = 0
            while len(part) - start > _MAX_SENTENCE:
                cut = part.rfind(" ", start + 1, start + _MAX_SENTENCE)
                stop = cut if cut > start else start + _MAX_SENTENCE
                yield part[start:stop]
                start = stop
            if start < len(part):
                yield part[start:]


def _training_error(reason: str, vocab_size: int) -> DataError:
    if largest := re.search(r"value <= (\d+)", reason):
        return DataError(
            f"prepare.vocab_size = {vocab_size} is too large for this training text.",
            f"Set it to {largest[1]} or less, or add text.",
        )
    if smallest := re.search(r"\d+ vs (\d+)", reason):
        return DataError(
            f"prepare.vocab_size = {vocab_size} is too small for the bytes and characters "
            "of this training text.",
            f"Set it to more than {smallest[1]}, or lower prepare.character_coverage.",
        )
    return DataError(f"SentencePiece could not be trained: {reason.strip()}.")
