"""`tp compare`."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.checkpoints.discovery import scan_folder, skipped_notice
from transformer_playground.cli.options import (
    RUN_HELP,
    AsJson,
    ExperimentsDir,
    RunsDir,
    read_stdin_prompt,
    sample_options,
)
from transformer_playground.cli.output import is_terminal, note, print_table, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.finding import find_runs
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.generation_request import (
    SampleRequest,
    SampleSpec,
    resolve_request,
)
from transformer_playground.tables import split_columns
from transformer_playground.terminal import visible, visible_line

if TYPE_CHECKING:
    from transformer_playground.comparison.compare import Comparison
    from transformer_playground.comparison.compared_run import ComparedRun, SampleResult

_SAMPLES = 3
_SAMPLE_WIDTH = 50


@sample_options(
    n_samples=typer.Option(
        "--n-samples",
        metavar="N",
        min=0,
        help="Samples per run; 0 = none. Default: 3 for up to four columns.",
    )
)
def compare(
    run_ids: Annotated[
        list[str],
        typer.Option(
            "--run-ids",
            metavar="A,B[,C…]",
            help=f"{RUN_HELP} Comma-separated or repeated.",
        ),
    ],
    request: SampleRequest,
    all_settings: Annotated[
        bool, typer.Option("--all", help="Show every setting, not only those that differ.")
    ] = False,
    no_group: Annotated[
        bool, typer.Option("--no-group", help="Do not average runs that differ only in their seed.")
    ] = False,
    paired: Annotated[
        bool,
        typer.Option(
            "--paired",
            help="Evaluate single runs on every window of the validation split, to test whether "
            "they differ. Losses are kept in the run folder.",
        ),
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    json_output: AsJson = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="Print CSV, one row per run.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Compare runs: a leaderboard, a verdict, and samples.

    The verdict tests the lowest validation loss: by Welch's t-test over seeds, or by windows of the
    validation split for single runs.

    Sampling options default to the saved config of the first run and apply to all runs.
    """
    if json_output + csv_output + markdown > 1:
        raise UsageError("--json, --csv and --markdown are mutually exclusive.", "Choose one.")
    _reject_ineffective(request, csv_output=csv_output)
    folders = find_runs(runs_dir, ",".join(run_ids))
    # Late, so that other commands start without it.
    from transformer_playground.comparison.compare import compare_runs, read_runs
    from transformer_playground.comparison.render import as_document, markdown_lines

    runs = read_runs(folders)
    if paired:
        runs = _measure(runs, folders, experiments_dir)
    comparison = compare_runs(runs, group=not no_group, all_settings=all_settings)
    if csv_output:
        _print_csv(comparison)
        return
    spec = None
    if _should_sample(request, comparison, folders):
        request = replace(request, n_samples=request.n_samples or _SAMPLES)
        spec = resolve_request(folders[0], read_stdin_prompt(request))
    if not (json_output or markdown):
        _print_comparison(comparison)
    results = _draw(comparison, folders, spec) if spec is not None else []
    if json_output:
        say_json(as_document(comparison, spec, results))
    elif markdown:
        for part in markdown_lines(comparison, spec, results):
            say(part)
    elif spec is not None:
        _print_results(spec, results)


def _measure(
    runs: list["ComparedRun"], folders: Sequence[RunFolder], experiments_dir: Path
) -> list["ComparedRun"]:
    """Measure the windows that single runs are compared by; problems become notes."""
    from transformer_playground.comparison.windows import with_windows

    found, problems = with_windows(
        runs, folders, experiments_dir, progress=lambda text: note(visible_line(text))
    )
    for problem in problems:
        note(visible_line(problem))
    return found


def _has_sampling_options(request: SampleRequest) -> bool:
    """Whether any sampling option but `--n-samples` is given."""
    return replace(request, n_samples=None) != SampleRequest(environ=request.environ)


def _reject_ineffective(request: SampleRequest, *, csv_output: bool) -> None:
    if csv_output and (request.n_samples or _has_sampling_options(request)):
        raise UsageError(
            "CSV output cannot contain samples.", "Leave out the sampling options, or --csv."
        )
    if request.n_samples == 0 and _has_sampling_options(request):
        raise UsageError(
            "--n-samples 0 draws nothing, so other sampling options have no effect.",
            "Leave them out, or raise --n-samples.",
        )


def _should_sample(
    request: SampleRequest, comparison: "Comparison", folders: Sequence[RunFolder]
) -> bool:
    """Whether to draw samples; without sampling options, prints the reason if not."""
    from transformer_playground.comparison.render import FEW_COLUMNS

    if request.n_samples is not None or _has_sampling_options(request):
        return request.n_samples != 0
    if len(comparison.columns) > FEW_COLUMNS:
        note(f"To sample from more than {FEW_COLUMNS} columns, add --n-samples {_SAMPLES}.")
        return False
    if not any(scan_folder(folder.checkpoints).files for folder in folders):
        note("None of these runs has a checkpoint, so there are no samples.")
        return False
    return True


def _draw(
    comparison: "Comparison", folders: Sequence[RunFolder], spec: SampleSpec
) -> list["SampleResult"]:
    """Draw samples from the best run of each column."""
    from transformer_playground.comparison.compared_run import draw_samples

    by_id = {folder.run_id: folder for folder in folders}
    results = []
    for column in comparison.columns:
        run = by_id[column.best_run.run_id]
        group = f", the best of {column.label}" if len(column.runs) > 1 else ""
        note(visible_line(f"sampling from {run.run_id}{group}"))
        results.append(draw_samples(run, spec))
        for skipped in results[-1].skipped:
            note(visible_line(skipped_notice(skipped)))
        for notice in results[-1].notices:
            note(visible_line(notice))
    return results


def _print_comparison(comparison: "Comparison") -> None:
    """Print verdict, tables and notes, cut to the terminal's width or whole if piped."""
    from transformer_playground.comparison.leaderboard import sentence
    from transformer_playground.comparison.render import text_tables

    _print_sentence(sentence(comparison, hint="test it with --paired"))
    if is_terminal():
        _print_fitted(comparison, shutil.get_terminal_size().columns)
    else:
        for table in text_tables(comparison, shorten=False):
            say("")
            print_table(table)
    if comparison.notes:
        say("")
    for note_text in comparison.notes:
        _print_sentence(note_text)


def _print_fitted(comparison: "Comparison", width: int) -> None:
    from transformer_playground.comparison.render import FEW_COLUMNS, numbers_of, text_tables

    columns = comparison.columns
    found = text_tables(comparison, shorten=True)
    pieces = [split_columns(table, width) for table in found]
    if any(len(each) > 1 for each in pieces) or len(columns) > FEW_COLUMNS:
        # Run ids are long: numbers as headers leave more width for the values.
        say("")
        for column, number in zip(columns, numbers_of(comparison).values(), strict=True):
            say(visible_line(f"{number} {column.label}"))
        found = text_tables(comparison, shorten=True, numbered=True)
        pieces = [split_columns(table, width) for table in found]
    for piece in (piece for each in pieces for piece in each):
        say("")
        print_table(piece)


def _print_csv(comparison: "Comparison") -> None:
    """Print one row per run at full precision; verdict and notes go to standard error."""
    from transformer_playground.comparison.leaderboard import sentence
    from transformer_playground.comparison.render import csv_text

    sys.stdout.write(csv_text(comparison))
    sys.stdout.flush()
    for text in (sentence(comparison), *comparison.notes):
        note(visible_line(text))


def _print_results(spec: SampleSpec, results: Sequence["SampleResult"]) -> None:
    """Print the samples, side by side where the terminal is wide enough."""
    from transformer_playground.comparison.render import result_title, spec_text

    say("")
    _print_sentence(spec_text(spec))
    width = shutil.get_terminal_size().columns
    if is_terminal() and len(results) * _SAMPLE_WIDTH <= width:
        _print_side_by_side(results, width)
        return
    for result in results:
        say(f"\n=== {result_title(result)} ===")
        if result.problem is not None:
            say(result.problem)
        for number, text in enumerate(result.texts, start=1):
            say(f"--- sample {number} of {len(result.texts)} ---")
            say(f"{result.prompt}{text}")


def _print_side_by_side(results: Sequence["SampleResult"], width: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from transformer_playground.comparison.render import result_title

    for index in range(max(len(result.texts) for result in results) or 1):
        table = Table(box=None, pad_edge=False, expand=True, padding=(0, 2, 0, 0), header_style="")
        for result in results:
            table.add_column(Text(visible_line(result_title(result))), ratio=1, overflow="fold")
        table.add_row(*(Text(visible(_cell(result, index))) for result in results))
        console = Console(highlight=False, width=width)
        with console.capture() as printed:
            console.print(table)
        say("\n" + "\n".join(line.rstrip() for line in printed.get().splitlines()))


def _cell(result: "SampleResult", index: int) -> str:
    if result.problem is not None:
        return result.problem if index == 0 else ""
    return result.prompt + result.texts[index] if index < len(result.texts) else ""


def _print_sentence(sentence: str) -> None:
    """Print untrusted text on one line; at a terminal, wrapped between words."""
    line = visible_line(sentence)
    if is_terminal():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    say(line)
