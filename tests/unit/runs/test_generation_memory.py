"""Samples that do not fit into memory give a clear error."""

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders.corpora import prepared
from builders.models import tiny_model
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.generation.prompts import Prompt
from transformer_playground.runs.generation import LoadedRun, draw, stream_samples

# The keys of one text of this length take 4 GB in each layer.
LENGTH = 16_000_000
LEFT = 2 << 30


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Limit this process to two further gigabytes."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + LEFT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def loaded_run(folder: Path, *, n_samples: int, width: int) -> LoadedRun:
    tokenizer = load_tokenizer(prepared(folder).dataset_dir)
    return LoadedRun(
        run_id="r",
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


@pytest.mark.parametrize(("n_samples", "named"), [(1, "draw a sample"), (900, "draw 900 samples")])
@pytest.mark.usefixtures("little_memory")
def test_more_tokens_than_fit_into_memory_are_rejected(
    tmp_path: Path, n_samples: int, named: str
) -> None:
    with pytest.raises(SamplingError, match=rf"memory to {named}\..*fewer tokens"):
        draw(loaded_run(tmp_path, n_samples=n_samples, width=64))


def test_an_error_of_the_token_consumer_is_not_reported_as_lack_of_memory(
    tmp_path: Path,
) -> None:
    loaded = loaded_run(tmp_path, n_samples=1, width=8)
    short = replace(loaded, decoding=DecodingConfig(max_new_tokens=2))
    events = stream_samples(short)
    next(events)
    with pytest.raises(MemoryError):
        events.throw(MemoryError())
