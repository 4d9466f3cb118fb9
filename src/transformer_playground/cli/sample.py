"""`tp sample` and `tp generate`."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transformer_playground.checkpoints.discovery import skipped_notice
from transformer_playground.cli.options import (
    AsJson,
    DatasetDir,
    ExistingRunOption,
    Overrides,
    RunsDir,
    check_out,
    read_stdin_prompt,
    refuse_unread,
    sample_options,
)
from transformer_playground.cli.output import is_terminal, note, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR, discover
from transformer_playground.files import replace_text
from transformer_playground.runs.finding import find_run, find_run_or_latest
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.generation_request import (
    ResolvedSampling,
    SampleRequest,
    resolve_sampling,
)
from transformer_playground.terminal import visible, visible_line

if TYPE_CHECKING:
    from transformer_playground.runs.generation import LoadedRun
    from transformer_playground.runs.verbatim import Passage

Verbatim = Annotated[
    bool,
    typer.Option(
        "--verbatim",
        help="Say where the longest passage of each sample stands in the training text.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the samples to this file as JSON lines."),
]


@sample_options()
def sample(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="EXP|RUN", help="Experiment name (its latest run) or run ID.")
    ],
    request: SampleRequest,
    overrides: Overrides = None,
    out: Out = None,
    verbatim: Verbatim = False,
    dataset: DatasetDir = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Draw samples from a run or an experiment's latest run.

    Sampling options default to the run's saved config.
    """
    if not verbatim:
        refuse_unread(context, {"dataset": "without --verbatim"})
    request = replace(request, overrides=overrides or ())
    look_up = LookUp(dataset) if verbatim else None
    _draw(_find(runs_dir, run), request, out, json_output=json_output, look_up=look_up)


@sample_options()
def generate(
    context: typer.Context,
    run_id: ExistingRunOption,
    request: SampleRequest,
    overrides: Overrides = None,
    out: Out = None,
    verbatim: Verbatim = False,
    dataset: DatasetDir = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Draw samples from a run, which may still be training.

    Sampling options default to the run's saved config.
    """
    if not verbatim:
        refuse_unread(context, {"dataset": "without --verbatim"})
    request = replace(request, overrides=overrides or ())
    look_up = LookUp(dataset) if verbatim else None
    _draw(find_run(runs_dir, run_id), request, out, json_output=json_output, look_up=look_up)


def _find(runs_dir: Path, name: str) -> RunFolder:
    try:
        return find_run_or_latest(runs_dir, name)
    except UsageError as error:
        if name not in [experiment.name for experiment in discover(EXPERIMENTS_DIR)]:
            raise
        raise UsageError(
            f"Experiment '{name}' has no run in {runs_dir} yet.", f"Train one: tp train {name}"
        ) from error


@dataclass(frozen=True)
class LookUp:
    """A look at where samples stand in the training text.

    Attributes:
        dataset: The dataset's folder, if it has moved.
    """

    dataset: Path | None

    def passages(
        self, run: RunFolder, loaded: "LoadedRun", texts: Sequence[str]
    ) -> "list[Passage | None]":
        """The longest passage of each text.

        Raises:
            DataError: The dataset is gone, or damaged.
        """
        from transformer_playground.runs.verbatim import TrainingText

        training = TrainingText.of(
            run, loaded.tokenizer, dataset=self.dataset, experiments_dir=EXPERIMENTS_DIR
        )
        return training.passages(texts)


def _draw(
    run: RunFolder,
    request: SampleRequest,
    out: Path | None,
    *,
    json_output: bool,
    look_up: LookUp | None,
) -> None:
    if out is not None:
        check_out(out)
    resolved = resolve_sampling(run, read_stdin_prompt(request))
    if out is None and look_up is None:
        print_samples(resolved, json_output=json_output, stream=is_terminal())
        return
    from transformer_playground.runs.generation import draw

    loaded = _load(resolved)
    rows = draw(loaded)
    passages: list[Passage | None] = []
    if look_up is not None:
        passages = look_up.passages(run, loaded, [row["text"] for row in rows])
        for row, passage in zip(rows, passages, strict=True):
            row["verbatim"] = passage.as_json() if passage else None
    if out is not None:
        lines = (json.dumps(_as_event(row), allow_nan=False) + "\n" for row in rows)
        replace_text(out, "".join(lines))
        note(f"wrote {len(rows):,} sample{'s' if len(rows) > 1 else ''} to {out}")
    if json_output:
        for row in rows:
            say_json(_as_event(row))
    elif out is None:
        _print_with_passages(rows, passages)


def _print_with_passages(
    rows: Sequence[Mapping[str, Any]], passages: "Sequence[Passage | None]"
) -> None:
    from transformer_playground.runs.verbatim import passage_heading

    for row, passage in zip(rows, passages, strict=True):
        _print_heading(row["index"], len(rows))
        say(f"{row['prompt']}{row['text']}")
        say("")
        say(passage_heading(passage, len(row["text"])))
        if passage is not None:
            say(visible_line(f"…{passage.before}»{passage.text}«{passage.after}…"))


def print_samples(resolved: ResolvedSampling, *, json_output: bool, stream: bool) -> None:
    """Draw samples and print them, token by token if `stream` is set."""
    from transformer_playground.runs.generation import draw

    loaded = _load(resolved)
    if json_output:
        for row in draw(loaded):
            say_json(_as_event(row))
    elif stream:
        _print_stream(loaded)
    else:
        rows = draw(loaded)
        for row in rows:
            _print_heading(row["index"], len(rows))
            say(f"{row['prompt']}{row['text']}")


def _load(resolved: ResolvedSampling) -> "LoadedRun":
    # torch is imported after everything that can fail without it.
    from transformer_playground.runs.generation import load_resolved

    loaded = load_resolved(resolved)
    for skipped in loaded.skipped:
        note(skipped_notice(skipped))
    note(f"sampling from {loaded.checkpoint.name} of {resolved.run_id}")
    for notice in loaded.notices:
        note(notice)
    return loaded


def _as_event(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"event": "sample", **row}


def _print_heading(sample: int, count: int) -> None:
    if count > 1:
        say(f"--- sample {sample + 1} of {count} ---")


def _print_stream(loaded: "LoadedRun") -> None:
    """Print the first sample token by token and each other sample when it is complete."""
    from transformer_playground.generation.samples import Sample
    from transformer_playground.runs.generation import stream_samples

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
