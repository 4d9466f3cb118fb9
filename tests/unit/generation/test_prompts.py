"""Prompts: from files, and as the documents of the training data begin."""

import codecs
import io
from pathlib import Path

import pytest

from builders.base_models import build_tokenizer
from builders.corpora import prepared
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.huggingface import load_hub_tokenizer
from transformer_playground.errors import DataError, PlaygroundError, SamplingError
from transformer_playground.generation.prompts import Prompt, read_prompt, resolve_prompt


def prompt_from(folder: Path, start: str) -> Prompt:
    config = prepared(folder)
    return resolve_prompt(DecodingConfig(start=start), load_tokenizer(config.dataset_dir), config)


def test_a_prompt_file_is_read_unchanged(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("the cat\n", encoding="utf-8")
    assert prompt_from(tmp_path, f"FILE:{tmp_path / 'prompt.txt'}").text == "the cat\n"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("~nobody-of-this-name/prompt.txt", "home folder"),
        ("a\0b", "names no file"),
        ("", "names no file"),
        ("missing.txt", "cannot be read"),
        (".", "cannot be read"),
    ],
)
def test_a_missing_prompt_file_is_an_error(tmp_path: Path, stated: str, said: str) -> None:
    with pytest.raises(SamplingError, match=said):
        prompt_from(tmp_path, f"FILE:{stated}")


def test_a_prompt_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "prompt.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SamplingError, match="not UTF-8"):
        prompt_from(tmp_path, f"FILE:{tmp_path / 'prompt.bin'}")


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_a_prompt_is_read_like_training_text(tmp_path: Path, source: str) -> None:
    content = codecs.BOM_UTF8 + b"the\r\ncat\r"
    if source == "file":
        (tmp_path / "prompt.txt").write_bytes(content)
        text = prompt_from(tmp_path, f"FILE:{tmp_path / 'prompt.txt'}").text
    else:
        text = read_prompt(io.BytesIO(content), "standard input")

    assert text == "the\ncat\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_prompt_file_in_another_encoding_has_a_hint(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "prompt.txt").write_bytes("Die Straße über den Fluß\n".encode(encoding))

    with pytest.raises(SamplingError, match="not UTF-8 text") as raised:
        prompt_from(tmp_path, f"FILE:{tmp_path / 'prompt.txt'}")

    assert "iconv -f " in raised.value.hint


@pytest.mark.parametrize(
    ("start", "error"),
    [
        ("ж", DataError),
        ("", SamplingError),
        ("FILE:nowhere", SamplingError),
        ("FILE:", SamplingError),
    ],
)
def test_an_error_names_the_setting_that_holds_the_prompt(
    tmp_path: Path, start: str, error: type[PlaygroundError]
) -> None:
    with pytest.raises(error, match=r"\(sample\.sample\.start\)"):
        prompt_from(tmp_path, start)


NO_NEWLINE = "zum hund und wald lief er über die straße. " * 30


@pytest.mark.parametrize("unconditional", [True, False])
def test_the_default_prompt_is_replaced_where_the_text_has_no_line_break(
    tmp_path: Path, unconditional: bool
) -> None:
    config = prepared(tmp_path, NO_NEWLINE)
    tokenizer = load_tokenizer(config.dataset_dir)
    decoding = DecodingConfig(unconditional=unconditional)
    first = open_dataset(config.dataset_dir, prepare_command="").first_token

    prompt = resolve_prompt(decoding, tokenizer, config, first_token=first)
    assert (prompt.text, prompt.tokens) == ("z", tuple(tokenizer.encode("z")))
    assert prompt.notices(99) == (
        r"the tokenizer lacks the default prompt '\n': samples start with 'z', "
        "as the training text does",
    )
    unknown = resolve_prompt(decoding, tokenizer, config)
    assert unknown.tokens == (0,)
    assert unknown.fallback


class NoLineBreaks(CharTokenizer):
    """Drops line breaks, as a tokenizer with such a normaliser; has a start-of-text token."""

    bos_id = 1

    def encode(self, text: str) -> list[int]:
        return super().encode(text.replace("\n", ""))


def test_the_start_token_replaces_the_default_prompt_first(tmp_path: Path) -> None:
    tokenizer = NoLineBreaks("abc")

    prompt = resolve_prompt(DecodingConfig(), tokenizer, PrepareConfig(), first_token=2)

    assert (prompt.text, prompt.tokens) == ("", (1,))
    assert "start-of-text token" in prompt.fallback


def test_a_prompt_beyond_the_context_has_a_notice() -> None:
    prompt = Prompt("abc", (1, 2, 3))

    assert prompt.notices(3) == ()
    assert prompt.notices(2) == (
        "the prompt has 3 tokens and the context 2: only the last 2 are used",
    )


@pytest.mark.parametrize("bos", [True, False])
def test_a_pretrained_model_is_prompted_as_its_documents_begin(bos: bool, tmp_path: Path) -> None:
    build_tokenizer(bos=bos).save_pretrained(tmp_path / "base")
    base = HfModelConfig(model_name=str(tmp_path / "base"))
    tokenizer = load_hub_tokenizer(base)
    prompt = resolve_prompt(
        DecodingConfig(start="the cat"), tokenizer, PrepareConfig(tokenizer_type="huggingface")
    )
    opening = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
    assert bool(opening) == bos
    assert prompt.tokens == (*opening, *tokenizer.encode("the cat"))
