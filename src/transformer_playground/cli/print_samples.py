"""Samples of a run, printed whole or as they are drawn, or written to a file."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformer_playground.cli.output import note, say, say_json
from transformer_playground.files import replace_text
from transformer_playground.generation.samples import Sample
from transformer_playground.runs.generation import LoadedRun, draw, load_planned, stream_samples
from transformer_playground.runs.generation_request import SamplingPlan
from transformer_playground.terminal import visible


def print_samples(plan: SamplingPlan, *, json_output: bool, stream: bool) -> None:
    """Draw what was asked for and print it; token by token if `stream` is set."""
    loaded = load_for_sampling(plan)
    if json_output:
        for row in draw(loaded):
            say_json(as_event(row))
    elif stream:
        _print_stream(loaded)
    else:
        rows = draw(loaded)
        for row in rows:
            _print_heading(row["index"], len(rows))
            say(f"{row['prompt']}{row['text']}")


def write_samples(plan: SamplingPlan, out: Path, *, json_output: bool) -> None:
    """Draw what was asked for and write it to `out` as JSON lines, all or nothing.

    Nothing is printed unless JSON is asked for.
    """
    rows = [as_event(row) for row in draw(load_for_sampling(plan))]
    replace_text(out, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
    note(f"wrote {len(rows):,} sample{'s' if len(rows) > 1 else ''} to {out}")
    if json_output:
        for row in rows:
            say_json(row)


def load_for_sampling(plan: SamplingPlan) -> LoadedRun:
    """Load a run and say which checkpoint it is."""
    loaded = load_planned(plan)
    for skipped in loaded.skipped:
        note(f"skipped a damaged checkpoint: {skipped}")
    note(f"sampling from {loaded.checkpoint.name} of {plan.run_id}")
    return loaded


def as_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sample as one row of a stream of events."""
    return {"event": "sample", **row}


def _print_heading(sample: int, count: int) -> None:
    if count > 1:
        say(f"--- sample {sample + 1} of {count} ---")


def _print_stream(loaded: LoadedRun) -> None:
    """Print the first sample token by token, and each further one when it and those before ended.

    Interrupted, it ends the line, so that what was drawn stays as it is.
    """
    count = loaded.decoding.num_samples
    samples = [Sample() for _ in range(count)]
    printed = 0
    _print_heading(0, count)
    _print_text(loaded.prompt.text)
    try:
        for event in stream_samples(loaded):
            samples[event.sample].add(event)
            if event.sample == 0:
                _print_text(event.text)
            while printed < count and samples[printed].end is not None:
                if printed == 0:
                    say("")
                else:
                    _print_heading(printed, count)
                    say(f"{loaded.prompt.text}{samples[printed].text}")
                printed += 1
    except KeyboardInterrupt:
        if printed == 0:
            say("")
        raise


def _print_text(text: str) -> None:
    sys.stdout.write(visible(text))
    sys.stdout.flush()
