"""`[prepare]`: corpus and tokenizer of a dataset."""

import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from transformer_playground.config.base import Folder, Strings, Table, conflict, setting

ValSplit = Literal["file_ends", "text_end", "random_documents"]
TokenizerType = Literal["char", "gpt2", "sentencepiece", "huggingface"]

# More text hardly changes the vocabulary, but training takes as long as it is and four times as
# much memory.
_SAMPLE = 20_000_000
# What versions before them did is their default.
_LATER = ("val_split", "sentencepiece_sample", "text_column", "shard_mb")


class Download(Table):
    """`[prepare.downloads.<name>]`: a public file with its pinned hash."""

    url: str = setting(..., "URL of the file.", pattern=r"^https?://\S+$")
    sha256: str = setting(..., "Expected SHA-256 of the file.", pattern=r"^[0-9a-f]{64}$")
    file: str = setting(
        ..., "File name inside raw_dir.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
    )


class ColumnsConfig(Table):
    """`[prepare.columns]`: column names of a CSV; omitted ones are inferred."""

    speech: str | None = setting(None, "Column with the text.", min_length=1)
    speaker: str | None = setting(None, "Column with the speaker.", min_length=1)
    party: str | None = setting(None, "Column with the speaker's party.", min_length=1)
    date: str | None = setting(None, "Column with the date or year.", min_length=1)
    topic: str | None = setting(None, "Column with the topic of the debate.", min_length=1)


class PrepareConfig(Table):
    """`[prepare]`: corpus, tokenizer and split."""

    raw_dir: Folder = setting(
        Path("raw"),
        "Folder with the input texts (.txt, .xml, .jsonl, .jsonl.gz, .jsonl.zst, .parquet; for "
        "kind = lora also .csv).",
    )
    dataset_dir: Folder = setting(Path("datasets"), "Folder for train.bin, val.bin and meta.pkl.")
    bundled: Literal["tiny_shakespeare", "bundestag_sample"] | None = setting(
        None, "Bundled text that is copied to raw_dir when that is empty."
    )
    downloads: Annotated[dict[str, Download], Strict(False)] = Field(
        default_factory=dict, description="Public files for `fetch`."
    )
    fetch: Strings = setting((), "Names from `downloads` to download to raw_dir when missing.")
    text_column: str = setting(
        "text", "Key or column with the text of a row in .jsonl and .parquet files.", min_length=1
    )
    tokenizer_type: TokenizerType = setting(
        "char", "Tokenizer; huggingface = that of the base model (kind = lora)."
    )
    vocab_size: int = setting(2048, "Vocabulary size of a trained SentencePiece model.", ge=16)
    sentencepiece_model: Literal["bpe", "unigram"] = setting(
        "bpe", "Algorithm of a trained SentencePiece model."
    )
    character_coverage: float = setting(
        1.0,
        "Fraction of characters that SentencePiece covers without byte fallback.",
        ge=0.98,
        le=1,
    )
    sentencepiece_sample: int | None = setting(
        None,
        "Characters of training text that SentencePiece is trained on, chosen at random: "
        f"omitted = {_SAMPLE:,}, 0 = all.",
        ge=0,
    )
    documents: Literal["files", "lines"] = setting(
        "files",
        "One document per file (per speech of a protocol or CSV, per row), or per non-empty line.",
    )
    val_fraction: float = setting(0.1, "Fraction held out for validation.", gt=0, lt=1)
    val_split: ValSplit | None = setting(
        None,
        "What is held out: the end of each file, the end of the whole text, or random documents; "
        "omitted = file_ends, but random_documents for documents = lines and kind = lora.",
    )
    seed: int = setting(1337, "Seed of a split by random documents.", ge=0)
    doc_separator: str = setting(
        "\n\n",
        "Text between two documents (documents = files). For kind = lora a special token that ends "
        "each document; white space = the tokenizer's own.",
    )
    add_structure_tokens: bool = setting(
        False, "Mark speaker, party, date and interjections of protocols with <|...|> tokens."
    )
    conditioning_header: bool = setting(
        True, "Start each speech of a CSV with lines for speaker, party, year and topic."
    )
    columns: ColumnsConfig = Field(default_factory=ColumnsConfig)
    processes: int | None = setting(
        None,
        "Processes that parse and encode .jsonl and .parquet files; omitted = one for each core.",
        ge=1,
    )
    shard_mb: int = setting(
        2048,
        "Largest token file in MiB; a longer split is written as train-00001.bin and so on, "
        "0 = never.",
        ge=0,
    )

    @property
    def sample_characters(self) -> int:
        """Most characters that SentencePiece is trained on."""
        stated = self.sentencepiece_sample
        return _SAMPLE if stated is None else stated or sys.maxsize

    def unchanged_later_settings(self) -> set[str]:
        """Settings that older versions lack, as far as they have their default value.

        Left out of what identifies a dataset, so that datasets of those versions stay current.
        """
        fields = type(self).model_fields
        return {name for name in _LATER if getattr(self, name) == fields[name].default}

    @model_validator(mode="after")
    def _check_fetch(self) -> Self:
        for name in self.fetch:
            if name not in self.downloads:
                known = ", ".join(sorted(self.downloads)) or "none"
                raise conflict(
                    f"fetch = '{name}' is not in prepare.downloads (known: {known})",
                    "prepare.fetch",
                )
        return self

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        if self.documents == "lines" and self.val_split not in (None, "random_documents"):
            raise conflict(
                f"documents = 'lines' holds out random lines, not val_split = '{self.val_split}'; "
                "leave out val_split, or set documents = 'files'",
                "prepare.val_split",
                "prepare.documents",
            )
        return self

    @model_validator(mode="after")
    def _check_markers(self) -> Self:
        if self.add_structure_tokens and self.documents == "lines":
            raise conflict(
                "add_structure_tokens writes each marker on its own line, which "
                "documents = 'lines' would treat as a document; set documents = 'files'",
                "prepare.add_structure_tokens",
                "prepare.documents",
            )
        return self
