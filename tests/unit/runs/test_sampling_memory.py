"""Samples beyond the memory end in a sentence."""

from pathlib import Path

import pytest

from builders.corpora import prepared
from builders.models import tiny_model
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.runs.sampling import LoadedRun, draw
from transformer_playground.sampling.prompts import Prompt

# The keys and values of so many texts of this length are beyond any address space.
LENGTH = 16_000_000
MOST_SAMPLES = 10_000


def loaded_run(folder: Path, *, n_samples: int, width: int) -> LoadedRun:
    tokenizer = load_tokenizer(prepared(folder).dataset_dir)
    return LoadedRun(
        checkpoint=folder / "last.pt",
        step=1,
        skipped=(),
        model=tiny_model(
            tokenizer.vocab_size,
            n_embd=width,
            n_head=1,
            block_size=LENGTH,
            positional_encoding="none",
        ),
        tokenizer=tokenizer,
        prompt=Prompt("T", (1,)),
        decoding=DecodingConfig(num_samples=n_samples, max_new_tokens=LENGTH),
        seed=1,
    )


def test_more_samples_than_memory_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SamplingError, match=r"draw 10,000 samples at once.*fewer samples"):
        draw(loaded_run(tmp_path, n_samples=MOST_SAMPLES, width=64))
