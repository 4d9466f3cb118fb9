"""All that can be said about sampling from a run before its weights are loaded; without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from transformer_playground.checkpoints.discovery import Found, HashFile, choose
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.sampling import load_sample_config, split_base
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.errors import RunError
from transformer_playground.files import sha256_file
from transformer_playground.runs.layout import RunFolder, read_run_config
from transformer_playground.sampling.prompts import Prompt, resolve_prompt


@dataclass(frozen=True)
class SampleRequest:
    """What the user asked for; what is left out stays as the run's saved config has it.

    `options` is a `[sample]` table made of the command's options, `overrides` holds `key=value`
    settings (`hf_model.model_name` says where a base model lies by now), and `environ` is the
    environment. `checkpoint` is auto, best, last or a file name. `prompt` is the text to go on from
    as it stands, where `sample.start` may also name a file.
    """

    checkpoint: str | None = None
    prompt: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SamplingPlan:
    """What a request comes to for a run.

    Attributes:
        run_id: The run.
        config: The settings that hold.
        found: The checkpoint to load.
        tokenizer: The run's.
        prompt: What every sample begins with.
        base: Where the pretrained model of a finetuned one lies by now; None = where it lay.
    """

    run_id: str
    config: SampleConfig
    found: Found
    tokenizer: Tokenizer
    prompt: Prompt
    base: str | None = None


def plan_sampling(
    run: RunFolder, request: SampleRequest, *, hash_file: HashFile = sha256_file
) -> SamplingPlan:
    """Find what sampling takes: settings, a whole checkpoint, the tokenizer and the prompt.

    A folder without config.json but with a nanoGPT `ckpt.pt` can be sampled too: with default
    settings, and the tokenizer of the `meta.pkl` beside it or, as in nanoGPT, GPT-2's.

    Args:
        run: The run.
        request: What to sample, and how.
        hash_file: SHA-256 of a file; whoever samples again and again can remember it.

    Raises:
        PlaygroundError: The run has no whole checkpoint, a setting is out of range, or the prompt
            cannot be encoded.
    """
    saved = read_run_config(run)["config"] if run.config_path.is_file() else {}
    overrides, base = split_base(request.overrides)
    config = load_sample_config(
        _table(saved, "sample"),
        request.options,
        overrides=overrides,
        environ=request.environ,
    )
    found = choose(run.checkpoints, request.checkpoint or config.runtime.checkpoint, hash_file)
    tokenizer = _tokenizer(run)
    prompt = resolve_prompt(
        config.sample, tokenizer, _prepare_config(run, saved), text=request.prompt
    )
    return SamplingPlan(run.run_id, config, found, tokenizer, prompt, base)


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
