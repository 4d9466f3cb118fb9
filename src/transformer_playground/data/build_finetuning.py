"""Dataset for finetuning: split documents, as text and as tokens of the base model."""

import array
import hashlib
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import orjson

from transformer_playground.config.finetuning import HfModelConfig, is_model_path
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.build_pretraining import later_settings
from transformer_playground.data.dataset import TRAIN_DOCUMENTS, TRAIN_FILE, VAL_DOCUMENTS, VAL_FILE
from transformer_playground.data.meta import META_FILE, write_meta
from transformer_playground.data.progress import ShowProgress, Stage, ignore_progress
from transformer_playground.data.sources import bundestag, speeches_csv
from transformer_playground.data.sources.corpora import RawInput
from transformer_playground.data.sources.documents import held_out, no_text
from transformer_playground.data.sources.pieces import Boundary, Piece
from transformer_playground.data.sources.rows import RowForm, is_row_file, read_blocks
from transformer_playground.data.sources.text import (
    END_TOKEN,
    SPEECH_TOKEN,
    STRUCTURE_TOKENS,
    lines_of,
    read_text,
)
from transformer_playground.data.token_file import describe_artifacts, write_tokens
from transformer_playground.data.tokenizers.huggingface import TOKENIZER_FILE, load_hub_tokenizer
from transformer_playground.errors import DataError
from transformer_playground.files import sampled_bytes, sha256_file, write_durably

# Increment when the same inputs and settings produce different files.
_VERSION = 2
# Files of a model folder that identify its tokenizer.
_IDENTIFYING = (TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json")
_ALL_DOCUMENTS = ".documents.jsonl"


@dataclass(frozen=True)
class Document:
    """A document with its metadata; empty fields are unknown."""

    text: str
    source: str
    speaker: str = ""
    party: str = ""
    date: str = ""
    topic: str = ""

    def record(self) -> dict[str, str]:
        """A line of train.jsonl: the non-empty fields."""
        return {name: value for name, value in asdict(self).items() if value}


def read_documents(paths: Sequence[Path], config: PrepareConfig) -> Iterator[list[Document]]:
    """Non-empty documents in file order, without surrounding white space.

    A document is a text file, a speech of a protocol or a row of a CSV. With `documents = "lines"`
    it is a line of a text file or protocol, or a row of a CSV.

    Yields:
        Documents that must stay in the same split: the lines of one speech, or a single document.

    Raises:
        DataError: A file is unusable.
    """
    for path in paths:
        for documents in _documents_of(path, config):
            stripped = (replace(each, text=each.text.strip()) for each in documents)
            if together := [document for document in stripped if document.text]:
                yield together


def _documents_of(path: Path, config: PrepareConfig) -> Iterator[Iterable[Document]]:
    suffix = path.suffix.lower()
    by_line = config.documents == "lines"
    if is_row_file(path):
        form = RowForm(structured=config.add_structure_tokens)
        for block in read_blocks(path, config.text_column):
            yield from ([Document(text, _name(path))] for text in form.documents(block))
    elif suffix == ".csv":
        for document in _of_csv(path, config):
            yield [document]
    elif suffix == ".xml":
        for document in _of_protocol(path, structured=config.add_structure_tokens):
            yield _lines(document) if by_line else [document]
    else:
        whole = _of_text(path, structured=config.add_structure_tokens)
        for document in _lines(whole) if by_line else [whole]:
            yield [document]


def _lines(document: Document) -> Iterator[Document]:
    for line in lines_of([document.text]):
        yield replace(document, text=line)


def _of_text(path: Path, *, structured: bool) -> Document:
    text = "".join(read_text(path)).strip()
    if text and structured:
        text = f"{SPEECH_TOKEN}\n{text}\n{END_TOKEN}"
    return Document(text, _name(path))


def _of_protocol(path: Path, *, structured: bool) -> Iterator[Document]:
    render = bundestag.marked_text if structured else bundestag.plain_text
    for speech in bundestag.read_speeches(path):
        first = speech.turns[0]
        yield Document(
            text=render(speech),
            source=_name(path),
            speaker=first.speaker,
            party=first.affiliation if first.is_party else "",
            date=speech.date,
        )


def _of_csv(path: Path, config: PrepareConfig) -> Iterator[Document]:
    for speech in speeches_csv.read_speeches(path, config.columns):
        yield Document(
            text=speeches_csv.render(
                speech, header=config.conditioning_header, structured=config.add_structure_tokens
            ),
            source=_name(path),
            speaker=speech.speaker,
            party=speech.party,
            date=speech.date,
            topic=speech.topic,
        )


def _name(path: Path) -> str:
    # JSON cannot represent file names that are not UTF-8.
    return os.fsencode(path.name).decode("utf-8", "replace")


@dataclass
class _DocumentCounts:
    documents: int = 0
    characters: int = 0
    duplicates: int = 0


def finetuning_settings(config: PrepareConfig, hf_model: HfModelConfig) -> dict[str, Any]:
    """The settings and the tokenizer that determine the dataset."""
    return later_settings(config) | {
        "finetuning_recipe": _VERSION,
        "documents": config.documents,
        "val_fraction": config.val_fraction,
        "seed": config.seed,
        "doc_separator": config.doc_separator.strip(),
        "add_structure_tokens": config.add_structure_tokens,
        "conditioning_header": config.conditioning_header,
        "columns": config.columns.model_dump(),
        "base": base_identity(hf_model),
    }


def base_identity(hf_model: HfModelConfig) -> dict[str, Any]:
    """Identity of a model's tokenizer; moving the model folder does not change it."""
    name = hf_model.model_name
    if not is_model_path(name):
        return hf_model.source()
    folder = Path(name)
    identity: dict[str, Any] = {"folder": folder.name, "gguf_file": hf_model.gguf_file}
    for file in _IDENTIFYING:
        identity[file] = _digest(sha256_file, folder / file)
    if hf_model.gguf_file is not None:
        # Gigabytes of weights beside the tokenizer: hash a sample only.
        identity["gguf"] = _digest(
            lambda path: hashlib.sha256(sampled_bytes(path)).hexdigest(),
            folder / hf_model.gguf_file,
        )
    return identity


def _digest(hash_file: Callable[[Path], str], path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None


def build_finetuning_dataset(
    target: Path,
    config: PrepareConfig,
    hf_model: HfModelConfig,
    inputs: Sequence[RawInput],
    *,
    report: Callable[[str], None],
    progress: ShowProgress = ignore_progress,
) -> list[str]:
    """Write all artifacts of a dataset into an empty folder and return notes for the user.

    Each document becomes [start token, if the tokenizer adds one] + text + end token. `report` is
    called with one line per stage, `progress` within the longest one.

    Raises:
        DataError: The text is unusable, has fewer than two documents or unknown characters, or
            the tokenizer has no end token.
        ModelError: The tokenizer cannot be loaded.
        OSError: While writing.
    """
    report(f"Loading the tokenizer of {hf_model.model_name}")
    end_token = config.doc_separator.strip()
    symbols = STRUCTURE_TOKENS if config.add_structure_tokens else ()
    tokenizer = load_hub_tokenizer(hf_model, end_token=end_token, symbols=symbols)
    report(f"Reading {', '.join(item.path.name for item in inputs)}")
    read = _write_documents(target, config, [item.path for item in inputs])
    report(f"Encoding {read.documents:,} documents with a vocabulary of {tokenizer.vocab_size:,}")
    tokenizer.save(target)
    stage = Stage("Encoding", read.characters, progress)
    encode = partial(
        write_tokens,
        tokenizer=tokenizer,
        shard_bytes=config.shard_mb << 20,
        advance=stage.advance,
    )
    train = encode(target / TRAIN_FILE, _pieces(target / TRAIN_DOCUMENTS))
    val = encode(target / VAL_FILE, _pieces(target / VAL_DOCUMENTS))
    described = tokenizer.describe()
    tokens = {TRAIN_FILE: train.sha256, VAL_FILE: val.sha256}
    others = (TRAIN_DOCUMENTS, VAL_DOCUMENTS, *tokenizer.files)
    special = [described[name] for name in ("bos_id", "eos_id", "new_tokens", "symbols")]
    meta = describe_artifacts(
        target,
        described,
        train,
        val,
        digests=train.files | val.files | {name: sha256_file(target / name) for name in others},
        # Independent of the location of the model.
        identity=[tokens, described["tokenizer"], special],
    )
    meta["documents"] = read.documents
    meta["inputs"] = [item.identity for item in inputs]
    meta["settings"] = finetuning_settings(config, hf_model)
    write_meta(target / META_FILE, meta)
    notes: list[str] = []
    for item in inputs:
        if item.path.suffix.lower() == ".csv":
            years = config.conditioning_header
            notes += speeches_csv.table_notes(item.path, config.columns, years=years)
    if read.duplicates:
        one = read.duplicates == 1
        subject = "1 document has" if one else f"{read.duplicates:,} documents have"
        notes.append(
            f"{subject} the same text as an earlier one: skipped, so that the splits are disjoint."
        )
    wanted = [*filter(None, [end_token]), *symbols]
    existing = [name for name in wanted if tokenizer.id_of(name) not in tokenizer.new_tokens]
    if existing:
        notes.append(f"The tokenizer already has {', '.join(existing)}.")
    return notes


def _write_documents(target: Path, config: PrepareConfig, paths: Sequence[Path]) -> _DocumentCounts:
    """Write train.jsonl and val.jsonl, split at random with `prepare.seed`.

    The splits are disjoint: duplicates are skipped, and groups are not divided.
    """
    everything = target / _ALL_DOCUMENTS
    read = _DocumentCounts()
    group_sizes = array.array("q")

    def write(file: IO[bytes]) -> None:
        seen: set[bytes] = set()
        for together in read_documents(paths, config):
            before = read.documents
            for document in together:
                digest = hashlib.blake2b(document.text.encode("utf-8"), digest_size=16).digest()
                if digest in seen:
                    read.duplicates += 1
                    continue
                seen.add(digest)
                file.write(orjson.dumps(document.record(), option=orjson.OPT_APPEND_NEWLINE))
                read.documents += 1
                read.characters += len(document.text)
            if read.documents > before:
                group_sizes.append(read.documents - before)

    write_durably(everything, write)
    groups = _validation_groups(len(group_sizes), config, paths)
    for_val = np.repeat(groups, np.array(group_sizes))
    for name, wanted in ((TRAIN_DOCUMENTS, False), (VAL_DOCUMENTS, True)):
        with everything.open("rb") as lines:
            chosen = (line for line, is_val in zip(lines, for_val, strict=True) if is_val == wanted)
            write_durably(target / name, operator.methodcaller("writelines", chosen))
    everything.unlink()
    return read


def _validation_groups(
    total: int, config: PrepareConfig, paths: Sequence[Path]
) -> npt.NDArray[np.bool_]:
    if not total:
        raise no_text(paths)
    if total == 1:
        raise DataError(
            "A corpus of one document cannot be divided into training and validation.",
            "Add files, or set prepare.documents = 'lines' to make each line a document; "
            "duplicates do not count."
            if config.documents == "files"
            else "Add lines; duplicates do not count, and lines of one speech stay together.",
        )
    return held_out(total, config)


def _pieces(documents: Path) -> Iterator[Piece]:
    """The texts of a .jsonl, each between its boundaries."""
    with documents.open("rb") as lines:
        for line in lines:
            yield Boundary.START
            yield orjson.loads(line)["text"]
            yield Boundary.END
