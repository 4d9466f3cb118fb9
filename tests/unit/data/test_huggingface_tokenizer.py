"""Tokenizers of pretrained models: exact bytes, ordinary text, special tokens, save and load."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.base_models import build_model_folder
from builders.corpora import STORY
from builders.gguf_files import write_gguf
from builders.hf_tokenizers import BOS, EOS, SHAPES, Shape, tokenizer_folder
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.data.meta import read_meta, write_meta
from transformer_playground.data.sources.text import STRUCTURE_TOKENS
from transformer_playground.data.tokenizers import StreamDecoder, load_tokenizer
from transformer_playground.data.tokenizers.huggingface import (
    HuggingFaceTokenizer,
    load_hub_tokenizer,
)
from transformer_playground.errors import DataError, ModelError

WITH_BYTES: tuple[Shape, ...] = ("bytelevel", "llama", "gemma")
SEPARATOR = "<|endofspeech|>"

anything = st.text(st.characters(exclude_categories=["Cs"]))
tricky = st.lists(
    st.sampled_from([EOS, BOS, "<unk>", "<|rede|>", "<0x0A>", "the", " cat", "\n\n", "  "])
    | st.sampled_from(" \n\t\r▁€\u3000\ufeff\0")
).map("".join)


@cache
def tokenizer_of(
    shape: Shape, end_token: str = "", symbols: tuple[str, ...] = (), **settings_: Any
) -> HuggingFaceTokenizer:
    model = HfModelConfig(model_name=str(tokenizer_folder(shape, **settings_)))
    return load_hub_tokenizer(model, end_token=end_token, symbols=symbols)


@pytest.mark.parametrize("shape", WITH_BYTES)
@settings(max_examples=60, deadline=None)
@given(text=anything | tricky)
def test_any_text_is_decoded_to_itself(shape: Shape, text: str) -> None:
    tokenizer = tokenizer_of(shape)

    ids = tokenizer.encode(text)

    assert tokenizer.decode(ids) == text
    assert all(0 <= token < tokenizer.vocab_size for token in ids)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_streamed_pieces_join_to_the_decoded_text(shape: Shape, data: st.DataObject) -> None:
    tokenizer = tokenizer_of(shape)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    decoder = StreamDecoder(tokenizer)

    pieces = [decoder.push(token) for token in ids] + [decoder.flush()]

    assert "".join(pieces) == tokenizer.decode(ids)


@pytest.mark.parametrize("shape", SHAPES)
def test_words_within_a_text_have_the_tokens_of_transformers(shape: Shape) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(tokenizer_folder(shape))
    text = " the cat and the wheel went round and round. The miller said nothing."

    ours = tokenizer_of(shape).encode(text)

    theirs = reference(text, add_special_tokens=False)["input_ids"]
    # Only the start of the text may differ, because no space is put before it.
    assert ours[-10:] == theirs[-10:]
    assert len(ours) > 15


def test_the_bytes_of_partial_characters_are_exact() -> None:
    for shape in WITH_BYTES:
        tokenizer = tokenizer_of(shape)
        assert [tokenizer.token_bytes(token) for token in tokenizer.encode("ж")] == [
            b"\xd0",
            b"\xb6",
        ]


def test_added_runs_of_white_space_are_one_token() -> None:
    tokenizer = tokenizer_of("gemma")
    ids = tokenizer.encode("\n\n")
    assert [tokenizer.token_bytes(token) for token in ids] == [b"\n\n"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_names_of_special_tokens_in_a_text_are_ordinary_text(shape: Shape) -> None:
    tokenizer = tokenizer_of(shape)
    text = f"the cat{EOS} {BOS}round{EOS}"

    ids = tokenizer.encode(text)

    assert tokenizer.decode(ids) == text
    assert {tokenizer.id_of(EOS), tokenizer.id_of(BOS)}.isdisjoint(ids)


@pytest.mark.parametrize("shape", WITH_BYTES)
def test_a_special_name_in_a_text_has_the_tokens_of_ordinary_text(shape: Shape) -> None:
    text = "the heyyy cat"
    assert tokenizer_of(shape, "heyyy").encode(text) == tokenizer_of(shape).encode(text)


def test_bos_and_eos_are_those_of_the_tokenizer() -> None:
    tokenizer = tokenizer_of("llama")
    assert (tokenizer.bos_id, tokenizer.eos_id) == (tokenizer.id_of(BOS), tokenizer.id_of(EOS))
    assert tokenizer.eos_token == EOS
    assert tokenizer.decode([tokenizer.eos_id or 0]) == EOS


def test_a_start_token_that_is_never_added_is_ignored() -> None:
    assert tokenizer_of("bytelevel", adds_bos=False).bos_id is None


def test_a_configured_end_token_is_added_once_and_ends_documents() -> None:
    tokenizer = tokenizer_of("bytelevel", SEPARATOR)
    plain = tokenizer_of("bytelevel")

    assert tokenizer.vocab_size == plain.vocab_size + 1
    assert tokenizer.new_tokens == (plain.vocab_size,)
    assert tokenizer.eos_id == plain.vocab_size
    assert tokenizer.eos_token == SEPARATOR
    assert tokenizer.eos_id not in tokenizer.encode(f"the cat {SEPARATOR}")


def test_an_added_token_of_a_byte_level_model_is_plain_text() -> None:
    tokenizer = tokenizer_of("bytelevel", "<ende-für-heute>")
    assert tokenizer.token_bytes(tokenizer.eos_id or 0) == "<ende-für-heute>".encode()


def test_markers_in_a_text_are_single_tokens() -> None:
    for shape in WITH_BYTES:
        tokenizer = tokenizer_of(shape, "", STRUCTURE_TOKENS)
        ids = tokenizer.encode("<|rede|>\n<|sprecher|>Max Muster\nund so weiter <|ende|>")
        assert [ids.count(token) for token in tokenizer.new_tokens] == [1, 0, 1, 0, 0, 1]
        assert tokenizer.decode(ids).startswith("<|rede|>\n<|sprecher|>Max")


def test_existing_tokens_are_used_and_not_added_again() -> None:
    once = tokenizer_of("bytelevel", EOS, (BOS,))
    assert once.vocab_size == tokenizer_of("bytelevel").vocab_size
    assert once.new_tokens == ()
    assert once.eos_id == once.id_of(EOS)
    assert once.encode(BOS) == [once.id_of(BOS)]


def test_a_marker_cannot_end_documents() -> None:
    with pytest.raises(DataError, match="marks structure"):
        tokenizer_of("bytelevel", STRUCTURE_TOKENS[0], STRUCTURE_TOKENS)


def test_an_ordinary_token_cannot_end_documents() -> None:
    with pytest.raises(DataError, match="'er' is an ordinary token"):
        tokenizer_of("llama", "er")


def test_without_an_end_token_the_setting_that_adds_one_is_named() -> None:
    with pytest.raises(DataError, match="no token that ends a text") as raised:
        tokenizer_of("bytelevel", eos=None)
    assert "prepare.doc_separator" in raised.value.hint

    assert tokenizer_of("bytelevel", SEPARATOR, eos=None).eos_token == SEPARATOR


def test_a_slow_tokenizer_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "ctrl"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CTRLTokenizer"}')
    (tmp_path / "vocab.json").write_text('{"<unk>": 0, "a</w>": 1}')
    (tmp_path / "merges.txt").write_text("#version\na b 1\n\n")

    with pytest.raises(DataError, match="only a slow tokenizer"):
        load_hub_tokenizer(HfModelConfig(model_name=str(tmp_path)))


def test_a_missing_model_gives_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        load_hub_tokenizer(HfModelConfig(model_name=str(tmp_path / "none")))


def test_the_tokenizer_of_a_gguf_file_is_that_of_its_model(tmp_path: Path) -> None:
    model = build_model_folder("qwen2", tmp_path)
    (tmp_path / "alone").mkdir()
    write_gguf(model, tmp_path / "alone" / "tiny.gguf")

    of_folder = load_hub_tokenizer(HfModelConfig(model_name=str(model)))
    of_file = load_hub_tokenizer(
        HfModelConfig(model_name=str(tmp_path / "alone"), gguf_file="tiny.gguf")
    )

    assert of_file.encode(STORY) == of_folder.encode(STORY)
    assert of_file.eos_id == of_folder.eos_id
    assert of_file.decode(of_file.encode("Grüße, ж")) == "Grüße, ж"


def test_tokens_without_exact_bytes_are_rejected(tmp_path: Path) -> None:
    folder = tokenizer_folder("bytelevel")
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}

    with pytest.raises(DataError, match=r"not supported.*WordPiece"):
        HuggingFaceTokenizer({"tokenizer.json": json.dumps(spec).encode()}, eos_id=0)


@pytest.mark.parametrize("shape", ["bytelevel", "llama", "unigram"])
def test_characters_that_no_token_covers_are_named(shape: Shape) -> None:
    tokenizer = tokenizer_of(shape, bytes_too=False)
    assert tokenizer.decode(tokenizer.encode("the cat")) == "the cat"
    with pytest.raises(DataError, match="lacks 'ß', 'ж'"):
        tokenizer.encode("the жß cat")


def test_a_lone_surrogate_is_rejected() -> None:
    with pytest.raises(DataError, match="not valid Unicode at character 1"):
        tokenizer_of("bytelevel").encode("a\udcff")


def test_a_failure_inside_the_tokenizers_library_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing:
        def encode(self, text: str, **_: Any) -> None:
            raise Exception(f"cannot encode {text}")

    tokenizer = load_hub_tokenizer(HfModelConfig(model_name=str(tokenizer_folder("bytelevel"))))
    monkeypatch.setattr(tokenizer, "_encoder", Failing())

    with pytest.raises(DataError, match="cannot encode this text: Exception: cannot encode cat"):
        tokenizer.encode("cat")


def test_tokenizer_dropout_of_the_base_model_is_off_for_the_dataset() -> None:
    spec = json.loads((tokenizer_folder("bytelevel") / "tokenizer.json").read_text())
    spec["model"]["dropout"] = 0.9
    noisy = HuggingFaceTokenizer({"tokenizer.json": json.dumps(spec).encode()}, eos_id=2)
    assert noisy.encode(STORY) == tokenizer_of("bytelevel").encode(STORY)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_saved_tokenizer_is_the_same_after_loading(shape: Shape, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(shape, SEPARATOR, STRUCTURE_TOKENS[:2])
    tokenizer.save(tmp_path / "tokenizer")

    loaded = load_tokenizer(tmp_path / "tokenizer")

    assert isinstance(loaded, HuggingFaceTokenizer)
    assert loaded.describe() == tokenizer.describe()
    assert loaded.kind == "huggingface"
    assert loaded.base["model_name"] == str(tokenizer_folder(shape))
    text = f"{STRUCTURE_TOKENS[0]}the cat sat by the wheel"
    assert loaded.encode(text) == tokenizer.encode(text)


def test_plain_transformers_loads_the_saved_folder(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = tokenizer_of("bytelevel", SEPARATOR, STRUCTURE_TOKENS)
    tokenizer.save(tmp_path)

    plain = AutoTokenizer.from_pretrained(tmp_path)

    assert len(plain) == tokenizer.vocab_size
    assert plain.eos_token_id == tokenizer.eos_id
    assert plain("<|rede|>", add_special_tokens=False)["input_ids"] == tokenizer.encode("<|rede|>")
    assert plain.bos_token_id == tokenizer.bos_id


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"eos_id": 100_000}, "no valid special tokens"),
        ({"eos_id": None}, "no valid special tokens"),
        ({"bos_id": -1}, "no valid special tokens"),
        ({"new_tokens": 3}, "no valid special tokens"),
        ({"symbols": [3]}, "no valid special tokens"),
        ({"base": 3}, "no valid special tokens"),
        ({"tokenizer": {"sha256": "0" * 64}}, "is not the tokenizer"),
        ({"tokenizer": None}, "is not the tokenizer"),
    ],
)
def test_a_damaged_meta_is_rejected(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    tokenizer_of("bytelevel").save(tmp_path)
    write_meta(tmp_path / "meta.pkl", read_meta(tmp_path / "meta.pkl") | change)

    with pytest.raises(DataError, match=complaint):
        load_tokenizer(tmp_path)


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    tokenizer_of("bytelevel").save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()

    with pytest.raises(DataError, match=r"tokenizer\.json does not exist"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": {}}', b'{"model": 3}'])
def test_a_damaged_tokenizer_file_is_rejected(content: bytes) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        HuggingFaceTokenizer({"tokenizer.json": content}, eos_id=0)


def test_a_saved_tokenizer_is_loaded_without_transformers(tmp_path: Path) -> None:
    tokenizer_of("llama").save(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from transformer_playground.data.tokenizers import load_tokenizer\n"
        "tokenizer = load_tokenizer(Path(sys.argv[1]))\n"
        "print(tokenizer.decode(tokenizer.encode('the cat')), 'transformers' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "the cat False\n"
