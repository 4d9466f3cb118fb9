"""Tokenizers of Hugging Face folders as our own kinds where they are the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import VOCAB_SIZE, Gpt2Tokenizer
from transformer_playground.data.tokenizers.huggingface import (
    TOKENIZER_FILE,
    TOKENIZER_FILES,
    HuggingFaceTokenizer,
)
from transformer_playground.errors import DataError
from transformer_playground.export.hf.tokenizer import gpt2_vocabulary
from transformer_playground.files import read_regular
from transformer_playground.jsonvalues import as_count, as_object, as_text

_MAX_BYTES = 1 << 28


def read_tokenizer(folder: Path, end_token: object) -> tuple[Tokenizer | None, str]:
    """The tokenizer of a folder, or why it is unknown.

    Args:
        folder: A folder with `tokenizer.json`.
        end_token: Id of the end-of-text token in the model's configuration, if any.

    Raises:
        DataError: `tokenizer.json` is damaged.
    """
    files: dict[str, bytes] = {}
    for name in TOKENIZER_FILES:
        path = folder / name
        try:
            files[name] = read_regular(path.resolve(), _MAX_BYTES)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if TOKENIZER_FILE not in files:
        return None, f"there is no {TOKENIZER_FILE} in {folder}"
    try:
        spec = orjson.loads(files[TOKENIZER_FILE])
    except ValueError as error:
        raise DataError(f"{folder / TOKENIZER_FILE} is damaged: {error}.") from None
    model = as_object(as_object(spec).get("model"))
    vocabulary = as_object(model.get("vocab"))
    if characters := _characters(model, vocabulary):
        return CharTokenizer(characters), ""
    if len(vocabulary) == VOCAB_SIZE and vocabulary == gpt2_vocabulary():
        return Gpt2Tokenizer(), ""
    end = as_count(end_token)
    if end is None:
        end = _named_end(files, as_object(spec))
    if end is None:
        return None, f"{folder} names no token that ends a text (eos_token)"
    return HuggingFaceTokenizer(files, eos_id=end), ""


def is_same_tokenizer(own: Tokenizer, other: Tokenizer) -> bool:
    """Whether two tokenizers are the same; one from a `tokenizer.json` has the same tokens."""
    if own.describe() == other.describe():
        return True
    if own.kind != HuggingFaceTokenizer.kind or own.vocab_size != other.vocab_size:
        return False
    return all(
        own.token_bytes(token) == other.token_bytes(token)
        for token in range(own.vocab_size)
        if other.token_bytes(token) and token not in (other.bos_id, other.eos_id, 0)
    )


def _characters(model: Mapping[str, Any], vocabulary: Mapping[str, Any]) -> list[str]:
    """The characters of a tokenizer with one token for each; empty for another tokenizer."""
    if model.get("type") != "WordLevel" or not vocabulary:
        return []
    if not all(len(name) == 1 for name in vocabulary):
        return []
    by_id = {token: name for name, token in vocabulary.items() if type(token) is int}
    if by_id.keys() != set(range(len(vocabulary))):
        return []
    return [by_id[token] for token in range(len(by_id))]


def _named_end(files: Mapping[str, bytes], spec: Mapping[str, Any]) -> int | None:
    """The id of `eos_token` in `tokenizer_config.json`."""
    try:
        stated = as_object(orjson.loads(files.get("tokenizer_config.json", b"{}"))).get("eos_token")
    except ValueError:
        return None
    name = as_text(stated) or as_text(as_object(stated).get("content"))
    added = spec.get("added_tokens")
    for token in added if isinstance(added, list) else []:
        if as_object(token).get("content") == name and name:
            return as_count(as_object(token).get("id"))
    return as_count(as_object(as_object(spec.get("model")).get("vocab")).get(name or ""))
