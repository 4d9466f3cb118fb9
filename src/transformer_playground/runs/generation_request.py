"""Sampling requests, resolved with the saved settings of a run.

Nothing here loads torch; pydantic is loaded when a request is resolved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import RunError
from transformer_playground.files import sha256_file
from transformer_playground.jsonvalues import as_object
from transformer_playground.runs.folder import RunFolder, read_run_config

if TYPE_CHECKING:
    from transformer_playground.checkpoints.discovery import FoundCheckpoint, HashFile
    from transformer_playground.config.prepare import PrepareConfig
    from transformer_playground.config.sample import SampleConfig
    from transformer_playground.data.tokenizers import Tokenizer
    from transformer_playground.generation.prompts import Prompt


@dataclass(frozen=True)
class SampleRequest:
    """Sampling options of a command or form; None = the run's saved config.

    Attributes:
        prompt: Prompt text, or FILE:path unless `prompt_is_literal`.
        unconditional: Sample without a prompt; None = the saved setting, unless a prompt is given.
        temperature: 0 = greedy.
        top_k: 0 = all tokens.
        top_p: 1 = all tokens.
        checkpoint: auto, best, last or a file name.
        dtype: Compute dtype: auto, float32, bfloat16 or float16.
        quantization: Weights of linear layers: none or int8.
        overrides: `key=value` settings of `[sample]`; `hf_model.model_name` is the new location of
            the base model.
        environ: Environment variables, which may contain overrides.
    """

    prompt: str | None = None
    unconditional: bool | None = None
    n_samples: int | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    checkpoint: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    prompt_is_literal: bool = False
    overrides: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    def as_object(self) -> dict[str, Any]:
        """The given options as a `[sample]` table."""
        unconditional = self.unconditional
        if unconditional is None and self.prompt is not None:
            unconditional = False
        sample = {
            "start": None if self.prompt_is_literal else self.prompt,
            "unconditional": unconditional,
            "num_samples": self.n_samples,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
        }
        runtime = {"seed": self.seed, "dtype": self.dtype, "quantization": self.quantization}
        return {
            table: {key: value for key, value in values.items() if value is not None}
            for table, values in (("sample", sample), ("runtime", runtime))
        }


@dataclass(frozen=True)
class SampleSpec:
    """Resolved sampling settings, which can be applied to several runs.

    Attributes:
        settings: Prompt, decoding, seed and device.
        settings_from: Run whose saved settings are the defaults.
        checkpoint: auto, best, last or a file name.
        prompt: Literal prompt; None = the one of `settings`.
        prompt_setting: Setting or option that holds the prompt, for errors; empty if none does.
        base: Base model (name or folder) of a finetuned run, if it has moved.
    """

    settings: "SampleConfig"
    settings_from: str
    checkpoint: str
    prompt: str | None = None
    prompt_setting: str = ""
    base: str | None = None


@dataclass(frozen=True)
class ResolvedSampling:
    """Everything needed to sample from one run, except the weights."""

    run_id: str
    spec: SampleSpec
    found: "FoundCheckpoint"
    tokenizer: "Tokenizer"
    prompt: "Prompt"


def resolve_request(run: RunFolder, request: SampleRequest) -> SampleSpec:
    """Resolve a request with the saved settings of a run.

    Raises:
        RunError: The run's config.json is damaged.
        ConfigError: A setting is out of range.
    """
    from transformer_playground.config.run_config import load_sample_config, split_base_model

    overrides, base = split_base_model(request.overrides)
    settings = load_sample_config(
        as_object(_saved(run).get("sample")),
        request.as_object(),
        overrides=overrides,
        environ=request.environ,
    )
    return SampleSpec(
        settings=settings,
        settings_from=run.run_id,
        checkpoint=request.checkpoint or settings.runtime.checkpoint,
        prompt=request.prompt if request.prompt_is_literal else None,
        prompt_setting=_prompt_setting(request),
        base=base,
    )


def resolve_sampling(
    run: RunFolder, request: SampleRequest | SampleSpec, *, hash_file: "HashFile" = sha256_file
) -> ResolvedSampling:
    """Resolve settings, checkpoint, tokenizer and prompt of a request, without loading weights.

    A folder with only a nanoGPT `ckpt.pt` uses default settings and the tokenizer of the `meta.pkl`
    beside it or, as in nanoGPT, GPT-2's.

    Args:
        run: The run.
        request: A request, or resolved settings.
        hash_file: SHA-256 of a file; can be replaced by a cache.

    Raises:
        PlaygroundError: No valid checkpoint, invalid setting, or a prompt that cannot be encoded.
    """
    from transformer_playground.checkpoints.discovery import choose
    from transformer_playground.generation.prompts import resolve_prompt

    spec = resolve_request(run, request) if isinstance(request, SampleRequest) else request
    found = choose(run.checkpoints, spec.checkpoint, hash_file)
    tokenizer = load_run_tokenizer(run)
    prompt = resolve_prompt(
        spec.settings.sample,
        tokenizer,
        prepare_config(run),
        text=spec.prompt,
        setting=spec.prompt_setting,
        first_token=_first_token(run, tokenizer),
    )
    return ResolvedSampling(run.run_id, spec, found, tokenizer, prompt)


def _prompt_setting(request: SampleRequest) -> str:
    from transformer_playground.config.sample import PROMPT_SETTING

    if request.prompt is None:
        return PROMPT_SETTING
    return "" if request.prompt_is_literal else "--prompt"


def _first_token(run: RunFolder, tokenizer: "Tokenizer") -> int | None:
    record = read_run_config(run) if run.config_path.is_file() else {}
    token = as_object(record.get("dataset")).get("first_token")
    return token if type(token) is int and 0 <= token < tokenizer.vocab_size else None


def _saved(run: RunFolder) -> Mapping[str, Any]:
    config: Mapping[str, Any] = read_run_config(run)["config"] if run.config_path.is_file() else {}
    return config


def prepare_config(run: RunFolder) -> "PrepareConfig":
    """Settings of the training data of a run; the defaults for a folder without settings.

    Raises:
        RunError: They are damaged.
    """
    from pydantic import ValidationError

    from transformer_playground.config.prepare import PrepareConfig

    try:
        return PrepareConfig.model_validate(as_object(_saved(run).get("prepare")))
    except ValidationError as error:
        key = ".".join(["prepare", *map(str, error.errors()[0]["loc"])])
        raise RunError(
            f"the settings saved in {run.config_path} are not valid: {key}.",
            "Restore config.json from a copy of the run.",
        ) from error


def load_run_tokenizer(run: RunFolder) -> "Tokenizer":
    """The tokenizer of a run; of a nanoGPT folder that of its `meta.pkl` or GPT-2's.

    Raises:
        RunError: The run has none.
        DataError: It is damaged.
    """
    from transformer_playground.data.tokenizers import load_tokenizer
    from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer

    for folder in (run.tokenizer, run.root):
        if (folder / "meta.pkl").is_file():
            return load_tokenizer(folder)
    if run.config_path.is_file():
        raise RunError(
            f"run '{run.run_id}' has no tokenizer: meta.pkl is missing in {run.tokenizer}.",
            "Copy meta.pkl (and spm.model) there from the experiment's dataset folder.",
        )
    return Gpt2Tokenizer()
