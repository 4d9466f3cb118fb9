"""A report for people: as plain text for a terminal, and as Markdown for a document.

All control characters of untrusted text are made visible here, in Markdown too.
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from transformer_playground.analysis.report_parts import (
    Evaluation,
    History,
    LongestMatch,
    Report,
    TextMeasures,
    Texts,
)
from transformer_playground.terminal import visible, visible_line

WIDTH = 80
NOTHING = "–"
_MARKS = {"good": "+", "bad": "!", "unclear": "?"}
_EXCERPT = 600
_DUPLICATES = 3
_DUPLICATE_CHARS = 60
_LABEL, _NUMBER, _GRAM = 42, 12, 6


@dataclass(frozen=True)
class _Table:
    """Rows of cells: a label, then numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def summary(report: Report) -> str:
    """The report as lines of at most 80 columns, but for long names and excerpts."""
    return "\n".join(_summary_lines(report))


def markdown_report(report: Report) -> str:
    """The report as a Markdown document."""
    return "\n".join(_markdown_lines(report)) + "\n"


def _summary_lines(report: Report) -> Iterator[str]:
    yield f"Report on {visible_line(report.run_id)}"
    yield from _wrapped(_subject_line(report))
    yield ""
    yield "Verdict"
    for verdict in report.verdicts:
        yield from _wrapped(f"  {_MARKS[verdict.level]} {verdict.sentence}.", "    ")
    if not report.verdicts:
        yield "  Too little is known for one: see what is missing below."
    yield ""
    yield "Loss"
    yield from _plain(_losses(report))
    for line in _course(report.evaluation):
        yield from _wrapped(f"  {line}", "    ")
    if report.texts is not None:
        yield ""
        yield "Texts"
        yield from _wrapped(f"  {_how_drawn(report)}")
        for remark in _remarks(report.texts):
            yield from _wrapped(f"  {remark}")
        yield from _plain(_measures(report.texts))
        novelty = _novelty(report.texts)
        if novelty is not None:
            yield ""
            yield "  New word n-grams, by number of words (share not in the training text):"
            yield from _plain(novelty, _GRAM, label=12)
        yield from _summary_excerpts(report.texts)
    if report.missing:
        yield ""
        yield "Missing"
        for missing in report.missing:
            what = f"  {missing.part}: {missing.reason} {missing.hint}".rstrip()
            yield from _wrapped(visible_line(what), "    ")


def _summary_excerpts(texts: Texts) -> Iterator[str]:
    longest = texts.model.longest_match
    if longest is not None and longest.length:
        yield ""
        yield f"  {_longest_title(longest)}"
        yield from _indented(longest.text, "    | ")
    duplicates = texts.model.statistics.top_duplicates[:_DUPLICATES]
    if duplicates:
        yield ""
        yield "  Samples that came more than once:"
        for duplicate in duplicates:
            shown = _shortened(visible_line(duplicate.text), _DUPLICATE_CHARS)
            yield f"    {duplicate.count:,} x  {shown}"


def _markdown_lines(report: Report) -> Iterator[str]:
    yield f"# Report on {_escaped(report.run_id)}"
    yield ""
    yield _escaped(_subject_line(report))
    yield ""
    for verdict in report.verdicts:
        yield f"- {_escaped(verdict.sentence)}."
    yield ""
    yield "## Loss"
    yield ""
    yield from _pipes(_losses(report))
    yield ""
    for line in _course(report.evaluation):
        yield f"- {line}"
    if report.texts is not None:
        yield ""
        yield "## Texts"
        yield ""
        yield _escaped(_how_drawn(report))
        yield from _remarks(report.texts)
        yield ""
        yield from _pipes(_measures(report.texts))
        novelty = _novelty(report.texts)
        if novelty is not None:
            yield ""
            yield "New word n-grams, by number of words (share not in the training text):"
            yield ""
            yield from _pipes(novelty)
        yield from _markdown_excerpts(report.texts)
    if report.missing:
        yield ""
        yield "## Missing"
        yield ""
        for missing in report.missing:
            yield _escaped(f"- {missing.part}: {missing.reason} {missing.hint}".rstrip())


def _markdown_excerpts(texts: Texts) -> Iterator[str]:
    longest = texts.model.longest_match
    if longest is not None and longest.length:
        yield ""
        yield _longest_title(longest)
        yield ""
        yield from _indented(longest.text, "    ")
    if texts.examples:
        yield ""
        yield "The first samples:"
        for example in texts.examples:
            yield ""
            yield from _indented(example, "    ")
            yield ""
            # Two indented blocks in a row would be one.
            yield "<!-- -->"


def _subject_line(report: Report) -> str:
    parts = [f"checkpoint {report.checkpoint.file} (step {report.checkpoint.step:,})"]
    if report.experiment is not None:
        parts.append(f"experiment {report.experiment}")
    if report.dataset is not None and not report.dataset.is_checked:
        parts.append("dataset not checked: the run recorded no fingerprint")
    if report.kind == "quick":
        parts.append("a quick report; tp report makes a full one")
    return visible_line("; ".join(parts))


def _losses(report: Report) -> _Table:
    evaluation = report.evaluation
    windows, full = evaluation.windows, evaluation.full_validation
    rows: list[tuple[str, ...]] = []
    if windows is not None:
        source = "" if windows.source == "evaluated" else ", recorded"
        rows += [
            (
                f"train, fixed windows{source}",
                f"{windows.train_loss:.4f}",
                _perplexity(windows.train_perplexity),
                "",
            ),
            (
                f"validation, fixed windows{source}",
                f"{windows.val_loss:.4f}",
                _perplexity(windows.val_perplexity),
                _digits(windows.val_bits_per_byte),
            ),
        ]
    if full is not None:
        part = "whole split" if full.share == 1 else f"{_percent(full.share)} of the split"
        rows.append(
            (
                f"validation, {part}",
                f"{full.loss:.4f}",
                _perplexity(full.perplexity),
                _digits(full.bits_per_byte),
            )
        )
    rows.append(("guessing uniformly", f"{evaluation.uniform_loss:.4f}", "", ""))
    return _Table(("", "nats/token", "perplexity", "bits/byte"), tuple(rows))


def _course(evaluation: Evaluation) -> Iterator[str]:
    windows = evaluation.windows
    if windows is not None:
        yield "Fixed windows: the same random places of a split at each evaluation in training."
        yield f"Gap, validation minus train on fixed windows: {windows.generalisation_gap:+.4f}"
    if evaluation.history is not None:
        yield from _history(evaluation.history)


def _history(history: History) -> Iterator[str]:
    yield (
        f"Lowest validation loss of {_evaluations(history.evaluations)} in training: "
        f"{history.best_val_loss:.4f} at step {history.best_step:,}"
    )
    if history.checkpoint_val_rise is not None:
        yield f"Rise from there, this checkpoint: {history.checkpoint_val_rise:+.4f}"
    yield (
        f"Rise from there, newest evaluation (step {history.newest_step:,}): "
        f"{history.newest_val_rise:+.4f}"
    )


def _how_drawn(report: Report) -> str:
    sampling = report.sampling
    if sampling is None:
        return ""
    filters = [f"temperature {sampling.temperature:g}"]
    filters += [f"top-k {sampling.top_k}"] if sampling.top_k else []
    filters += [f"top-p {sampling.top_p:g}"] if sampling.top_p < 1 else []
    filters.append(f"seed {sampling.seed}")
    beginning = (
        "begun as documents begin"
        if sampling.unconditional
        else f"going on from {_shortened(visible_line(sampling.prompt), 40)!r}"
    )
    return visible_line(
        f"{sampling.n_samples:,} samples of up to {sampling.max_new_tokens:,} tokens, "
        f"{beginning}; {', '.join(filters)}."
    )


def _remarks(texts: Texts) -> Iterator[str]:
    reference = texts.reference
    if reference is None:
        return
    if reference.unit == "lines":
        yield "Beside them as many lines of the validation text (real)."
    else:
        yield "Beside them as many passages of the validation text, of the same lengths (real)."
    if reference.pieces_overlap:
        yield "The validation text is shorter than all samples together: real passages overlap."
    if reference.train_share < 1:
        yield (
            f"Only the first {_percent(reference.train_share)} of the training text "
            f"({reference.train_chars:,} characters) was searched."
        )


def _measures(texts: Texts) -> _Table:
    real = texts.validation
    columns = [_column(texts.model)] + ([_column(real)] if real else [])
    header = ("", "model", "real") if real else ("", "model")
    rows = tuple(
        (label, *(column[label] for column in columns))
        for label in columns[0]
        if any(column[label] != NOTHING for column in columns)
    )
    return _Table(header, rows)


def _column(measures: TextMeasures) -> Mapping[str, str]:
    statistics, exact, longest = (
        measures.statistics,
        measures.exact_match,
        measures.longest_match,
    )
    return {
        "not empty": _share(statistics.non_empty_ratio),
        "distinct samples": _share(statistics.unique_ratio),
        "whole in the training text": _share(exact.train if exact else None),
        "whole in the validation text": _share(exact.val if exact else None),
        "whole in either": _share(exact.either if exact else None),
        "in neither (novel)": _share(exact.novel if exact else None),
        "longest passage from training, characters": f"{longest.length:,}" if longest else NOTHING,
        "  mean over the samples, characters": f"{longest.mean_length:,.1f}"
        if longest
        else NOTHING,
        "  mean share of a sample": _share(longest.mean_share if longest else None),
        "distinct words (distinct-1)": _digits(statistics.distinct_1),
        "distinct word pairs (distinct-2)": _digits(statistics.distinct_2),
        "repeated 4-word sequences (seq-rep-4)": _share(statistics.seq_rep_4),
        "Zipf coefficient": _digits(statistics.zipf_coefficient),
        "mean length, characters": _mean(statistics.avg_chars),
        "mean length, words": _mean(statistics.avg_words),
    }


def _novelty(texts: Texts) -> _Table | None:
    model = texts.model.ngram_novelty
    if model is None:
        return None
    real = texts.validation.ngram_novelty if texts.validation else None
    rows = [("model", *(_whole_percent(share) for share in model.values()))]
    if real is not None:
        rows.append(("real", *(_whole_percent(real.get(size)) for size in model)))
    return _Table(("", *model), tuple(rows))


def _plain(table: _Table, width: int = _NUMBER, *, label: int = _LABEL) -> Iterator[str]:
    for row in (table.header, *table.rows):
        cells = "".join(cell.rjust(width) for cell in row[1:])
        yield f"  {row[0].ljust(label)}{cells}".rstrip()


def _pipes(table: _Table) -> Iterator[str]:
    yield f"| {' | '.join(table.header)} |"
    yield f"|{'---|' + '---:|' * (len(table.header) - 1)}"
    for row in table.rows:
        yield f"| {' | '.join(cell.strip() for cell in row)} |"


def _wrapped(text: str, indent: str | None = None) -> Iterator[str]:
    bare = visible(text).lstrip()
    own = " " * (len(text) - len(text.lstrip()))
    yield from textwrap.wrap(
        bare,
        WIDTH,
        initial_indent=own,
        subsequent_indent=own if indent is None else indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indented(text: str, indent: str) -> Iterator[str]:
    for line in visible(_shortened(text, _EXCERPT)).split("\n"):
        yield from (f"{indent}{part}" for part in textwrap.wrap(line, WIDTH - len(indent)) or [""])


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _escaped(text: str) -> str:
    """Untrusted text as one line of Markdown that is nothing but text."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#&!~" else char for char in visible_line(text))


def _longest_title(longest: LongestMatch) -> str:
    unit = "character" if longest.length == 1 else "characters"
    return f"Longest passage that is in the training text, too ({longest.length:,} {unit}):"


def _perplexity(value: float) -> str:
    return f"{value:,.3f}" if value < 1e6 else f"{value:.2e}"


def _digits(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _mean(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f} %"


def _whole_percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _evaluations(count: int) -> str:
    return "1 evaluation" if count == 1 else f"{count:,} evaluations"
