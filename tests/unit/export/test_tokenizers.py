"""Tokenizers as `tokenizer.json`, read by the `tokenizers` library."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpora import STORY
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers import sentencepiece as spm
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.export.evidence import ODD_TEXT
from transformer_playground.export.hf.tokenizer import bpe_merges, write_tokenizer

ALPHABET = sorted(set(STORY + ODD_TEXT))
SYMBOL = "<|rede|>"
# U+2581 itself is read as a space.
anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"))
tricky = st.lists(
    st.sampled_from(["<s>", "</s>", "<unk>", "<0x0A>", "<0x", SYMBOL, "the", " cat", "  "])
    | st.sampled_from(" \n\t\r€\u3000\ufeff\0<>")
).map("".join)


@cache
def own(kind: str) -> Tokenizer:
    if kind == "char":
        return CharTokenizer(ALPHABET)
    return spm.train(
        STORY.splitlines(),
        vocab_size=310,
        algorithm="bpe" if kind == "bpe" else "unigram",
        character_coverage=0.99,
        symbols=(SYMBOL,),
    )


@cache
def theirs(kind: str) -> Any:
    with TemporaryDirectory() as folder:
        write_tokenizer(own(kind), Path(folder), context=64)
        loaded = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    loaded.encode_special_tokens = True
    return loaded


def check(kind: str, text: str) -> None:
    ids = theirs(kind).encode(text, add_special_tokens=False).ids
    assert ids == own(kind).encode(text)
    assert theirs(kind).decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
def test_a_text_with_every_odd_sign_has_the_same_ids_and_comes_back(kind: str) -> None:
    check(kind, ODD_TEXT)
    check(kind, STORY)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@given(text=anything | tricky)
@settings(max_examples=60, deadline=None)
def test_any_text_has_the_same_ids(kind: str, text: str) -> None:
    check(kind, text)


def test_a_character_outside_the_alphabet_is_an_error() -> None:
    with pytest.raises(Exception, match="UNK"):
        theirs("char").encode("\u0378")


def test_merges_are_recovered_from_the_order_of_tokens() -> None:
    tokens = (b"a", b"b", b"c", b"ab", b"abc", b"cc", b"abcc")
    expected = [(b"a", b"b"), (b"ab", b"c"), (b"c", b"c"), (b"abc", b"c")]
    assert bpe_merges(tokens) == expected
