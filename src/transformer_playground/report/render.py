"""Report text: plain text for a terminal and Markdown, with control characters made visible."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from transformer_playground.evaluation.baseline import BaselineResult
from transformer_playground.formatting import (
    UNKNOWN,
    loss_text,
    optional_text,
    percent_text,
    perplexity_text,
    signed_text,
)
from transformer_playground.report.schema import (
    Evaluation,
    History,
    LongestMatch,
    Report,
    TextMeasures,
    Texts,
)
from transformer_playground.tables import (
    Column,
    escape_markdown,
    labelled_columns,
    markdown_table,
    table_lines,
)
from transformer_playground.terminal import visible, visible_line

WIDTH = 80
_SYMBOLS = {"good": "+", "bad": "!", "unclear": "?"}
_EXCERPT_CHARS = 600
_MAX_DUPLICATES = 3
_DUPLICATE_CHARS = 60
_NOVELTY_TITLE = "Novel word n-grams by n (share not in the training text):"


def summary(report: Report) -> str:
    """Plain text of at most 80 columns, except for long names and excerpts."""
    return "\n".join(_summary_lines(report))


def markdown_report(report: Report) -> str:
    """The report as a Markdown document."""
    return "\n".join(_markdown_lines(report)) + "\n"


def _summary_lines(report: Report) -> Iterator[str]:
    yield f"Report on {visible_line(report.run_id)}"
    yield from _wrapped(_subject_line(report))
    yield from ("", "Verdict")
    for verdict in report.verdicts:
        yield from _wrapped(f"  {_SYMBOLS[verdict.level]} {verdict.sentence}.", "    ")
    if not report.verdicts:
        yield "  None: the data it needs is missing, see below."
    yield from ("", "Loss")
    yield from _plain(_losses(report))
    for line in _loss_details(report.evaluation):
        yield from _wrapped(f"  {line}", "    ")
    if report.texts is not None:
        yield from ("", "Texts")
        yield from _wrapped(f"  {_sampling_text(report)}")
        for note in _reference_notes(report.texts):
            yield from _wrapped(f"  {note}")
        yield from _plain(_measures(report.texts))
        novelty = _novelty(report.texts)
        if novelty is not None:
            yield from ("", f"  {_NOVELTY_TITLE}")
            yield from _plain(novelty)
        yield from _summary_excerpts(report.texts)
    if report.missing:
        yield from ("", "Missing")
        for missing in report.missing:
            what = f"  {missing.part}: {missing.reason} {missing.hint}".rstrip()
            yield from _wrapped(visible_line(what), "    ")


def _summary_excerpts(texts: Texts) -> Iterator[str]:
    longest = texts.model.longest_match
    if longest is not None and longest.length:
        yield from ("", f"  {_longest_title(longest)}")
        yield from _indented(longest.text, "    | ")
    duplicates = texts.model.statistics.top_duplicates[:_MAX_DUPLICATES]
    if duplicates:
        yield from ("", "  Duplicate samples:")
        for duplicate in duplicates:
            shown = _shortened(visible_line(duplicate.text), _DUPLICATE_CHARS)
            yield f"    {duplicate.count:,} x  {shown}"


def _markdown_lines(report: Report) -> Iterator[str]:
    yield from (f"# Report on {escape_markdown(report.run_id)}", "")
    yield escape_markdown(_subject_line(report))
    yield ""
    for verdict in report.verdicts:
        yield f"- {escape_markdown(verdict.sentence)}."
    yield from ("", "## Loss", "")
    yield from markdown_table(_losses(report))
    yield ""
    for line in _loss_details(report.evaluation):
        yield f"- {line}"
    if report.texts is not None:
        yield from ("", "## Texts", "")
        yield escape_markdown(_sampling_text(report))
        yield from _reference_notes(report.texts)
        yield ""
        yield from markdown_table(_measures(report.texts))
        novelty = _novelty(report.texts)
        if novelty is not None:
            yield from ("", _NOVELTY_TITLE, "")
            yield from markdown_table(novelty)
        yield from _markdown_excerpts(report.texts)
    if report.missing:
        yield from ("", "## Missing", "")
        for missing in report.missing:
            yield escape_markdown(f"- {missing.part}: {missing.reason} {missing.hint}".rstrip())


def _markdown_excerpts(texts: Texts) -> Iterator[str]:
    longest = texts.model.longest_match
    if longest is not None and longest.length:
        yield from ("", _longest_title(longest), "")
        yield from _indented(longest.text, "    ")
    if texts.examples:
        yield from ("", "The first samples:")
        for example in texts.examples:
            yield ""
            yield from _indented(example, "    ")
            yield ""
            # Separates two indented blocks.
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


def _losses(report: Report) -> list[Column]:
    evaluation = report.evaluation
    windows, full = evaluation.windows, evaluation.full_validation
    losses: list[tuple[str, float, float, str]] = []
    if windows is not None:
        source = "" if windows.source == "evaluated" else ", recorded"
        train, val = f"train, fixed windows{source}", f"validation, fixed windows{source}"
        bits = _digits(windows.val_bits_per_byte)
        losses.append((train, windows.train_loss, windows.train_perplexity, ""))
        losses.append((val, windows.val_loss, windows.val_perplexity, bits))
    if full is not None:
        part = "whole split" if full.share == 1 else f"{percent_text(full.share)} of the split"
        bits = _digits(full.bits_per_byte)
        losses.append((f"validation, {part}", full.loss, full.perplexity, bits))
    rows = [
        (label, loss_text(loss), perplexity_text(perplexity), bits)
        for label, loss, perplexity, bits in losses
    ]
    rows.append(("uniform guess", loss_text(evaluation.uniform_loss), "", ""))
    return labelled_columns(("", "nats/token", "perplexity", "bits/byte"), rows)


def _loss_details(evaluation: Evaluation) -> Iterator[str]:
    windows = evaluation.windows
    if windows is not None:
        yield "Fixed windows: the same random windows at each evaluation of the training."
        gap = signed_text(windows.generalisation_gap, loss_text)
        yield f"Gap, validation - train on fixed windows: {gap}"
    if evaluation.history is not None:
        yield from _history(evaluation.history)
    if evaluation.ngram is not None:
        yield _ngram(evaluation.ngram)


def _ngram(result: BaselineResult) -> str:
    name = f"a {result.order}-gram of the training text"
    loss = f"({loss_text(result.loss)}, whole validation split)"
    if result.beaten_at is None:
        return f"No evaluation in training beats {name} {loss}"
    return f"Beats {name} at step {result.beaten_at:,} {loss}"


def _history(history: History) -> Iterator[str]:
    plural = "" if history.evaluations == 1 else "s"
    yield (
        f"Lowest validation loss of {history.evaluations:,} evaluation{plural} in training: "
        f"{loss_text(history.best_val_loss)} at step {history.best_step:,}"
    )
    if history.checkpoint_val_rise is not None:
        rise = signed_text(history.checkpoint_val_rise, loss_text)
        yield f"Rise since then, this checkpoint: {rise}"
    yield (
        f"Rise since then, newest evaluation (step {history.newest_step:,}): "
        f"{signed_text(history.newest_val_rise, loss_text)}"
    )


def _sampling_text(report: Report) -> str:
    sampling = report.sampling
    if sampling is None:
        return ""
    filters = [f"temperature {sampling.temperature:g}"]
    filters += [f"top-k {sampling.top_k}"] if sampling.top_k else []
    filters += [f"top-p {sampling.top_p:g}"] if sampling.top_p < 1 else []
    filters.append(f"seed {sampling.seed}")
    prompt = f"prompt {_shortened(visible_line(sampling.prompt), 40)!r}"
    return visible_line(
        f"{sampling.n_samples:,} samples of up to {sampling.max_new_tokens:,} tokens, "
        f"{'no prompt' if sampling.unconditional else prompt}; {', '.join(filters)}."
    )


def _reference_notes(texts: Texts) -> Iterator[str]:
    reference = texts.reference
    if reference is None:
        return
    if reference.unit == "lines":
        yield "Compared with as many lines of the validation text (real)."
    else:
        yield "Compared with as many passages of the validation text, of the same lengths (real)."
    if reference.pieces_overlap:
        yield "The validation text is shorter than all samples together, so real passages overlap."
    if reference.train_share < 1:
        yield (
            f"Only the first {percent_text(reference.train_share)} of the training text "
            f"({reference.train_chars:,} characters) was searched."
        )


def _measures(texts: Texts) -> list[Column]:
    real = texts.validation
    columns = [_column(texts.model)] + ([_column(real)] if real else [])
    header = ("", "model", "real") if real else ("", "model")
    rows = tuple(
        (label, *(column[label] for column in columns))
        for label in columns[0]
        if any(column[label] != UNKNOWN for column in columns)
    )
    return labelled_columns(header, rows)


def _column(measures: TextMeasures) -> Mapping[str, str]:
    statistics, exact, longest = measures.statistics, measures.exact_match, measures.longest_match
    return {
        "non-empty": _percent(statistics.non_empty_ratio),
        "distinct samples": _percent(statistics.unique_ratio),
        "verbatim in the training text": _percent(exact.train if exact else None),
        "verbatim in the validation text": _percent(exact.val if exact else None),
        "verbatim in either": _percent(exact.either if exact else None),
        "in neither (novel)": _percent(exact.novel if exact else None),
        "longest match in training, characters": optional_text(
            longest.length if longest else None, "{:,}".format, UNKNOWN
        ),
        "  mean over the samples, characters": _mean(longest.mean_length if longest else None),
        "  mean share of a sample": _percent(longest.mean_share if longest else None),
        "distinct words (distinct-1)": _digits(statistics.distinct_1),
        "distinct word pairs (distinct-2)": _digits(statistics.distinct_2),
        "repeated 4-word sequences (seq-rep-4)": _percent(statistics.seq_rep_4),
        "Zipf coefficient": _digits(statistics.zipf_coefficient),
        "mean length, characters": _mean(statistics.avg_chars),
        "mean length, words": _mean(statistics.avg_words),
    }


def _novelty(texts: Texts) -> list[Column] | None:
    model = texts.model.ngram_novelty
    if model is None:
        return None
    real = texts.validation.ngram_novelty if texts.validation else None
    rows = [("model", *map(_percent, model.values()))]
    if real is not None:
        rows.append(("real", *(_percent(real.get(size)) for size in model)))
    return labelled_columns(("", *model), rows)


def _plain(columns: Sequence[Column]) -> Iterator[str]:
    return (f"  {line}".rstrip() for line in table_lines(columns))


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
    for line in visible(_shortened(text, _EXCERPT_CHARS)).split("\n"):
        yield from (f"{indent}{part}" for part in textwrap.wrap(line, WIDTH - len(indent)) or [""])


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _longest_title(longest: LongestMatch) -> str:
    unit = "character" if longest.length == 1 else "characters"
    return f"Longest match in the training text ({longest.length:,} {unit}):"


def _percent(value: float | None) -> str:
    return optional_text(value, percent_text, UNKNOWN)


def _digits(value: float | None) -> str:
    return optional_text(value, loss_text, UNKNOWN)


def _mean(value: float | None) -> str:
    return optional_text(value, "{:,.1f}".format, UNKNOWN)
