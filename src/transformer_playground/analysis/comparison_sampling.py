"""What several runs are asked to write, and what they answered; drawing is `comparison_samples`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformer_playground.config.sample import SampleConfig
from transformer_playground.config.sampling import load_sample_config
from transformer_playground.runs.layout import RunFolder, read_run_config


@dataclass(frozen=True)
class Question:
    """The same for every run that is asked.

    Attributes:
        settings: Prompt, decoding and seed.
        settings_from: The run whose saved settings fill what the command left out.
        checkpoint: auto, best, last or a file name.
        prompt: The prompt as it stands; None = what the settings say.
    """

    settings: SampleConfig
    settings_from: str
    checkpoint: str
    prompt: str | None = None


@dataclass(frozen=True)
class Answer:
    """What one run wrote; all text in it is untrusted.

    Attributes:
        run_id: The run.
        problem: Why there is nothing from it; None if there is.
        checkpoint: File name of the checkpoint drawn from.
        step: Optimizer steps of that checkpoint.
        skipped: Damaged checkpoints that were passed over, and why.
        prompt: The text the model was given.
        texts: What it wrote after the prompt.
    """

    run_id: str
    problem: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    skipped: tuple[str, ...] = ()
    prompt: str = ""
    texts: tuple[str, ...] = ()


def question(
    first: RunFolder,
    options: Mapping[str, Any],
    checkpoint: str | None,
    environ: Mapping[str, str],
    *,
    prompt: str | None = None,
) -> Question:
    """One question for all runs: what the command states over what `first` has saved.

    Args:
        first: The run whose saved `[sample]` table fills what is left out.
        options: A `[sample]` table made of the command's options.
        checkpoint: auto, best, last or a file name; None = as `first` has it.
        environ: Where to look for overrides of `[sample]`.
        prompt: The prompt as it stands, used instead of `sample.start`.

    Raises:
        RunError: The `config.json` of `first` is missing or damaged.
        ConfigError: A setting is out of range.
    """
    saved = read_run_config(first)["config"].get("sample")
    settings = load_sample_config(
        saved if isinstance(saved, dict) else {}, options, overrides=(), environ=environ
    )
    return Question(settings, first.run_id, checkpoint or settings.runtime.checkpoint, prompt)
