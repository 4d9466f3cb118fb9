"""Rows of text: JSON Lines (also compressed) and Parquet files, in blocks of bounded size.

Each row is a document: the text of one column. A file is cut into blocks without being parsed, so
that other processes can parse them. Where it is cut depends on the file alone.
"""

import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import orjson

from transformer_playground.data.sources.text import END_TOKEN, SPEECH_TOKEN
from transformer_playground.encodings import conversion_hint, wide_encoding
from transformer_playground.errors import DataError
from transformer_playground.formatting import names_text

ROW_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")

_BLOCK_BYTES = 1 << 20
_LONGEST_LINE = 256 << 20
_PARQUET_ROWS = 256
_PARQUET_BUFFER = 1 << 20
_START_BYTES = 1 << 16
_SHOWN = 8
_BOM = b"\xef\xbb\xbf"
_EXTRA = "transformer-playground[rows]"

_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def is_row_file(path: Path) -> bool:
    """Whether a file holds rows of text, by its name."""
    return path.name.lower().endswith(ROW_SUFFIXES)


@dataclass(frozen=True)
class RowBlock:
    """Consecutive rows of a file, not parsed yet.

    Attributes:
        first: Number of the first line or row, from 1.
        content: Lines of JSON, or the values of the column.
        size: About how many bytes of the file it takes, for displays.
    """

    path: Path
    column: str
    first: int
    content: bytes | tuple[str | None, ...]
    size: int = 0

    def texts(self) -> Iterator[str]:
        r"""The text of each row, with "\n" line ends; empty lines of a file are no rows.

        Raises:
            DataError: A row is not an object with the column, or its value is not text.
        """
        if isinstance(self.content, bytes):
            values = self._of_lines(self.content)
        else:
            values = enumerate(self.content, self.first)
        for number, value in values:
            text = self._checked(number, value)
            yield text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text

    def _of_lines(self, lines: bytes) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(lines.split(b"\n"), self.first):
            if not line.strip():
                continue
            row = self._parsed(number, line)
            if not isinstance(row, dict):
                raise self._fault(number, f"is {_kind(row)}, not an object")
            if self.column not in row:
                known = names_text(list(map(str, row)), _SHOWN) or "nothing"
                raise self._fault(
                    number, f"has no '{self.column}', only {known}", "Set prepare.text_column."
                )
            yield number, row[self.column]

    def _parsed(self, number: int, line: bytes) -> Any:
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            pass
        try:
            # Numbers beyond the standard, such as NaN, are of no interest here.
            return json.loads(line)
        except json.JSONDecodeError as error:
            reason = f"{error.msg} at character {error.pos + 1:,}"
        except UnicodeDecodeError:
            reason = "it is not UTF-8 text"
        except (ValueError, RecursionError):
            reason = "it is nested too deeply, or has too long a number"
        raise self._fault(number, f"is not valid JSON: {reason}")

    def _checked(self, number: int, value: object) -> str:
        if not isinstance(value, str):
            raise self._fault(
                number,
                f"has {_kind(value)} as '{self.column}', not text",
                "Remove such rows, or set prepare.text_column.",
            )
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise self._fault(
                    number, f"has half a surrogate pair in '{self.column}', which is no character"
                ) from None
        return value

    def _fault(self, number: int, what: str, hint: str = "") -> DataError:
        unit = "line" if isinstance(self.content, bytes) else "row"
        return DataError(f"{self.path}, {unit} {number:,}: the {unit} {what}.", hint)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "text")


@dataclass(frozen=True)
class RowForm:
    """What becomes of the text of a row.

    Attributes:
        stripped: Without surrounding white space.
        structured: Between the tokens of a speech.
    """

    stripped: bool = False
    structured: bool = False

    def documents(self, block: RowBlock) -> Iterator[str]:
        """The non-empty documents of a block."""
        for text in block.texts():
            kept = text.strip() if self.stripped else text
            if kept:
                yield f"{SPEECH_TOKEN}\n{kept}\n{END_TOKEN}" if self.structured else kept


def read_blocks(path: Path, column: str) -> Iterator[RowBlock]:
    """The rows of a file in blocks of a few MiB.

    Raises:
        DataError: The file is damaged, of another format, or lacks the column; or the library that
            reads it is missing.
        OSError: While reading.
    """
    if path.name.lower().endswith(".parquet"):
        yield from _parquet_blocks(path, column)
        return
    first, before = 1, 0
    for lines, end in _line_blocks(path):
        yield RowBlock(path, column, first, lines, end - before)
        first, before = first + lines.count(b"\n"), end


def _line_blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """A text file in blocks of whole lines, with the place in the file that was read to."""
    waiting: list[bytes] = []
    size = lines = end = 0
    for number, (chunk, place) in enumerate(_chunks(path)):
        end = place
        start = chunk[:_START_BYTES]
        if not number and wide_encoding(start):
            raise DataError(f"{path} is not UTF-8 text.", conversion_hint(start))
        read = chunk if number else chunk.removeprefix(_BOM)
        cut = read.rfind(b"\n") + 1
        if cut:
            yield b"".join([*waiting, read[:cut]]), end
            lines += read.count(b"\n")
            waiting, size = [], 0
        waiting.append(read[cut:])
        size += len(read) - cut
        if size > _LONGEST_LINE:
            raise DataError(
                f"{path}, line {lines + 1:,}: the line is longer than {_LONGEST_LINE >> 20} MiB.",
                "Is it one JSON document? Write one object for each line.",
            )
    if rest := b"".join(waiting):
        yield rest, end


def _chunks(path: Path) -> Iterator[tuple[bytes, int]]:
    with path.open("rb") as raw, _opened(path, raw) as file:
        lines = 0
        while True:
            try:
                chunk = file.read(_BLOCK_BYTES)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                _damaged(path, lines, error)
            except Exception as error:
                # The class of this error belongs to an optional library.
                if type(error).__name__ != "ZstdError":
                    raise
                _damaged(path, lines, error)
            if not chunk:
                return
            lines += chunk.count(b"\n")
            yield chunk, raw.tell()


def _damaged(path: Path, lines: int, error: Exception) -> NoReturn:
    what = (
        "ends in the middle" if isinstance(error, EOFError) else "is damaged or of another format"
    )
    raise DataError(
        f"{path} {what}, after line {lines:,}.", "Copy or download it again."
    ) from error


def _opened(path: Path, raw: IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
    match path.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(raw, "rb"))
        case ".zst":
            return cast("IO[bytes]", _zstd(path).open(raw, "rb"))
        case _:
            return contextlib.nullcontext(raw)


def _zstd(path: Path) -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise _missing(path, "backports.zstd") from None
    return zstd


def _parquet_blocks(path: Path, column: str) -> Iterator[RowBlock]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise _missing(path, "pyarrow") from None
    first, done = 1, 0
    try:
        # Pages are decoded as they are read, not whole groups of rows.
        with parquet.ParquetFile(path, buffer_size=_PARQUET_BUFFER, pre_buffer=False) as file:
            _check_column(path, file.schema_arrow, column)
            share = path.stat().st_size / max(file.metadata.num_rows, 1)
            waiting: list[str | None] = []
            size = 0
            batches = file.iter_batches(_PARQUET_ROWS, columns=[column], use_threads=False)
            for batch in batches:
                values: Sequence[str | None] = batch.column(0).to_pylist()
                done += len(values)
                waiting += values
                size += batch.nbytes
                if size >= _BLOCK_BYTES:
                    yield RowBlock(path, column, first, tuple(waiting), int(share * len(waiting)))
                    first, waiting, size = done + 1, [], 0
            if waiting:
                yield RowBlock(path, column, first, tuple(waiting), int(share * len(waiting)))
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, UnicodeDecodeError) as error:
        _unreadable(path, done, error)
    except OSError as error:
        if error.errno is not None:
            raise
        _unreadable(path, done, error)


def _unreadable(path: Path, done: int, error: Exception) -> NoReturn:
    if isinstance(error, UnicodeDecodeError):
        what = f"has text that is not UTF-8 after row {done:,}"
    else:
        what = f"is damaged or no Parquet file, after {done:,} rows"
    raise DataError(f"{path} {what}.", "Copy or download it again.") from error


def _check_column(path: Path, schema: Any, column: str) -> None:
    if column not in schema.names:
        known = names_text(list(schema.names), _SHOWN) or "none"
        raise DataError(
            f"{path} has no column '{column}'; its columns: {known}.", "Set prepare.text_column."
        )
    kind = schema.field(column).type
    kind = getattr(kind, "value_type", kind)
    if str(kind) not in ("string", "large_string", "string_view"):
        raise DataError(
            f"{path} has {kind} in the column '{column}', not text.", "Set prepare.text_column."
        )


def _missing(path: Path, package: str) -> DataError:
    return DataError(
        f"{path} cannot be read without the package {package}.",
        f"Install it: pip install '{_EXTRA}'",
    )
