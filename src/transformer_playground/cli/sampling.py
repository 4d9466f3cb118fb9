"""Sampling from a run and printing the result, whole or as it comes."""

import sys
from typing import Any

from transformer_playground.cli.console import note, say, say_json
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.sampling import (
    LoadedRun,
    SampleRequest,
    draw,
    load_run,
    stream_text,
)
from transformer_playground.terminal import visible


def print_samples(
    run: RunFolder, request: SampleRequest, *, json_output: bool, stream: bool
) -> None:
    """Draw what the request asks for; a single sample streams when `stream` is set."""
    loaded = load_run(run, request)
    for skipped in loaded.skipped:
        note(f"passed over a damaged checkpoint: {skipped}")
    note(f"sampling from {loaded.checkpoint.name} of {run.run_id}")
    if json_output:
        for sample in draw(loaded):
            say_json({"event": "sample", **sample})
        return
    if stream and loaded.decoding.num_samples == 1:
        _print_stream(loaded)
        return
    samples = draw(loaded)
    for number, sample in enumerate(samples, start=1):
        if len(samples) > 1:
            say(f"--- sample {number} of {len(samples)} ---")
        say(_text(sample))


def _text(sample: dict[str, Any]) -> str:
    return f"{sample['prompt']}{sample['text']}"


def _print_stream(loaded: LoadedRun) -> None:
    sys.stdout.write(visible(loaded.prompt.text))
    for piece in stream_text(loaded):
        sys.stdout.write(visible(piece))
        sys.stdout.flush()
    say("")
