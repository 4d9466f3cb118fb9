"""Dataset for training from scratch: split the corpus, fit the tokenizer, write the token files."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.dataset import TRAIN_FILE, VAL_FILE, token_dtype
from transformer_playground.data.meta import META_FILE, write_meta
from transformer_playground.data.sources.corpora import RawInput
from transformer_playground.data.sources.documents import Boundary, Piece, plain_text, split_corpus
from transformer_playground.data.tokenizers import Tokenizer, tokenizers
from transformer_playground.errors import DataError
from transformer_playground.files import write_durably
from transformer_playground.formatting import percent_text

# Characters encoded and tokens written at once.
_CHUNK = 1 << 20


@dataclass
class EncodedFile:
    """Statistics of a written token file."""

    tokens: int = 0
    text_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    sha256: str = ""


def write_tokens(
    path: Path, pieces: Iterator[Piece], tokenizer: Tokenizer, *, end_bytes: int
) -> EncodedFile:
    """Encode a stream of text and document boundaries into a token file.

    Text is encoded independently of its division into pieces. If start and end are the same token,
    it is written once between two documents. A character tokenizer omits and counts unknown
    characters.

    Args:
        path: The file to write.
        pieces: Text and document boundaries.
        tokenizer: Tokenizer of the dataset.
        end_bytes: UTF-8 bytes counted for an END boundary.

    Raises:
        OSError: While writing.
    """
    encoded = EncodedFile()
    digest = hashlib.sha256()
    dtype = np.dtype(token_dtype(tokenizer.vocab_size))

    def write(file: Any) -> None:
        for ids in _batched(_ids(pieces, tokenizer, encoded, end_bytes), dtype):
            content = ids.tobytes()
            digest.update(content)
            file.write(content)
            encoded.tokens += len(ids)

    write_durably(path, write)
    encoded.sha256 = digest.hexdigest()
    return encoded


def _batched(
    arrays: Iterable[npt.NDArray[np.uint32]], dtype: np.dtype[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Concatenate small arrays into large ones."""
    waiting: list[npt.NDArray[np.uint32]] = []
    size = 0
    for array in arrays:
        waiting.append(array)
        size += len(array)
        if size >= _CHUNK:
            yield np.concatenate(waiting).astype(dtype)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting).astype(dtype)


def _ids(
    pieces: Iterator[Piece], tokenizer: Tokenizer, encoded: EncodedFile, end_bytes: int
) -> Iterator[npt.NDArray[np.uint32]]:
    last_mark: int | None = None
    for piece in _chunks(pieces, whole_words=not tokenizer.encodes_piecewise):
        if not isinstance(piece, Boundary):
            last_mark = None
            yield _encode(piece, tokenizer, encoded)
            continue
        encoded.text_bytes += end_bytes if piece is Boundary.END else 0
        token = tokenizer.bos_id if piece is Boundary.START else tokenizer.eos_id
        if token is not None and not (piece is Boundary.START and token == last_mark):
            yield np.array([token], dtype=np.uint32)
        last_mark = token


def _encode(text: str, tokenizer: Tokenizer, encoded: EncodedFile) -> npt.NDArray[np.uint32]:
    encoded.text_bytes += len(text.encode("utf-8"))
    ids, left_out = tokenizer.encode_known(text)
    encoded.left_out += left_out
    encoded.text_bytes -= sum(len(char.encode()) * count for char, count in left_out.items())
    return ids


def _chunks(pieces: Iterator[Piece], *, whole_words: bool) -> Iterator[Piece]:
    """Text in chunks that encode like the whole text, and the boundaries between them."""
    waiting: list[str] = []
    size, limit = 0, _CHUNK
    for piece in pieces:
        if isinstance(piece, Boundary):
            if waiting:
                yield "".join(waiting)
            yield piece
            waiting, size, limit = [], 0, _CHUNK
            continue
        waiting.append(piece)
        size += len(piece)
        if size < limit:
            continue
        text = "".join(waiting)
        cut = _boundary(text) if whole_words else len(text)
        if cut:
            yield text[:cut]
        waiting, size = [text[cut:]], len(text) - cut
        # Searching less often keeps text without white space linear.
        limit = size + max(_CHUNK, size)
    if rest := "".join(waiting):
        yield rest


def _boundary(text: str) -> int:
    """The last index where white space begins: no GPT-2 or SentencePiece token spans it."""
    for index in range(len(text) - 1, 0, -1):
        if text[index] in " \n" and not text[index - 1].isspace():
            return index
    return 0


# Increment when the same inputs and settings produce different files.
_VERSION = 1
_SHOWN = 10


def pretraining_settings(config: PrepareConfig) -> dict[str, Any]:
    """The settings that determine the dataset."""
    kind = tokenizers()[config.tokenizer_type]
    settings: dict[str, Any] = {
        "recipe": _VERSION + kind.recipe,
        "tokenizer_type": config.tokenizer_type,
        "documents": config.documents,
        "val_fraction": config.val_fraction,
        "add_structure_tokens": config.add_structure_tokens,
    }
    if config.documents == "files":
        settings["doc_separator"] = config.doc_separator
        # Omitted without a value, so that datasets of versions without this setting stay current.
        if config.val_split is not None:
            settings["val_split"] = config.val_split
    if config.documents == "lines" or config.val_split == "random_documents":
        settings["seed"] = config.seed
    return settings | config.model_dump(include=set(kind.settings))


def build_pretraining_dataset(
    target: Path,
    config: PrepareConfig,
    inputs: Sequence[RawInput],
    *,
    report: Callable[[str], None],
) -> list[str]:
    """Write all artifacts of a dataset into an empty folder and return notes for the user.

    `report` is called with one line per stage.

    Raises:
        DataError: The text is unusable, too short, or does not fit the settings.
        OSError: While writing.
    """
    report(f"Reading {', '.join(item.path.name for item in inputs)}")
    kind = tokenizers()[config.tokenizer_type]
    split = split_corpus([item.path for item in inputs], config, end_of_text=kind.end_of_text)
    tokenizer = kind.build(plain_text(split.train()), config, report=report)
    tokenizer.save(target)
    report(f"Encoding with a vocabulary of {tokenizer.vocab_size:,}")
    train = write_tokens(target / TRAIN_FILE, split.train(), tokenizer, end_bytes=split.end_bytes)
    val = write_tokens(target / VAL_FILE, split.val(), tokenizer, end_bytes=split.end_bytes)
    if not train.tokens or not val.tokens:
        raise DataError(
            f"The text has {train.tokens:,} training and {val.tokens:,} validation tokens; "
            "both parts need at least one.",
            "Add text, or change prepare.val_fraction.",
        )
    meta = _describe(target, tokenizer, train, val) | {
        "inputs": [item.identity for item in inputs],
        "settings": pretraining_settings(config),
    }
    write_meta(target / META_FILE, meta)
    return [*_split_note(config, inputs), *([_left_out_note(val)] if val.left_out else [])]


def _split_note(config: PrepareConfig, inputs: Sequence[RawInput]) -> list[str]:
    if config.documents == "lines" or len(inputs) == 1:
        return []
    share = percent_text(config.val_fraction)
    match config.val_split:
        case "random_documents":
            held_out = f"{share} of the documents, chosen at random"
        case "text_end":
            held_out = f"the last {share} of the text, in {inputs[-1].path.name} and maybe before"
        case _:
            held_out = f"the last {share} of each of the {len(inputs):,} files"
    return [f"for validation: {held_out} (prepare.val_split)"]


def _left_out_note(val: EncodedFile) -> str:
    shown = ", ".join(f"{char!r} ×{count}" for char, count in val.left_out.most_common(_SHOWN))
    more = " …" if len(val.left_out) > _SHOWN else ""
    return (
        f"{val.left_out.total():,} characters of the validation text do not occur in the training "
        f"text and were omitted from {VAL_FILE}: {shown}{more}"
    )


def _describe(
    target: Path, tokenizer: Tokenizer, train: EncodedFile, val: EncodedFile
) -> dict[str, Any]:
    """Metadata of the artifacts in `target`, for `meta.pkl`."""
    described = tokenizer.describe()
    reference = described["tokenizer"]
    digests = {TRAIN_FILE: train.sha256, VAL_FILE: val.sha256}
    if model := reference.get("file"):
        digests[model] = reference["sha256"]
    identity = [digests, reference, sorted(described.get("stoi", {}).items())]
    return described | {
        "dtype": token_dtype(tokenizer.vocab_size),
        "train_tokens": train.tokens,
        "val_tokens": val.tokens,
        "val_bytes": val.text_bytes,
        "files": {
            name: {"size": (target / name).stat().st_size, "sha256": digest}
            for name, digest in digests.items()
        },
        "fingerprint": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
    }
