"""Tokenizers in GGUF files: llama.cpp gives the same ids for every text."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from builders.base_models import build_model_folder
from builders.corpora import STORY
from builders.exports import exportable
from builders.hf_tokenizers import tokenizer_folder
from builders.models import lively_model
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.data.tokenizers.huggingface import (
    HuggingFaceTokenizer,
    load_hub_tokenizer,
)
from transformer_playground.data.tokenizers.sentencepiece import train
from transformer_playground.errors import ExportError
from transformer_playground.export.evidence import ODD_TEXT
from transformer_playground.export.gguf.content import check_content, file_content
from transformer_playground.export.gguf.llama_cpp import LlamaCpp, serving
from transformer_playground.export.gguf.model_file import write_model_file

_ASCII = "\t\n\r\x1b !\"#$%&'()*+,-./0123456789:;<=>?@ABC[\\]^_`abcxyz{|}~\x7f"
_OTHERS = _ASCII + "\x00äöüß€“”日本😀\u2581\u0301\u2028\U0010ffff"


@contextmanager
def _served(tokenizer: Tokenizer, folder: Path) -> Iterator[LlamaCpp]:
    rows = tokenizer.vocab_size
    source = exportable(lively_model(rows, n_layer=1, block_size=32), folder, tokenizer)
    check_content(source.subject)
    path = folder / "model.gguf"
    write_model_file(file_content(source, "tokens"), path, "f32")
    with serving(path, 32, plain_token=0) as client:
        yield client


@pytest.mark.parametrize("alphabet", [_ASCII, _OTHERS, "01", "\U0001f600é"])
def test_characters_get_the_same_ids(alphabet: str, tmp_path: Path) -> None:
    tokenizer = CharTokenizer(sorted(alphabet))
    text = alphabet + alphabet[::-1] + "".join(char * 3 for char in alphabet)
    with _served(tokenizer, tmp_path) as client:
        assert client.tokenize(text) == tokenizer.encode(text)


@pytest.mark.parametrize("alphabet", [_ASCII, _OTHERS])
def test_unknown_characters_end_and_become_no_known_character(
    alphabet: str, tmp_path: Path
) -> None:
    # Characters that begin with the bytes of known ones, and a lone emoji.
    tokenizer = CharTokenizer(sorted(alphabet))
    with _served(tokenizer, tmp_path) as client:
        ids = client.tokenize("a\u20adb日月c\U0001f601")
    known = [token for token in ids if 0 <= token < tokenizer.vocab_size]
    assert tokenizer.decode(known) == "ab日c" if alphabet is _OTHERS else "abc"


def test_gpt2_gets_the_same_ids(tmp_path: Path) -> None:
    tokenizer = Gpt2Tokenizer()
    text = ODD_TEXT + "<|endoftext|> \u2581 " + STORY
    with _served(tokenizer, tmp_path) as client:
        assert client.tokenize(text) == tokenizer.encode(text)


def test_sentencepiece_bpe_gets_the_same_ids(tmp_path: Path) -> None:
    tokenizer = train(
        STORY.splitlines(), vocab_size=350, algorithm="bpe", character_coverage=0.98,
        symbols=("<sprecher>", "</sprecher>"),
    )  # fmt: skip
    text = ODD_TEXT + "<sprecher>A</sprecher> <s> </s> <unk> <0x0A>\n" + STORY
    with _served(tokenizer, tmp_path) as client:
        assert client.tokenize(text) == tokenizer.encode(text)


def test_sentencepiece_unigram_is_refused(tmp_path: Path) -> None:
    tokenizer = train(
        STORY.splitlines(), vocab_size=300, algorithm="unigram", character_coverage=0.98
    )
    with pytest.raises(ExportError, match=r"no byte fallback.*sentencepiece_model = 'bpe'"):
        check_content(exportable(lively_model(300), tmp_path, tokenizer).subject)


@pytest.mark.parametrize("shape", ["bytelevel", "llama", "gemma"])
def test_tokenizers_of_base_models_get_the_same_ids(shape: str, tmp_path: Path) -> None:
    folder = tokenizer_folder(shape)
    symbols = ("<sprecher>", "</sprecher>")
    tokenizer = load_hub_tokenizer(HfModelConfig(model_name=str(folder)), symbols=symbols)
    text = unicodedata.normalize("NFC", ODD_TEXT) + "<sprecher>A</sprecher> </s>" + STORY
    with _served(tokenizer, tmp_path) as client:
        assert client.tokenize(text) == tokenizer.encode(text)


def test_a_base_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    folder = tokenizer_folder("unigram")
    tokenizer = load_hub_tokenizer(HfModelConfig(model_name=str(folder)))
    with pytest.raises(ExportError, match="does not tokenize exactly like a Unigram model"):
        check_content(exportable(lively_model(300), tmp_path, tokenizer).subject)


def test_an_unknown_division_of_texts_is_refused(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path)
    known = load_hub_tokenizer(HfModelConfig(model_name=str(folder)))
    assert known.eos_id is not None
    spec = orjson.loads(known.files["tokenizer.json"])
    spec["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    files = {**known.files, "tokenizer.json": orjson.dumps(spec)}
    tokenizer = HuggingFaceTokenizer(files, eos_id=known.eos_id)
    with pytest.raises(ExportError, match="how the tokenizer divides a text"):
        check_content(exportable(lively_model(400), tmp_path, tokenizer).subject)


def test_a_model_with_fewer_rows_than_tokens_is_refused(tmp_path: Path) -> None:
    source = exportable(lively_model(5), tmp_path, CharTokenizer("abcdef"))
    with pytest.raises(ExportError, match="6 tokens, but the model only 5 rows"):
        check_content(source.subject)
