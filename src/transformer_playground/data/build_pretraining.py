"""Dataset for training from scratch: split the corpus, fit the tokenizer, write the token files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.dataset import TRAIN_FILE, VAL_FILE
from transformer_playground.data.meta import META_FILE, write_meta
from transformer_playground.data.progress import ShowProgress, Stage, ignore_progress
from transformer_playground.data.sources.corpora import RawInput
from transformer_playground.data.sources.documents import split_corpus
from transformer_playground.data.sources.pieces import plain_text
from transformer_playground.data.sources.rows import is_row_file
from transformer_playground.data.token_file import EncodedFile, describe_artifacts, write_tokens
from transformer_playground.data.tokenizers import Tokenizer, tokenizers
from transformer_playground.data.workers import Workers, core_count
from transformer_playground.errors import DataError
from transformer_playground.formatting import percent_text

# Increment when the same inputs and settings produce different files.
_VERSION = 1
_SHOWN = 10
# Starting processes takes as long as preparing this much text does.
_FOR_PROCESSES = 16 << 20
# Characters between two calls of a progress display.
_WATCHED = 1 << 20


def pretraining_settings(config: PrepareConfig) -> dict[str, Any]:
    """The settings that determine the dataset."""
    kind = tokenizers()[config.tokenizer_type]
    settings: dict[str, Any] = {
        **later_settings(config),
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
    own = config.model_dump(include=set(kind.settings))
    # Omitted without a value, too.
    return settings | {
        name: value
        for name, value in own.items()
        if name != "sentencepiece_sample" or value is not None
    }


def later_settings(config: PrepareConfig) -> dict[str, Any]:
    """The settings of later versions that determine any dataset, where they are not the default."""
    names = {"text_column", "shard_mb"} - config.unchanged_later_settings()
    return {name: getattr(config, name) for name in sorted(names)}


def build_pretraining_dataset(
    target: Path,
    config: PrepareConfig,
    inputs: Sequence[RawInput],
    *,
    report: Callable[[str], None],
    progress: ShowProgress = ignore_progress,
) -> list[str]:
    """Write all artifacts of a dataset into an empty folder and return notes for the user.

    `report` is called with one line per stage, `progress` within the longest one.

    Raises:
        DataError: The text is unusable, too short, or does not fit the settings.
        OSError: While writing.
    """
    rows = sum(item.size for item in inputs if is_row_file(item.path))
    cores = core_count()
    count, are_processes = cores, rows >= _FOR_PROCESSES
    if are_processes:
        count = config.processes or cores
    with Workers(count, are_processes=are_processes) as workers:
        return _build(target, config, inputs, workers, report=report, progress=progress, rows=rows)


def _build(
    target: Path,
    config: PrepareConfig,
    inputs: Sequence[RawInput],
    workers: Workers,
    *,
    report: Callable[[str], None],
    progress: ShowProgress,
    rows: int,
) -> list[str]:
    """Build with these workers; `rows` are the bytes of all files of rows."""
    report(f"Reading {', '.join(item.path.name for item in inputs)}")
    kind = tokenizers()[config.tokenizer_type]
    split = split_corpus(
        [item.path for item in inputs],
        config,
        end_of_text=kind.end_of_text,
        measured=workers.map,
        advance=Stage("Reading", rows, progress, unit="bytes").advance,
    )
    text = plain_text(split.train())
    if rows:
        stage = Stage("Reading again", split.train_characters, progress)
        text = _watched(text, stage.advance)
    tokenizer = kind.build(text, config, report=report)
    tokenizer.save(target)
    report(f"Encoding with a vocabulary of {tokenizer.vocab_size:,}")
    stage = Stage("Encoding", split.train_characters + split.val_characters, progress)
    encode = partial(
        write_tokens,
        tokenizer=tokenizer,
        end_bytes=split.end_bytes,
        workers=workers,
        shard_bytes=config.shard_mb << 20,
        advance=stage.advance,
    )
    train = encode(target / TRAIN_FILE, split.train())
    val = encode(target / VAL_FILE, split.val())
    if not train.tokens or not val.tokens:
        raise DataError(
            f"The text has {train.tokens:,} training and {val.tokens:,} validation tokens; "
            "both parts need at least one.",
            "Add text, or change prepare.val_fraction.",
        )
    described = tokenizer.describe()
    reference = described["tokenizer"]
    model = reference.get("file")
    of_tokenizer = {model: reference["sha256"]} if model else {}
    digests = {**train.files, **val.files, **of_tokenizer}
    # The same for one token file and for shards of it.
    content = {TRAIN_FILE: train.sha256, VAL_FILE: val.sha256, **of_tokenizer}
    identity = [content, reference, sorted(described.get("stoi", {}).items())]
    described |= _nanogpt_tables(tokenizer, described)
    meta = describe_artifacts(target, described, train, val, digests=digests, identity=identity)
    meta["inputs"] = [item.identity for item in inputs]
    meta["settings"] = pretraining_settings(config)
    write_meta(target / META_FILE, meta)
    left_out = [_left_out_note(val)] if val.left_out else []
    return [*tokenizer.notes, *_split_note(config, inputs), *left_out]


def _watched(text: Iterator[str], advance: Callable[[int], object]) -> Iterator[str]:
    """The text; `advance` is called with the number of characters after each million or so."""
    characters = 0
    for piece in text:
        yield piece
        characters += len(piece)
        if characters >= _WATCHED:
            advance(characters)
            characters = 0


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


def _nanogpt_tables(tokenizer: Tokenizer, described: Mapping[str, Any]) -> dict[str, Any]:
    """`stoi` and `itos` for nanoGPT's `sample.py`, which fails on a `meta.pkl` without them.

    It looks up a prompt character by character and a token by its id. Our own reading of
    tokenizers that are not characters ignores both.
    """
    if "stoi" in described:
        return {}
    tokens = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    texts = [token.decode("utf-8", "replace") for token in tokens]
    characters: dict[str, int] = {}
    for token, text in enumerate(texts):
        if len(text) == 1 and text.encode() == tokens[token]:
            characters.setdefault(text, token)
    return {"stoi": characters, "itos": texts}
