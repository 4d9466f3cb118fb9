"""Sampling from a run: model loading, sample rows and streaming."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from transformer_playground.checkpoints.discovery import HashFile
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.config.sample import DecodingConfig, Quantization, SampleRuntimeConfig
from transformer_playground.config.train import DType
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import ConfigError, SamplingError
from transformer_playground.files import sha256_file
from transformer_playground.generation.generate import SamplingSettings, stream
from transformer_playground.generation.prompts import Prompt
from transformer_playground.generation.samples import Sample, SampleEvent
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.decoding import store_for_decoding
from transformer_playground.model.device import choose_device, choose_precision, is_out_of_memory
from transformer_playground.model.gpt import GPT
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation_request import (
    ResolvedSampling,
    SampleRequest,
    SampleSpec,
    resolve_sampling,
)


@dataclass(frozen=True)
class LoadedRun:
    """A model in evaluation mode, its tokenizer and sampling settings.

    Attributes:
        step: Optimizer steps done by the checkpoint.
        val_loss: Its validation loss in nats per token, if its sidecar records one.
        quantization: Weights of the linear layers, as in `[sample.runtime]`.
        notices: Sentences for the user about the prompt and the weights.
    """

    run_id: str
    checkpoint: Path
    step: int
    skipped: tuple[str, ...]
    model: LanguageModel
    tokenizer: Tokenizer
    prompt: Prompt
    decoding: DecodingConfig
    seed: int
    quantization: Quantization = "none"
    notices: tuple[str, ...] = ()
    val_loss: float | None = None


_QUANTIZATION_NOTICES: Mapping[Quantization, tuple[str, ...]] = {
    "none": (),
    "int8": ("the linear layers are quantized to int8: log-probabilities are less exact",),
}


class LoadedModel(NamedTuple):
    """The model of a checkpoint in evaluation mode, and its optimizer step."""

    model: LanguageModel
    step: int


def load_model(path: Path, runtime: SampleRuntimeConfig, *, base: str | None = None) -> LoadedModel:
    """Build the model of a checkpoint file.

    Args:
        path: Checkpoint file.
        runtime: Device, dtype and quantization.
        base: Base model (name or folder) of a finetuned run, if it has moved.

    Raises:
        CheckpointError: The checkpoint is damaged.
        PlaygroundError: The device is not available or lacks memory, or a finetuned model is to be
            quantized.
    """
    chosen = choose_device(runtime.device)
    try:
        payload = load_payload(path)
        compute_dtype = _compute_dtype(payload, runtime.dtype, chosen)
        model = build_model(payload, device=chosen, dtype=compute_dtype, base=base)
        if runtime.quantization == "int8":
            _quantize(model)
        elif isinstance(model, GPT):
            store_for_decoding(model)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise _out_of_memory("load the model", "Free memory, or use another device.") from error
    return LoadedModel(model, payload["step"])


def _quantize(model: LanguageModel) -> None:
    if not isinstance(model, GPT):
        raise ConfigError(
            "sample.runtime.quantization = 'int8' does not apply to finetuned base models.",
            "Use 'none'.",
        )
    model.quantize()


def _compute_dtype(
    payload: Mapping[str, Any], dtype: DType, device: torch.device
) -> torch.dtype | None:
    """Compute dtype; None keeps the dtype of a finetuned model's base."""
    if payload["kind"] == "lora" and dtype == "auto":
        return None
    weights = sum(tensor.numel() for tensor in payload["model"].values())
    return choose_precision(dtype, device, weights).dtype


ModelLoader = Callable[[Path, SampleRuntimeConfig], LoadedModel]


def load_run(
    run: RunFolder,
    request: SampleRequest | SampleSpec,
    *,
    load: ModelLoader = load_model,
    hash_file: HashFile = sha256_file,
) -> LoadedRun:
    """Resolve a request and load the model: see `resolve_sampling` and `load_resolved`."""
    return load_resolved(resolve_sampling(run, request, hash_file=hash_file), load=load)


def load_resolved(resolved: ResolvedSampling, *, load: ModelLoader = load_model) -> LoadedRun:
    """Load the model of a resolved request.

    Args:
        resolved: From `resolve_sampling`.
        load: Loads a checkpoint, as `load_model` does; can be replaced by a cache.

    Raises:
        PlaygroundError: Damaged checkpoint, unavailable device or out of memory.
    """
    settings, found = resolved.spec.settings, resolved.found
    if resolved.spec.base is not None:
        load = partial(load_model, base=resolved.spec.base)
    loaded = load(found.path, settings.runtime)
    return LoadedRun(
        run_id=resolved.run_id,
        checkpoint=found.path,
        step=loaded.step,
        skipped=tuple(str(skipped) for skipped in found.skipped),
        model=loaded.model,
        tokenizer=resolved.tokenizer,
        prompt=resolved.prompt,
        decoding=settings.sample,
        seed=settings.runtime.seed,
        quantization=settings.runtime.quantization,
        notices=(
            *resolved.prompt.notices(loaded.model.block_size),
            *_QUANTIZATION_NOTICES[settings.runtime.quantization],
        ),
        val_loss=found.info.metric if found.info else None,
    )


def sample_row(loaded: LoadedRun, index: int, sample: Sample) -> dict[str, Any]:
    """One sample as described by docs/schemas/sample.json, without `event`."""
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
        "quantization": loaded.quantization,
    }


def draw(
    loaded: LoadedRun, *, cancelled: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    """All samples as rows: see `sample_row` and `stream_samples`."""
    samples = [Sample() for _ in range(loaded.decoding.num_samples)]
    for event in stream_samples(loaded, cancelled=cancelled):
        samples[event.sample].add(event)
    return [sample_row(loaded, index, sample) for index, sample in enumerate(samples)]


def stream_samples(
    loaded: LoadedRun, *, alternatives: int = 0, cancelled: Callable[[], bool] = lambda: False
) -> Generator[SampleEvent]:
    """Stream the tokens of all samples as they are drawn.

    Raises:
        SamplingError: Invalid setting, or out of memory.
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
        # Only generation is guarded, not the consumer of the events.
        try:
            event = next(events, None)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise _out_of_memory(work, "Generate fewer tokens, or use another device.") from error
        if event is None:
            return
        yield event


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """Text of one token; an incomplete character becomes the replacement character."""
    return tokenizer.token_bytes(token).decode("utf-8", "replace")


def _out_of_memory(work: str, hint: str) -> SamplingError:
    return SamplingError(f"there is not enough memory to {work}.", hint)
