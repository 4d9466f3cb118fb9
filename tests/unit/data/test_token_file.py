import threading
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.corpora import STORY
from transformer_playground.data import token_file
from transformer_playground.data.dataset import token_dtype
from transformer_playground.data.sources.pieces import Boundary, Piece
from transformer_playground.data.token_file import EncodedFile, write_tokens
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers import sentencepiece as spm
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.data.workers import Workers
from transformer_playground.files import sha256_file

WORDS = ["cat", " cat", "the", ".", " ", "  ", "\n", "\n\n", "\t", "\u00a0", "ü", "▁", "x" * 9]


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "char":
        return CharTokenizer(sorted(set("".join(WORDS) + STORY)))
    if kind == "gpt2":
        return Gpt2Tokenizer()
    return spm.train(
        STORY.splitlines(),
        vocab_size=310,
        algorithm="bpe" if kind == "bpe" else "unigram",
        character_coverage=1.0,
    )


def write(
    path: Path, pieces: Iterable[Piece], tokenizer: Tokenizer, end_bytes: int = 0
) -> tuple[EncodedFile, list[int]]:
    encoded = write_tokens(path, iter(pieces), tokenizer, end_bytes=end_bytes)
    return encoded, np.fromfile(path, dtype=np.uint16).tolist()


@pytest.mark.parametrize("kind", ["char", "gpt2", "bpe", "unigram"])
@example(pieces=["cat", "\n\n", "\n", "cat"], chunk=5)
@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.sampled_from(WORDS), min_size=1), chunk=st.integers(1, 12))
def test_text_encoded_in_chunks_equals_text_encoded_whole(
    kind: str, pieces: list[str], chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tokenizer = tokenizer_of(kind)
    path = tmp_path_factory.mktemp("bins") / "train.bin"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_file, "_CHUNK", chunk)
        encoded, ids = write(path, pieces, tokenizer)

    whole = "".join(pieces)
    assert ids == tokenizer.encode(whole)
    assert encoded.tokens == len(ids)
    assert encoded.text_bytes == len(whole.encode())
    assert encoded.sha256 == sha256_file(path)


def test_documents_are_enclosed_by_start_and_end_tokens(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe")
    lines: list[Piece] = [Boundary.START, "cat", Boundary.END, Boundary.START, "the", Boundary.END]

    encoded, ids = write(tmp_path / "train.bin", lines, tokenizer, end_bytes=1)

    assert ids == [1, *tokenizer.encode("cat"), 2, 1, *tokenizer.encode("the"), 2]
    assert encoded.text_bytes == len("cat\nthe\n")


def test_a_token_that_is_both_start_and_end_separates_documents_once(
    tmp_path: Path,
) -> None:
    tokenizer = Gpt2Tokenizer()
    lines: list[Piece] = [Boundary.START, "cat", Boundary.END, Boundary.START, "the", Boundary.END]

    _, ids = write(tmp_path / "train.bin", lines, tokenizer)

    end = tokenizer.eos_id
    assert ids == [end, *tokenizer.encode("cat"), end, *tokenizer.encode("the"), end]


def test_a_mark_separates_text_that_would_merge_otherwise(tmp_path: Path) -> None:
    tokenizer = Gpt2Tokenizer()

    _, ids = write(tmp_path / "train.bin", ["ca", Boundary.END, "t<|endoftext|>"], tokenizer)

    assert ids[:2] == [*tokenizer.encode("ca"), 50256]
    assert ids.count(50256) == 1


def test_characters_the_tokenizer_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    encoded, ids = write(tmp_path / "val.bin", ["aбb", "éбa"], CharTokenizer("ab"))

    assert ids == [0, 1, 0]
    assert encoded.left_out == {"б": 2, "é": 1}
    assert encoded.text_bytes == 3


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(65, "uint16"), (65536, "uint16"), (65537, "uint32")]
)
def test_the_smallest_type_that_holds_every_id_is_chosen(vocab_size: int, dtype: str) -> None:
    assert token_dtype(vocab_size) == dtype


def test_a_vocabulary_beyond_16_bits_is_written_as_32_bits(tmp_path: Path) -> None:
    alphabet = [chr(code) for code in range(0x10000, 0x10000 + 70_000)]
    path = tmp_path / "train.bin"

    encoded = write_tokens(path, iter([alphabet[-1]]), CharTokenizer(alphabet), end_bytes=0)

    assert np.fromfile(path, dtype=np.uint32).tolist() == [69_999]
    assert encoded.tokens == 1


@pytest.mark.parametrize("kind", ["char", "gpt2", "bpe"])
@example(pieces=[Boundary.START, "a", Boundary.END, Boundary.START, "b"], chunk=1, workers=2)
@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.sampled_from([*WORDS, "Ж", *Boundary]), min_size=1, max_size=40),
    chunk=st.integers(1, 12),
    workers=st.integers(2, 4),
)
def test_neither_threads_nor_the_size_of_their_parts_change_anything(
    kind: str,
    pieces: list[Piece],
    chunk: int,
    workers: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("bins")
    tokenizer = tokenizer_of(kind)
    results, shown = [], []

    for count, size in ((1, 1 << 20), (workers, chunk)):
        with pytest.MonkeyPatch.context() as patch, Workers(count) as threads:
            patch.setattr(token_file, "_CHUNK", size)
            path = folder / "x.bin"
            done: list[int] = []
            encoded = write_tokens(
                path,
                iter(pieces),
                tokenizer,
                end_bytes=1,
                workers=threads,
                advance=done.append,
            )
            results.append((encoded, path.read_bytes()))
            shown.append(sum(done))

    assert results[0] == results[1]
    characters = sum(len(piece) for piece in pieces if isinstance(piece, str))
    assert shown == [characters, characters]


def test_few_chunks_wait_in_memory_and_an_error_ends_all_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(token_file, "_CHUNK", 1)
    taken = 0

    def pieces() -> Iterator[Piece]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield "a "

    def stop(_: int) -> None:
        raise InterruptedError("enough")

    tokenizer = tokenizer_of("gpt2")
    with pytest.raises(InterruptedError, match="enough"), Workers(2) as threads:
        write_tokens(tmp_path / "x.bin", pieces(), tokenizer, workers=threads, advance=stop)

    assert taken <= 8
    assert not [each for each in threading.enumerate() if each.name.startswith("worker")]
