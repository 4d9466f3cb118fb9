"""A run as something to sample from, with nothing but its own folder."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.config.sampling import load_sample_config
from transformer_playground.data.tokenizers import StreamDecoder, Tokenizer, load_tokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.errors import RunError, SamplingError
from transformer_playground.model.gpt import GPT
from transformer_playground.model.hardware import choose_device, choose_precision
from transformer_playground.runs.layout import RunFolder, read_run_config
from transformer_playground.sampling.generate import Generation, SamplingSettings, generate, stream
from transformer_playground.sampling.prompts import Prompt, resolve_prompt


@dataclass(frozen=True)
class SampleRequest:
    """What the user asked for; what is left out stays as the run's saved config has it.

    `options` is a `[sample]` table made of the command's options, `overrides` holds `key=value`
    settings, and `environ` is the environment. `checkpoint` is auto, best, last or a file name.
    """

    checkpoint: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedRun:
    """A model in evaluation mode, its tokenizer, and the settings to sample with."""

    checkpoint: Path
    step: int
    skipped: tuple[str, ...]
    model: GPT
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


def load_run(run: RunFolder, request: SampleRequest) -> LoadedRun:
    """Load a run's tokenizer and checkpoint.

    A folder without config.json but with a nanoGPT `ckpt.pt` can be sampled too: with default
    settings, and the tokenizer of the `meta.pkl` beside it or, as in nanoGPT, GPT-2's.

    Raises:
        PlaygroundError: The run has no whole checkpoint, a setting is out of range, or the prompt
            cannot be encoded.
    """
    saved = read_run_config(run)["config"] if run.config_path.is_file() else {}
    config = load_sample_config(
        _table(saved, "sample"),
        request.options,
        overrides=request.overrides,
        environ=request.environ,
    )
    found = choose(run.checkpoints, request.checkpoint or config.runtime.checkpoint)
    tokenizer = _tokenizer(run)
    prompt = resolve_prompt(config.sample, tokenizer, _prepare_config(run, saved))
    device = choose_device(config.runtime.device)
    with _memory_explained("load the model", "Free memory, or sample on another device."):
        payload = load_payload(found.path)
        weights = sum(tensor.numel() for tensor in payload["model"].values())
        precision = choose_precision(config.runtime.dtype, device, weights)
        model = build_model(payload, device=device, dtype=precision.dtype)
    return LoadedRun(
        checkpoint=found.path,
        step=payload["step"],
        skipped=tuple(str(skipped) for skipped in found.skipped),
        model=model,
        tokenizer=tokenizer,
        prompt=prompt,
        decoding=config.sample,
        seed=config.runtime.seed,
    )


def draw(loaded: LoadedRun) -> list[dict[str, Any]]:
    """All samples as one batch: {"prompt", "text", "tokens", "finish_reason", …} each.

    Raises:
        SamplingError: The samples do not fit into memory together.
    """
    count = loaded.decoding.num_samples
    with _memory_explained(f"draw {count:,} samples at once", "Ask for fewer samples."):
        generations = generate(
            loaded.model,
            loaded.prompt.tokens,
            loaded.settings,
            n_samples=count,
            stop_token=loaded.tokenizer.eos_id,
            valid_vocab=loaded.tokenizer.vocab_size,
        )
    return [
        {
            "step": loaded.step,
            "prompt": loaded.prompt.text,
            "text": loaded.tokenizer.decode(_without_stop(generation, loaded.tokenizer)),
            "tokens": list(generation.tokens),
            "logprobs": list(generation.logprobs),
            "finish_reason": generation.finish_reason,
            "seed": loaded.seed,
            "temperature": loaded.decoding.temperature,
            "top_k": loaded.decoding.top_k,
            "top_p": loaded.decoding.top_p,
        }
        for generation in generations
    ]


def stream_text(loaded: LoadedRun) -> Iterator[str]:
    """One sample as pieces of text, each as soon as its characters are whole.

    Raises:
        SamplingError: The sample does not fit into memory.
    """
    decoder = StreamDecoder(loaded.tokenizer)
    steps = stream(
        loaded.model,
        loaded.prompt.tokens,
        loaded.settings,
        stop_token=loaded.tokenizer.eos_id,
        valid_vocab=loaded.tokenizer.vocab_size,
    )
    with _memory_explained("draw a sample", "Free memory, or sample on another device."):
        for drawn in steps:
            for token in drawn:
                if token.token != loaded.tokenizer.eos_id:
                    yield decoder.push(token.token)
    yield decoder.flush()


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


def _without_stop(generation: Generation, tokenizer: Tokenizer) -> list[int]:
    return [token for token in generation.tokens if token != tokenizer.eos_id]


def _table(saved: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = saved.get(name)
    return table if isinstance(table, dict) else {}


def _prepare_config(run: RunFolder, saved: Mapping[str, Any]) -> PrepareConfig:
    try:
        return PrepareConfig.model_validate(_table(saved, "prepare"))
    except ValidationError as error:
        key = ".".join(["prepare", *map(str, error.errors()[0]["loc"])])
        raise RunError(
            f"the settings saved in {run.config_path} are not valid: {key}.",
            "Restore config.json from a copy of the run.",
        ) from error


def _tokenizer(run: RunFolder) -> Tokenizer:
    for folder in (run.tokenizer, run.root):
        if (folder / "meta.pkl").is_file():
            return load_tokenizer(folder)
    if run.config_path.is_file():
        raise RunError(
            f"run '{run.run_id}' has lost its tokenizer: {run.tokenizer} has no meta.pkl.",
            "Copy meta.pkl (and spm.model) there from the experiment's dataset folder.",
        )
    return Gpt2Tokenizer()
