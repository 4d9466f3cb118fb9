"""A run as something to sample from, with nothing but its own folder."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from transformer_playground.checkpoints.discovery import HashFile
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.config.train import Device, DType
from transformer_playground.data.tokenizers import StreamDecoder, Tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.files import sha256_file
from transformer_playground.model.hardware import choose_device, choose_precision
from transformer_playground.model.interface import LanguageModel
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.sampling_plan import SampleRequest, SamplingPlan, plan_sampling
from transformer_playground.sampling.generate import (
    DrawnToken,
    Ending,
    SamplingSettings,
    Step,
    stream,
)
from transformer_playground.sampling.prompts import Prompt


@dataclass(frozen=True)
class LoadedRun:
    """A model in evaluation mode, its tokenizer, and the settings to sample with."""

    run_id: str
    checkpoint: Path
    step: int
    skipped: tuple[str, ...]
    model: LanguageModel
    tokenizer: Tokenizer
    prompt: Prompt
    decoding: DecodingConfig
    seed: int

    @property
    def settings(self) -> SamplingSettings:
        """The decoding knobs as the generator takes them."""
        return SamplingSettings(
            max_new_tokens=self.decoding.max_new_tokens,
            temperature=self.decoding.temperature,
            top_k=self.decoding.top_k,
            top_p=self.decoding.top_p,
            seed=self.seed,
        )


class LoadedModel(NamedTuple):
    """The weights of a checkpoint in evaluation mode, and the optimizer steps behind them."""

    model: LanguageModel
    step: int


def load_model(path: Path, device: Device, dtype: DType, *, base: str | None = None) -> LoadedModel:
    """Build the model of a checkpoint file.

    Args:
        path: The file.
        device: As `[sample.runtime]` has it: auto, cpu, cuda or mps.
        dtype: As `[sample.runtime]` has it.
        base: Where the pretrained model of a finetuned one lies by now; None = where it lay.

    Raises:
        CheckpointError: The file is not a whole checkpoint.
        PlaygroundError: The device or its memory does not do.
    """
    chosen = choose_device(device)
    with _memory_explained("load the model", "Free memory, or sample on another device."):
        payload = load_payload(path)
        arithmetic = _arithmetic(payload, dtype, chosen)
        model = build_model(payload, device=chosen, dtype=arithmetic, base=base)
    return LoadedModel(model, payload["step"])


def _arithmetic(
    payload: Mapping[str, Any], dtype: DType, device: torch.device
) -> torch.dtype | None:
    """What to compute in; None leaves a finetuned model what its base was trained in."""
    if payload["kind"] == "lora" and dtype == "auto":
        return None
    weights = sum(tensor.numel() for tensor in payload["model"].values())
    return choose_precision(dtype, device, weights).dtype


ModelLoader = Callable[[Path, Device, DType], LoadedModel]


def load_run(
    run: RunFolder,
    request: SampleRequest,
    *,
    load: ModelLoader = load_model,
    hash_file: HashFile = sha256_file,
) -> LoadedRun:
    """Plan to sample from a run, and load it: `plan_sampling`, then `load_planned`.

    Raises:
        PlaygroundError: As these two do.
    """
    return load_planned(plan_sampling(run, request, hash_file=hash_file), load=load)


def load_planned(plan: SamplingPlan, *, load: ModelLoader = load_model) -> LoadedRun:
    """Load what a plan has found.

    Args:
        plan: From `plan_sampling`.
        load: Gives the model of a checkpoint file, as `load_model` does; whoever samples again and
            again can keep models.

    Raises:
        PlaygroundError: The checkpoint, the device or its memory does not do.
    """
    config, found = plan.config, plan.found
    if plan.base is not None:
        load = partial(load_model, base=plan.base)
    loaded = load(found.path, config.runtime.device, config.runtime.dtype)
    return LoadedRun(
        run_id=plan.run_id,
        checkpoint=found.path,
        step=loaded.step,
        skipped=tuple(str(skipped) for skipped in found.skipped),
        model=loaded.model,
        tokenizer=plan.tokenizer,
        prompt=plan.prompt,
        decoding=config.sample,
        seed=config.runtime.seed,
    )


@dataclass(frozen=True)
class Piece:
    """What one token adds to the text of one sample, or the sample's end.

    Attributes:
        sample: Which sample, from 0.
        text: The characters that are whole by now; those of a token may come with a later one.
        drawn: The token, with its log-probability and alternatives; None at the end.
        finish_reason: Why the sample ends here; None while it goes on.
    """

    sample: int
    text: str
    drawn: DrawnToken | None = None
    finish_reason: Ending | None = None


class Collected:
    """Samples put together from their pieces, as the rows that are printed and written.

    Args:
        loaded: What the pieces are drawn from.
    """

    def __init__(self, loaded: LoadedRun) -> None:
        self._loaded = loaded
        count = loaded.decoding.num_samples
        self._texts: list[list[str]] = [[] for _ in range(count)]
        self._drawn: list[list[DrawnToken]] = [[] for _ in range(count)]
        self._endings: dict[int, Ending] = {}

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        self._texts[piece.sample].append(piece.text)
        if piece.drawn is not None:
            self._drawn[piece.sample].append(piece.drawn)
        if piece.finish_reason is not None:
            self._endings[piece.sample] = piece.finish_reason

    def is_whole(self, sample: int) -> bool:
        """Whether this sample has come to its end."""
        return sample in self._endings

    def row(self, sample: int) -> dict[str, Any]:
        """One sample: docs/schemas/sample.json describes it, but for its `event`."""
        loaded, drawn = self._loaded, self._drawn[sample]
        tokenizer = loaded.tokenizer
        return {
            "run_id": loaded.run_id,
            "checkpoint": loaded.checkpoint.name,
            "step": loaded.step,
            "index": sample,
            "prompt": loaded.prompt.text,
            "prompt_tokens": list(loaded.prompt.tokens),
            "text": "".join(self._texts[sample]),
            "tokens": [each.token for each in drawn],
            "token_texts": [token_text(tokenizer, each.token) for each in drawn],
            "logprobs": [each.logprob for each in drawn],
            "finish_reason": self._endings.get(sample, "cancelled"),
            "seed": loaded.seed,
            "temperature": loaded.decoding.temperature,
            "top_k": loaded.decoding.top_k,
            "top_p": loaded.decoding.top_p,
        }

    def rows(self) -> list[dict[str, Any]]:
        """Every sample, in order."""
        return [self.row(sample) for sample in range(self._loaded.decoding.num_samples)]


def draw(
    loaded: LoadedRun, *, cancelled: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """All samples, drawn in batches: {"prompt", "text", "tokens", "finish_reason", …} each.

    Arguments and errors are those of `stream_pieces`.
    """
    collected = Collected(loaded)
    for piece in stream_pieces(loaded, cancelled=cancelled):
        collected.add(piece)
    return collected.rows()


def stream_pieces(
    loaded: LoadedRun, *, alternatives: int = 0, cancelled: Callable[[], bool] = lambda: False
) -> Generator[Piece]:
    """All samples as pieces of text, as they are drawn.

    Args:
        loaded: The run.
        alternatives: How many of the likeliest tokens to name beside each drawn one.
        cancelled: Asked before each step. When it says yes every open sample ends, as cancelled.

    Yields:
        A piece for each token, then one for the end of each sample. Samples that are drawn
        together come interleaved.

    Raises:
        SamplingError: A setting is impossible, or the samples do not fit into memory.
    """
    count, tokenizer = loaded.decoding.num_samples, loaded.tokenizer
    steps = stream(
        loaded.model,
        loaded.prompt.tokens,
        loaded.settings,
        n_samples=count,
        stop_token=tokenizer.eos_id,
        valid_vocab=tokenizer.vocab_size,
        alternatives=alternatives,
        cancelled=cancelled,
    )
    open_samples = {sample: StreamDecoder(tokenizer) for sample in range(count)}
    for step in _without_running_out(steps, count):
        for drawn in step.drawn:
            text = open_samples[drawn.sample].push(drawn.token)
            yield Piece(drawn.sample, text, drawn)
        for sample, reason in step.ended.items():
            yield Piece(sample, open_samples.pop(sample).flush(), finish_reason=reason)
    for sample, decoder in open_samples.items():
        yield Piece(sample, decoder.flush(), finish_reason="cancelled")


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """One token's own text; a part of a character becomes the replacement character."""
    return tokenizer.token_bytes(token).decode("utf-8", "replace")


def _without_running_out(steps: Iterator[Step], count: int) -> Iterator[Step]:
    work = "draw a sample" if count == 1 else f"draw {count:,} samples"
    while True:
        # Only the drawing itself: an error of whoever takes the pieces is not about memory.
        with _memory_explained(work, "Ask for fewer tokens, or sample on another device."):
            step = next(steps, None)
        if step is None:
            return
        yield step


@contextlib.contextmanager
def _memory_explained(work: str, hint: str) -> Iterator[None]:
    """Turn the many ways to run out of memory into one error."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # Only CUDA has a type of its own for it.
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and "allocate memory" not in str(error):
            raise
        raise SamplingError(f"there is not enough memory to {work}.", hint) from error
