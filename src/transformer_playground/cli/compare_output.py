"""Comparison output on standard output: for a terminal, as Markdown, as CSV."""

import shutil
import sys
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transformer_playground.cli.output import is_terminal, note, print_table, say
from transformer_playground.comparison.compare import Comparison
from transformer_playground.comparison.compared_run import SampleResult
from transformer_playground.comparison.render import (
    FEW_COLUMNS,
    csv_text,
    markdown_lines,
    result_title,
    spec_text,
    text_table,
)
from transformer_playground.runs.generation_request import SampleSpec
from transformer_playground.tables import split_columns
from transformer_playground.terminal import visible, visible_line

_COLUMN_OF_TEXT = 50


def print_comparison(comparison: Comparison) -> None:
    """The table and its remarks; cut to the terminal's width, whole when piped."""
    labels = [column.label for column in comparison.columns]
    if not is_terminal():
        print_table(text_table(comparison, labels, shorten=False))
    else:
        _print_within(comparison, labels, shutil.get_terminal_size().columns)
    if comparison.notes:
        say("")
    for remark in comparison.notes:
        _say_sentence(remark)


def print_results(spec: SampleSpec, results: Sequence[SampleResult]) -> None:
    """What each run wrote: side by side where the terminal is wide enough, else one by one."""
    say("")
    _say_sentence(spec_text(spec))
    width = shutil.get_terminal_size().columns
    if is_terminal() and len(results) * _COLUMN_OF_TEXT <= width:
        _print_side_by_side(results, width)
        return
    for each in results:
        say(f"\n=== {result_title(each)} ===")
        if each.problem is not None:
            say(each.problem)
        for number, text in enumerate(each.texts, start=1):
            say(f"--- sample {number} of {len(each.texts)} ---")
            say(f"{each.prompt}{text}")


def print_markdown(
    comparison: Comparison, spec: SampleSpec | None, results: Sequence[SampleResult]
) -> None:
    """The table, the remarks and the samples as GitHub-flavoured Markdown."""
    for part in markdown_lines(comparison, spec, results):
        say(part)


def print_csv(comparison: Comparison) -> None:
    """One row for each run at full precision; remarks go to standard error."""
    sys.stdout.write(csv_text(comparison))
    sys.stdout.flush()
    for remark in comparison.notes:
        note(visible_line(remark))


def _print_within(comparison: Comparison, labels: list[str], width: int) -> None:
    pieces = split_columns(text_table(comparison, labels, shorten=True), width)
    if len(pieces) > 1 or len(labels) > FEW_COLUMNS:
        # Run ids are long: numbers in their place leave room for what they are compared by.
        numbers = [f"[{number}]" for number in range(1, len(labels) + 1)]
        for number, label in zip(numbers, labels, strict=True):
            say(visible_line(f"{number} {label}"))
        say("")
        pieces = split_columns(text_table(comparison, numbers, shorten=True), width)
    for index, piece in enumerate(pieces):
        if index:
            say("")
        print_table(piece)


def _say_sentence(sentence: str) -> None:
    """Print untrusted text on one line, or broken between words where a person reads it."""
    line = visible_line(sentence)
    if is_terminal():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    say(line)


def _print_side_by_side(results: Sequence[SampleResult], width: int) -> None:
    for index in range(max(len(each.texts) for each in results) or 1):
        table = Table(box=None, pad_edge=False, expand=True, padding=(0, 2, 0, 0), header_style="")
        for each in results:
            table.add_column(Text(visible_line(result_title(each))), ratio=1, overflow="fold")
        table.add_row(*(Text(visible(_result(each, index))) for each in results))
        console = Console(highlight=False, width=width)
        with console.capture() as printed:
            console.print(table)
        say("\n" + "\n".join(line.rstrip() for line in printed.get().splitlines()))


def _result(each: SampleResult, index: int) -> str:
    if each.problem is not None:
        return each.problem if index == 0 else ""
    return each.prompt + each.texts[index] if index < len(each.texts) else ""
