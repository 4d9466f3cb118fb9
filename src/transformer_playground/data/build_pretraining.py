"""One dataset from start to end: split the corpus, fit the tokenizer, write every artifact."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.bins import EncodedFile, token_dtype, write_tokens
from transformer_playground.data.install import TRAIN_FILE, VAL_FILE
from transformer_playground.data.meta import META_FILE, write_meta
from transformer_playground.data.sources.corpora import RawInput
from transformer_playground.data.sources.documents import plain_text, split_corpus
from transformer_playground.data.tokenizers import Tokenizer, tokenizers
from transformer_playground.errors import DataError

# Raise it when the same inputs and settings give other files than before.
_VERSION = 1
_SHOWN = 10


def settings_of(config: PrepareConfig) -> dict[str, Any]:
    """Pick the settings that shape the dataset, and no others."""
    settings: dict[str, Any] = {
        "recipe": _VERSION,
        "tokenizer_type": config.tokenizer_type,
        "documents": config.documents,
        "val_fraction": config.val_fraction,
        "add_structure_tokens": config.add_structure_tokens,
    }
    if config.documents == "files":
        settings["doc_separator"] = config.doc_separator
    else:
        settings["seed"] = config.seed
    own = tokenizers()[config.tokenizer_type].settings
    return settings | config.model_dump(include=set(own))


def build_dataset(
    target: Path,
    config: PrepareConfig,
    inputs: Sequence[RawInput],
    *,
    report: Callable[[str], None],
) -> list[str]:
    """Write every artifact of a dataset into an empty folder.

    Args:
        target: The empty folder.
        config: The `[prepare]` table.
        inputs: The files to read, in order.
        report: Called with one line per stage.

    Returns:
        Notes for the user.

    Raises:
        DataError: The text is unusable or too short, or does not fit the settings.
        OSError: The disk refused.
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
            f"The text gives {train.tokens:,} training and {val.tokens:,} validation tokens; "
            "both need some.",
            "Add text, or change prepare.val_fraction.",
        )
    meta = _describe(target, tokenizer, train, val) | {
        "inputs": [item.identity for item in inputs],
        "settings": settings_of(config),
    }
    write_meta(target / META_FILE, meta)
    return [_left_out_note(val)] if val.left_out else []


def _left_out_note(val: EncodedFile) -> str:
    shown = ", ".join(f"{char!r} ×{count}" for char, count in val.left_out.most_common(_SHOWN))
    more = " …" if len(val.left_out) > _SHOWN else ""
    return (
        f"{val.left_out.total():,} characters of the validation text never occur in the training "
        f"text and were left out of {VAL_FILE}: {shown}{more}"
    )


def _describe(
    target: Path, tokenizer: Tokenizer, train: EncodedFile, val: EncodedFile
) -> dict[str, Any]:
    """Put together what `meta.pkl` says about the artifacts in `target`."""
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
