"""Completion of the filter of the runs table: fields by name, values by what the runs have."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from transformer_playground.errors import UsageError
from transformer_playground.runs.fields import (
    FIELDS,
    GLYPHS,
    Field,
    Kind,
    RunInfo,
    find_field,
    setting_field,
    setting_keys,
    setting_text,
)
from transformer_playground.runs.naming import endings
from transformer_playground.runs.query import COMPARISON, split_terms
from transformer_playground.tui.shared.completion import Completion

_MOST = 50
_LONGEST_VALUE = 60
# What a filter by a field usually looks like.
_OPERATORS: Mapping[Kind, str] = {
    "text": ":",
    "number": "<",
    "duration": "<",
    "date": ">=",
    "tags": ":",
    "status": ":",
    "setting": "=",
}
_EXAMPLES: Mapping[Kind, str] = {"number": "a number", "duration": "5m, 3d", "date": "2026-01-31"}
_NEEDS_QUOTES = re.compile(r"[\s|\"']")


def unfinished_term(text: str) -> str:
    """The end of a filter that completions replace; empty after a space."""
    quote = _open_quote(text)
    if not text or (text[-1].isspace() and not quote):
        return ""
    last = _last_term(text).removesuffix(quote)
    if quote:
        return last
    return last.rpartition("|")[2].removeprefix("-") if text.endswith(last) else ""


def _open_quote(text: str) -> str:
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
    return quote


def complete_filter(
    text: str, runs: Iterable[RunInfo], saved: Mapping[str, str] | None = None
) -> list[Completion]:
    """Completions of the unfinished term, the best match first.

    Args:
        text: The filter as typed so far.
        runs: All runs, which have the settings and values.
        saved: Name -> filter of those that the user saved; in place of the first term.
    """
    term, rows = unfinished_term(text), list(runs)
    own = _saved(text, saved or {})
    if not term:
        return own
    keys = setting_keys(rows)
    compared = COMPARISON.fullmatch(term)
    # A further value of `status:failed|stopped`.
    is_further = compared is None
    compared = compared or COMPARISON.fullmatch(_last_term(text))
    if compared is None:
        fields = _matching(term, keys)[:_MOST]
        return [*own, *(_field_completion(key, keys) for key in fields)]
    name, operator = compared[1], compared[2]
    start, value = ("", term) if is_further else (name + operator, compared[3])
    value = value.strip("\"'").casefold()
    try:
        field = find_field(name, keys)
    except UsageError:
        return []
    if operator in ("<", "<=", ">", ">="):
        return []
    found = [pair for pair in _values(field, rows) if value in pair[0].casefold()]
    found.sort(key=lambda pair: not pair[0].casefold().startswith(value))
    return [
        Completion(start + _quoted(each), f"{count} runs" if count > 1 else "1 run")
        for each, count in found[:_MOST]
    ]


def _saved(text: str, saved: Mapping[str, str]) -> list[Completion]:
    """Saved filters whose name starts with what is typed, as long as it is one word."""
    typed = text.casefold()
    if " " in typed:
        return []
    return [
        Completion(query, f"saved as {name}", is_whole=True)
        for name, query in sorted(saved.items())
        if name.casefold().startswith(typed)
    ]


def _last_term(text: str) -> str:
    return split_terms(text + _open_quote(text))[-1].removeprefix("-")


def _matching(word: str, settings: Iterable[str]) -> list[str]:
    """Keys that contain the word; those whose last part starts with it come first."""
    wanted = word.casefold()
    found = [key for key in (*FIELDS, *sorted(settings)) if wanted in key.casefold()]
    return sorted(found, key=lambda key: not key.rpartition(".")[2].casefold().startswith(wanted))


def _field_completion(key: str, settings: Collection[str]) -> Completion:
    field = FIELDS.get(key) or setting_field(key)
    name = key if key in FIELDS else _short_name(key, settings)
    note = field.header if field.header != name else ""
    example = _EXAMPLES.get(field.kind, "")
    about = " · ".join(part for part in (note, example) if part)
    return Completion(name + _OPERATORS[field.kind], about, needs_value=True)


def _short_name(key: str, settings: Collection[str]) -> str:
    """The end of a setting's key by which a filter finds it."""
    for ending in endings(key):
        try:
            if find_field(ending, settings).key == key:
                return ending
        except UsageError:
            continue
    return key


def _values(field: Field, rows: Iterable[RunInfo]) -> Iterator[tuple[str, int]]:
    """Values of a field with their number of runs, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(set(_texts(field, row)))
    if field.kind == "status":
        yield from ((state, counts[state]) for state in GLYPHS if counts[state])
        return
    yield from sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _texts(field: Field, row: RunInfo) -> Iterator[str]:
    value = field.value(row, 0.0)
    values = value if isinstance(value, list | tuple) else [value]
    for each in values:
        if isinstance(each, bool) or (
            isinstance(each, int | float) and field.kind in ("setting", "number")
        ):
            yield setting_text(each, is_exact=True)
        elif isinstance(each, str) and 0 < len(each) <= _LONGEST_VALUE:
            yield each


def _quoted(value: str) -> str:
    if not _NEEDS_QUOTES.search(value):
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'
