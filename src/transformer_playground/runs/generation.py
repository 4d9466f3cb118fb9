"""Sampling from a run, with nothing but its own folder."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from transformer_playground.checkpoints.discovery import HashFile
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.config.train import Device, DType
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.files import sha256_file
from transformer_playground.generation.generate import SamplingSettings, stream
from transformer_playground.generation.prompts import Prompt
from transformer_playground.generation.samples import Sample, SampleEvent
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.device import choose_device, choose_precision
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation_request import (
    SampleRequest,
    SampleSpec,
    SamplingPlan,
    plan_sampling,
)


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
    try:
        payload = load_payload(path)
        arithmetic = _arithmetic(payload, dtype, chosen)
        model = build_model(payload, device=chosen, dtype=arithmetic, base=base)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise _out_of_memory(
            "load the model", "Free memory, or sample on another device."
        ) from error
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
    request: SampleRequest | SampleSpec,
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
    settings, found = plan.spec.settings, plan.found
    if plan.spec.base is not None:
        load = partial(load_model, base=plan.spec.base)
    loaded = load(found.path, settings.runtime.device, settings.runtime.dtype)
    return LoadedRun(
        run_id=plan.run_id,
        checkpoint=found.path,
        step=loaded.step,
        skipped=tuple(str(skipped) for skipped in found.skipped),
        model=loaded.model,
        tokenizer=plan.tokenizer,
        prompt=plan.prompt,
        decoding=settings.sample,
        seed=settings.runtime.seed,
    )


def sample_row(loaded: LoadedRun, index: int, sample: Sample) -> dict[str, Any]:
    """One sample: docs/schemas/sample.json describes it, but for its `event`."""
    tokenizer = loaded.tokenizer
    return {
        "run_id": loaded.run_id,
        "checkpoint": loaded.checkpoint.name,
        "step": loaded.step,
        "index": index,
        "prompt": loaded.prompt.text,
        "prompt_tokens": list(loaded.prompt.tokens),
        "text": sample.text,
        "tokens": list(sample.token_ids),
        "token_texts": [token_text(tokenizer, token) for token in sample.token_ids],
        "logprobs": list(sample.logprobs),
        "finish_reason": sample.finish_reason,
        "seed": loaded.seed,
        "temperature": loaded.decoding.temperature,
        "top_k": loaded.decoding.top_k,
        "top_p": loaded.decoding.top_p,
    }


def draw(
    loaded: LoadedRun, *, cancelled: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """All samples, drawn in batches, as rows: see `sample_row`.

    Arguments and errors are those of `stream_samples`.
    """
    samples = [Sample() for _ in range(loaded.decoding.num_samples)]
    for event in stream_samples(loaded, cancelled=cancelled):
        samples[event.sample].add(event)
    return [sample_row(loaded, index, sample) for index, sample in enumerate(samples)]


def stream_samples(
    loaded: LoadedRun, *, alternatives: int = 0, cancelled: Callable[[], bool] = lambda: False
) -> Generator[SampleEvent]:
    """All samples, token by token as they are drawn: `stream` with the settings of a run.

    Raises:
        SamplingError: A setting is impossible, or the samples do not fit into memory.
    """
    count = loaded.decoding.num_samples
    events = stream(
        loaded.model,
        loaded.prompt.tokens,
        SamplingSettings.from_config(loaded.decoding, loaded.seed),
        n_samples=count,
        tokenizer=loaded.tokenizer,
        alternatives=alternatives,
        cancelled=cancelled,
    )
    work = "draw a sample" if count == 1 else f"draw {count:,} samples"
    while True:
        # Only the drawing itself: an error of whoever takes the tokens is not about memory.
        try:
            event = next(events, None)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise _out_of_memory(
                work, "Ask for fewer tokens, or sample on another device."
            ) from error
        if event is None:
            return
        yield event


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """One token's own text; a part of a character becomes the replacement character."""
    return tokenizer.token_bytes(token).decode("utf-8", "replace")


def _is_out_of_memory(error: Exception) -> bool:
    # Only CUDA has a type of its own for it.
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "allocate memory" in str(error)


def _out_of_memory(work: str, hint: str) -> SamplingError:
    return SamplingError(f"there is not enough memory to {work}.", hint)
