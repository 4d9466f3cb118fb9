"""Samples that runs drew while they trained, found by step."""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformer_playground.jsonvalues import as_int, as_text
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.metrics import read_samples


@dataclass(frozen=True)
class StepSamples:
    """The samples of a run at one training step; untrusted text, each with its prompt in front."""

    step: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class SampleTrack:
    """The samples of one run, in order of step."""

    drawn: tuple[StepSamples, ...] = ()

    def at(self, step: int) -> StepSamples | None:
        """The newest samples that are not newer than `step`."""
        index = bisect.bisect_right(self.drawn, step, key=lambda each: each.step)
        return self.drawn[index - 1] if index else None


def read_track(run: RunFolder, resumes: Sequence[tuple[float, float]] | None = None) -> SampleTrack:
    """Every sample of a run that has a step and a text.

    Args:
        run: The run.
        resumes: Step and time of each of its resumes, where they are known already.
    """
    texts: dict[int, list[str]] = {}
    for row in read_samples(run, resumes):
        step, text = as_int(row.get("step")), as_text(row.get("text"))
        if step is not None and text is not None:
            texts.setdefault(step, []).append((as_text(row.get("prompt")) or "") + text)
    return SampleTrack(tuple(StepSamples(step, tuple(texts[step])) for step in sorted(texts)))


def steps_of(tracks: Iterable[SampleTrack]) -> tuple[int, ...]:
    """Every step at which some run drew, in order."""
    return tuple(sorted({drawn.step for track in tracks for drawn in track.drawn}))


def moved(steps: tuple[int, ...], step: int | None, by: int) -> int | None:
    """The step `by` further on in `steps`, at most the last one; None stands for the last one."""
    if not steps:
        return None
    here = len(steps) - 1 if step is None else bisect.bisect_right(steps, step) - 1
    return steps[min(max(0, here + by), len(steps) - 1)]
