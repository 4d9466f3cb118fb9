"""Prompts: from files, and as the documents of the training data begin."""

from pathlib import Path

import pytest

from builders.base_models import build_tokenizer
from builders.corpora import prepared
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.data.tokenizers.huggingface import load_hub_tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.generation.prompts import Prompt, resolve_prompt


def prompt_from(folder: Path, start: str) -> Prompt:
    config = prepared(folder)
    return resolve_prompt(DecodingConfig(start=start), load_tokenizer(config.dataset_dir), config)


def test_a_prompt_file_is_read_as_it_stands(tmp_path: Path) -> None:
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
def test_a_path_that_leads_to_no_file_is_a_clear_error(
    tmp_path: Path, stated: str, said: str
) -> None:
    with pytest.raises(SamplingError, match=said):
        prompt_from(tmp_path, f"FILE:{stated}")


def test_a_prompt_file_that_is_no_text_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "prompt.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SamplingError, match="not UTF-8"):
        prompt_from(tmp_path, f"FILE:{tmp_path / 'prompt.bin'}")


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
