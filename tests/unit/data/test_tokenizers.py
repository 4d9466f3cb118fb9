import codecs
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpora import STORY
from builders.hostile import Panic
from transformer_playground.data.meta import read_meta, write_meta
from transformer_playground.data.sources.text import STRUCTURE_TOKENS
from transformer_playground.data.tokenizers import StreamDecoder, Tokenizer, gpt2, load_tokenizer
from transformer_playground.data.tokenizers import sentencepiece as spm
from transformer_playground.data.tokenizers.base import translate_native_errors
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.errors import DataError

ALPHABET = sorted(set(STORY + "äöü€\t▁"))
KINDS = ("char", "gpt2", "bpe", "unigram")

anything = st.text(st.characters(exclude_categories=["Cs"]))
# What tokenizers treat as special.
tricky = st.lists(
    st.sampled_from(["<|endoftext|>", "<|rede|>", "</s>", "<s>", "<unk>", "<0x0A>", "the", " cat"])
    | st.sampled_from(" \n\t\r▁€\u3000\ufeff\0")
).map("".join)
known = st.text(st.sampled_from(ALPHABET))


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "char":
        return CharTokenizer(ALPHABET)
    if kind == "gpt2":
        return Gpt2Tokenizer()
    return spm.train(
        STORY.splitlines(),
        vocab_size=330 if kind == "bpe" else 310,
        algorithm="bpe" if kind == "bpe" else "unigram",
        character_coverage=1.0,
        symbols=STRUCTURE_TOKENS,
    )


@pytest.mark.parametrize("kind", ["gpt2", "bpe", "unigram"])
@settings(max_examples=60, deadline=None)
@given(text=anything | tricky)
def test_any_text_is_decoded_to_itself(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)

    ids = tokenizer.encode(text)

    assert tokenizer.decode(ids) == text
    assert all(0 <= token < tokenizer.vocab_size for token in ids)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(text=known | st.just("a" + " \n" * 2000 + "b"))
def test_encoding_in_bulk_gives_the_same_tokens(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)

    ids, left_out = tokenizer.encode_known(text)

    assert (ids.tolist(), left_out) == (tokenizer.encode(text), {})
    assert ids.dtype == np.uint32


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@settings(max_examples=60, deadline=None)
@given(text=tricky | st.text(st.sampled_from("the cat\n\n\t bottles")))
def test_lines_encoded_one_by_one_are_the_text_encoded_whole(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    assert isinstance(tokenizer, spm.SentencePieceTokenizer)
    whole = text.replace("\N{LOWER ONE EIGHTH BLOCK}", "")
    library = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)

    assert tokenizer.encode(whole) == library.encode(whole)


@settings(max_examples=40, deadline=None)
@given(text=known)
def test_text_of_known_characters_is_decoded_to_itself(text: str) -> None:
    tokenizer = tokenizer_of("char")

    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_streamed_pieces_join_to_the_decoded_text(kind: str, data: st.DataObject) -> None:
    tokenizer = tokenizer_of(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    decoder = StreamDecoder(tokenizer)

    pieces = [decoder.push(token) for token in ids] + [decoder.flush()]

    assert "".join(pieces) == tokenizer.decode(ids)


def test_a_character_is_streamed_once_all_its_bytes_are_there() -> None:
    tokenizer = tokenizer_of("gpt2")
    decoder = StreamDecoder(tokenizer)
    ids = tokenizer.encode("🦉")

    pieces = [decoder.push(token) for token in ids]

    assert len(ids) > 1
    assert pieces == [""] * (len(ids) - 1) + ["🦉"]
    assert decoder.flush() == ""


def test_flush_shows_an_incomplete_character_and_resets_the_decoder() -> None:
    tokenizer = tokenizer_of("gpt2")
    decoder = StreamDecoder(tokenizer)
    decoder.push(tokenizer.encode("🦉")[0])

    assert decoder.flush() == "\N{REPLACEMENT CHARACTER}"
    assert "".join(map(decoder.push, tokenizer.encode("cat"))) == "cat"


@pytest.mark.parametrize("kind", KINDS)
def test_ids_outside_the_vocabulary_are_rejected(kind: str) -> None:
    tokenizer = tokenizer_of(kind)

    for token in (tokenizer.vocab_size, -1):
        with pytest.raises(DataError, match="outside the vocabulary"):
            tokenizer.decode([token])


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_encodes_the_same_after_loading(kind: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind)
    tokenizer.save(tmp_path / "tokenizer")

    loaded = load_tokenizer(tmp_path / "tokenizer")

    assert loaded.kind == tokenizer.kind
    assert loaded.vocab_size == tokenizer.vocab_size
    assert (loaded.bos_id, loaded.eos_id) == (tokenizer.bos_id, tokenizer.eos_id)
    assert loaded.encode(STORY) == tokenizer.encode(STORY)


@pytest.mark.parametrize("kind", ["gpt2", "bpe"])
def test_a_lone_surrogate_gives_a_clear_error(kind: str) -> None:
    with pytest.raises(DataError, match="not valid Unicode at character 1"):
        tokenizer_of(kind).encode("a\udcff")


def test_unknown_characters_are_named() -> None:
    with pytest.raises(DataError, match="lacks 'ß', 'ж'") as raised:
        tokenizer_of("char").encode("жaßж")

    assert "training text" in raised.value.message


def test_many_unknown_characters_are_counted_after_the_first_ten() -> None:
    with pytest.raises(DataError, match="and 16 more"):
        CharTokenizer("a").encode("".join(chr(ord("A") + index) for index in range(26)))


@settings(max_examples=40, deadline=None)
@given(text=known | anything)
def test_known_characters_are_encoded_in_bulk_and_the_others_counted(text: str) -> None:
    tokenizer = CharTokenizer(ALPHABET)

    ids, left_out = tokenizer.encode_known(text)

    kept = "".join(char for char in text if char in ALPHABET)
    assert ids.tolist() == tokenizer.encode(kept)
    assert left_out.total() == len(text) - len(kept)


def test_bulk_encoding_follows_an_alphabet_in_any_order() -> None:
    ids, _ = CharTokenizer("cab").encode_known("abc")

    assert ids.tolist() == [1, 2, 0]


def test_tables_of_nanogpt_are_a_character_tokenizer(tmp_path: Path) -> None:
    stoi = {"b": 0, "a": 1}
    write_meta(tmp_path / "meta.pkl", {"vocab_size": 2, "stoi": stoi, "itos": {0: "b", 1: "a"}})

    assert load_tokenizer(tmp_path).encode("ab") == [1, 0]


@pytest.mark.parametrize(
    "stoi",
    [None, {}, [], {"ab": 0}, {"a": 1}, {"a": 0, "b": 0}, {"a": True}, {0: "a"}, {"\ud800": 0}],
)
def test_a_damaged_character_table_is_rejected(stoi: object, tmp_path: Path) -> None:
    write_meta(tmp_path / "meta.pkl", {"kind": "char", "stoi": stoi})

    with pytest.raises(DataError, match="stoi"):
        load_tokenizer(tmp_path)


def test_gpt2_gives_the_published_ids() -> None:
    tokenizer = Gpt2Tokenizer()

    assert tokenizer.encode("Hello world") == [15496, 995]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (50256, 50256, 50257)


@pytest.mark.parametrize("space", [" ", "\n", "\t", "\r", "\x85", "\u2028", "\u3000"])
def test_a_million_characters_of_white_space_are_encoded(space: str) -> None:
    tokenizer = tokenizer_of("gpt2")
    text = f"a{space * 1_100_000}b"

    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(st.sampled_from(" \n\t\r\x0b\x85\xa0\u2028\u3000\x1c\u200b'ab1.ä"), max_size=40)
)
def test_long_runs_of_white_space_keep_the_ids_of_gpt2(text: str) -> None:
    whole = tokenizer_of("gpt2").encode(text)
    with pytest.MonkeyPatch.context() as patched:
        shorter = gpt2._LONG_RUN.pattern.replace("1000", "2")
        patched.setattr(gpt2, "_LONG_RUN", re.compile(shorter))

        assert tokenizer_of("gpt2").encode(text) == whole


@pytest.mark.parametrize("error", [Panic("stack overflow"), RuntimeError("stack overflow")])
def test_a_failure_inside_a_native_tokenizer_is_one_sentence(error: BaseException) -> None:
    with (
        pytest.raises(DataError, match=r"tiktoken cannot encode this text: .*: stack overflow"),
        translate_native_errors("tiktoken"),
    ):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_what_must_end_a_process_is_no_failure_of_a_tokenizer(error: BaseException) -> None:
    with pytest.raises(type(error)), translate_native_errors("tiktoken"):
        raise error


def test_end_of_text_in_ordinary_text_is_not_a_special_token() -> None:
    tokenizer = Gpt2Tokenizer()

    assert 50256 not in tokenizer.encode("<|endoftext|>")
    assert tokenizer.decode([50256]) == "<|endoftext|>"


def test_a_meta_that_refers_to_another_bpe_table_is_rejected(tmp_path: Path) -> None:
    meta = Gpt2Tokenizer().describe() | {"tokenizer": {"name": "gpt2", "sha256": "0" * 64}}
    write_meta(tmp_path / "meta.pkl", meta)

    with pytest.raises(DataError, match="not the bundled one"):
        load_tokenizer(tmp_path)


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    write_meta(tmp_path / "meta.pkl", {"kind": "word"})

    with pytest.raises(DataError, match="'word'"):
        load_tokenizer(tmp_path)


def test_training_twice_gives_the_same_model() -> None:
    first, second = (
        spm.train(STORY.splitlines(), vocab_size=320, algorithm="bpe", character_coverage=1.0)
        for _ in range(2)
    )

    assert first.model == second.model


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
@pytest.mark.parametrize("mark", ["\u2585", "\u2581", "\0", "\u2585\u2585", "\ufffd", "\x1c"])
def test_every_line_counts_for_the_vocabulary(algorithm: spm.Algorithm, mark: str) -> None:
    tokenizer = spm.train(
        [f"{mark}{line}{mark}" for line in STORY.splitlines()],
        vocab_size=330 if algorithm == "bpe" else 310,
        algorithm=algorithm,
        character_coverage=1.0,
    )

    assert len(tokenizer.encode("the cat")) < len("the cat")
    assert tokenizer.decode(tokenizer.encode(f"the{mark} cat")) == f"the{mark} cat"


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_long_lines_count_for_the_vocabulary(algorithm: spm.Algorithm) -> None:
    line = STORY.replace("\n", " ") * 20 + "x" * 300_000 + " " * 300_000

    tokenizer = spm.train([line], vocab_size=320, algorithm=algorithm, character_coverage=1.0)

    assert len(tokenizer.encode("the cat")) < len("the cat")


@settings(max_examples=60, deadline=None)
@given(line=st.text(st.sampled_from("ab \u2581\u2585"), max_size=60))
def test_long_lines_are_divided_without_loss_and_before_spaces(line: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spm, "_MAX_SENTENCE", 8)

        sentences = list(spm._sentences([line]))

    assert "".join(sentences) == line.replace("\u2581", "").replace("\u2585", "")
    assert all(0 < len(sentence) <= 8 for sentence in sentences)


@pytest.mark.parametrize("lines", [[], ["", ""], ["\u2585\u2585"]])
def test_a_text_without_trainable_characters_is_one_sentence(lines: list[str]) -> None:
    with pytest.raises(DataError, match="no characters that SentencePiece can be trained on"):
        spm.train(lines, vocab_size=300, algorithm="bpe", character_coverage=1.0)


def test_structure_markers_are_single_tokens() -> None:
    tokenizer = tokenizer_of("bpe")

    assert all(len(tokenizer.encode(marker)) == 1 for marker in STRUCTURE_TOKENS)
    assert len(tokenizer.encode("\n\t")) == 2


def test_special_tokens_of_sentencepiece_have_no_text_and_no_spelling() -> None:
    tokenizer = tokenizer_of("bpe")

    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    assert tokenizer.decode([1, *tokenizer.encode("cat"), 2]) == "cat"
    assert {0, 1, 2}.isdisjoint(tokenizer.encode("<s> </s> <unk>"))


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_too_large_a_vocabulary_is_rejected_with_the_largest_possible_size(
    algorithm: spm.Algorithm,
) -> None:
    def train(vocab_size: int) -> spm.SentencePieceTokenizer:
        return spm.train(
            STORY.splitlines(), vocab_size=vocab_size, algorithm=algorithm, character_coverage=1.0
        )

    with pytest.raises(DataError, match="vocab_size = 5000") as raised:
        train(5000)

    largest = int(raised.value.hint.split()[3])
    assert train(largest).vocab_size == largest


def test_too_small_a_vocabulary_is_rejected_with_the_required_size() -> None:
    with pytest.raises(DataError, match="too small") as raised:
        spm.train(["some words"], vocab_size=100, algorithm="bpe", character_coverage=1.0)

    assert "more than" in raised.value.hint


def test_training_prints_nothing(tmp_path: Path) -> None:
    code = (
        "from transformer_playground.data.tokenizers import sentencepiece as spm\n"
        "from transformer_playground.errors import DataError\n"
        "train = lambda size: spm.train(['to be or not to be'] * 9, vocab_size=size,"
        " algorithm='bpe', character_coverage=1.0)\n"
        "train(270)\n"
        "try:\n    train(9000)\nexcept DataError:\n    print('refused')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert (done.stdout, done.stderr) == ("refused\n", "")


@pytest.mark.parametrize("content", [b"", b"garbage", codecs.BOM_UTF8 * 50])
def test_a_damaged_model_is_rejected(content: bytes) -> None:
    with pytest.raises(DataError, match="damaged"):
        spm.SentencePieceTokenizer(content)


def test_a_truncated_model_is_rejected() -> None:
    tokenizer = tokenizer_of("bpe")
    assert isinstance(tokenizer, spm.SentencePieceTokenizer)

    with pytest.raises(DataError, match="damaged"):
        spm.SentencePieceTokenizer(tokenizer.model[: len(tokenizer.model) // 2])


def test_a_model_that_its_meta_does_not_name_is_rejected(tmp_path: Path) -> None:
    tokenizer_of("bpe").save(tmp_path)
    other = tokenizer_of("unigram")
    assert isinstance(other, spm.SentencePieceTokenizer)
    (tmp_path / "spm.model").write_bytes(other.model)

    with pytest.raises(DataError, match="not the model"):
        load_tokenizer(tmp_path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    tokenizer_of("bpe").save(tmp_path)
    (tmp_path / "spm.model").unlink()

    with pytest.raises(DataError, match=r"spm\.model cannot be read"):
        load_tokenizer(tmp_path)


def test_saved_tables_hold_only_builtin_values(tmp_path: Path) -> None:
    tokenizer_of("char").save(tmp_path)

    meta = read_meta(tmp_path / "meta.pkl")

    assert meta["itos"][meta["stoi"]["a"]] == "a"
    assert {type(char) for char in meta["stoi"]} == {str}
    assert {type(index) for index in meta["stoi"].values()} == {int}
