"""Samples of compared runs: the same settings for each of them."""

from dataclasses import dataclass

from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation_request import SampleSpec


@dataclass(frozen=True)
class SampleResult:
    """The samples of one run; all text in it is untrusted.

    Attributes:
        run_id: The run.
        problem: Why there are no samples; None if there are.
        checkpoint: File name of the checkpoint drawn from.
        step: Optimizer steps of that checkpoint.
        skipped: Damaged checkpoints that were skipped, and why.
        prompt: The text the model was given.
        texts: The texts after the prompt.
    """

    run_id: str
    problem: str | None = None
    checkpoint: str | None = None
    step: int | None = None
    skipped: tuple[str, ...] = ()
    prompt: str = ""
    texts: tuple[str, ...] = ()


def draw_samples(run: RunFolder, spec: SampleSpec) -> SampleResult:
    """Load a run's model once, draw all its samples and release the model.

    A run that cannot be sampled says why in its result instead of raising.
    """
    # Comparing loads no torch until samples are drawn.
    from transformer_playground.runs.generation import draw, load_run

    try:
        loaded = load_run(run, spec)
        samples = draw(loaded)
    except PlaygroundError as error:
        return SampleResult(run.run_id, problem=str(error))
    return SampleResult(
        run_id=run.run_id,
        checkpoint=loaded.checkpoint.name,
        step=loaded.step,
        skipped=loaded.skipped,
        prompt=loaded.prompt.text,
        texts=tuple(sample["text"] for sample in samples),
    )
