"""A comparison on standard output: for a terminal, as Markdown, as CSV."""

import csv
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transformer_playground.analysis.compare import Comparison
from transformer_playground.analysis.comparison_document import records
from transformer_playground.analysis.comparison_sampling import SampleResult
from transformer_playground.cli.comparison_format import FEW_COLUMNS, TextTable, fit, text_table
from transformer_playground.cli.console import is_terminal, note, print_table, say
from transformer_playground.config.toml_text import shortened, toml_value
from transformer_playground.runs.sampling_plan import SampleSpec
from transformer_playground.terminal import visible, visible_line

_COLUMN_OF_TEXT = 50
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"[\\|<>&`*\[\]~]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


def print_comparison(comparison: Comparison) -> None:
    """The table and its remarks; cut to the terminal's width, whole when piped."""
    labels = [column.label for column in comparison.columns]
    if not is_terminal():
        _print(text_table(comparison, labels, shorten=False))
    else:
        _print_within(comparison, labels, shutil.get_terminal_size().columns)
    if comparison.remarks:
        say("")
    for remark in comparison.remarks:
        _say_sentence(remark)


def print_answers(question: SampleSpec, answers: Sequence[SampleResult]) -> None:
    """What each run wrote: side by side where the terminal is wide enough, else one by one."""
    say("")
    _say_sentence(_headline(question))
    width = shutil.get_terminal_size().columns
    if is_terminal() and len(answers) * _COLUMN_OF_TEXT <= width:
        _print_side_by_side(answers, width)
        return
    for each in answers:
        say(f"\n=== {_title(each)} ===")
        if each.problem is not None:
            say(each.problem)
        for number, text in enumerate(each.texts, start=1):
            say(f"--- sample {number} of {len(each.texts)} ---")
            say(f"{each.prompt}{text}")


def print_markdown(
    comparison: Comparison, question: SampleSpec | None, answers: Sequence[SampleResult]
) -> None:
    """The table, the remarks and the samples as GitHub-flavoured Markdown."""
    for part in _markdown_parts(comparison, question, answers):
        say(part)


def markdown_text(comparison: Comparison) -> str:
    """What `print_markdown` prints of a comparison without samples."""
    return "".join(f"{part}\n" for part in _markdown_parts(comparison, None, ()))


def print_csv(comparison: Comparison) -> None:
    """One row for each run at full precision; remarks go to standard error."""
    sys.stdout.write(csv_text(comparison))
    sys.stdout.flush()
    for remark in comparison.remarks:
        note(visible_line(remark))


def csv_text(comparison: Comparison) -> str:
    """One row for each run at full precision, below a row of names."""
    rows = records(comparison)
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([_csv_cell(key) for key in rows[0]])
    writer.writerows([_csv_cell(value) for value in row.values()] for row in rows)
    return written.getvalue()


def escape_markdown(text: str) -> str:
    """One line of text that Markdown shows as it is, inside a table too."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", visible_line(text))


def _markdown_parts(
    comparison: Comparison, question: SampleSpec | None, answers: Sequence[SampleResult]
) -> Iterator[str]:
    labels = [column.label for column in comparison.columns]
    table = text_table(comparison, labels, shorten=False)
    yield _markdown_row(table.header)
    yield _markdown_row([":--", *["--:"] * (len(table.header) - 1)], escape=False)
    for row in table.rows:
        yield _markdown_row([row[0].strip(), *row[1:]])
    if comparison.remarks:
        yield ""
    for remark in comparison.remarks:
        yield f"- {escape_markdown(remark)}"
    if question is not None:
        yield f"\n{escape_markdown(_headline(question))}"
    for each in answers:
        yield f"\n### {escape_markdown(_title(each))}"
        if each.problem is not None:
            yield f"\n{escape_markdown(each.problem)}"
        for text in each.texts:
            yield f"\n{_fenced(each.prompt + text)}"


def _print_within(comparison: Comparison, labels: list[str], width: int) -> None:
    pieces = fit(text_table(comparison, labels, shorten=True), width)
    if len(pieces) > 1 or len(labels) > FEW_COLUMNS:
        # Run ids are long: numbers in their place leave room for what they are compared by.
        numbers = [f"[{number}]" for number in range(1, len(labels) + 1)]
        for number, label in zip(numbers, labels, strict=True):
            say(visible_line(f"{number} {label}"))
        say("")
        pieces = fit(text_table(comparison, numbers, shorten=True), width)
    for index, piece in enumerate(pieces):
        if index:
            say("")
        _print(piece)


def _print(table: TextTable) -> None:
    print_table(table.header, table.rows, numbers=len(table.header) - 1)


def _say_sentence(sentence: str) -> None:
    """Print untrusted text on one line, or broken between words where a person reads it."""
    line = visible_line(sentence)
    if is_terminal():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    say(line)


def _print_side_by_side(answers: Sequence[SampleResult], width: int) -> None:
    for index in range(max(len(each.texts) for each in answers) or 1):
        table = Table(box=None, pad_edge=False, expand=True, padding=(0, 2, 0, 0), header_style="")
        for each in answers:
            table.add_column(Text(visible_line(_title(each))), ratio=1, overflow="fold")
        table.add_row(*(Text(visible(_answer(each, index))) for each in answers))
        console = Console(highlight=False, width=width)
        with console.capture() as printed:
            console.print(table)
        say("\n" + "\n".join(line.rstrip() for line in printed.get().splitlines()))


def _answer(each: SampleResult, index: int) -> str:
    if each.problem is not None:
        return each.problem if index == 0 else ""
    return each.prompt + each.texts[index] if index < len(each.texts) else ""


def _title(each: SampleResult) -> str:
    if each.step is None:
        return each.run_id
    return f"{each.run_id} ({each.checkpoint}, step {each.step:,})"


def _headline(question: SampleSpec) -> str:
    decoding = question.settings.sample
    stated = decoding.start if question.prompt is None else question.prompt
    start = "no prompt" if decoding.unconditional else f"prompt {shortened(toml_value(stated))}"
    knobs = (
        f"temperature {decoding.temperature:g}, top-k {decoding.top_k}, top-p {decoding.top_p:g}"
    )
    return (
        f"Samples: {start}, seed {question.settings.runtime.seed}, {knobs}, up to "
        f"{decoding.max_new_tokens:,} tokens; what the command leaves out is as "
        f"{question.settings_from} has it."
    )


def _markdown_row(cells: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(map(escape_markdown, cells) if escape else cells)} |"


def _fenced(text: str) -> str:
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def _csv_cell(value: Any) -> Any:
    """A number as it is; text that no spreadsheet takes for a formula and no terminal obeys."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    text = value if isinstance(value, str) else toml_value(value)
    guarded = f"'{text}" if text.startswith(_FORMULA) else text
    return visible_line(guarded)
