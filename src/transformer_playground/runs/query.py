"""Query language of `tp runs`: filtering and sorting runs.

A query is a list of terms separated by spaces, all of which must hold. A term is a field, an
operator (`:` `=` `!=` `<` `<=` `>` `>=`) and a value, or text to find in the id, experiment, tags
or note. A leading `-` negates; quotes group. ` | ` between terms separates alternatives, and
`status:running|failed` lists alternatives of one term.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any

from transformer_playground.errors import UsageError
from transformer_playground.formatting import date_text, parse_duration, parse_number
from transformer_playground.runs.fields import STATES, Field, RunInfo, find_field

LONGEST_QUERY = 10_000

# Quotes may appear anywhere in a term; quoted text is taken literally.
_TERM = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
COMPARISON = re.compile(r"([A-Za-z][\w.-]*)(!=|<=|>=|[:=<>])(.*)", re.DOTALL)
"""A term with a field, an operator and a value."""
_QUOTED = re.compile(r""""([^"]*)"|'([^']*)'""")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_MISSING = ("none", "null")
_OR = "|"
_SYNTAX = "Terms look like: status:running|failed val_loss<1.9 norm=rmsnorm -tag:old text"

Test = Callable[[Any], bool]
Term = Callable[[RunInfo, float], bool]


@dataclass(frozen=True)
class Query:
    """Alternatives, each a conjunction of terms; without alternatives it matches every run."""

    alternatives: tuple[tuple[Term, ...], ...] = ()

    def holds(self, row: RunInfo, now: float) -> bool:
        """Whether a run matches; `now` is Unix time."""
        if not self.alternatives:
            return True
        return any(all(term(row, now) for term in terms) for terms in self.alternatives)


def parse_query(
    text: str, settings: Iterable[str] = (), name_of: Callable[[str], str] | None = None
) -> Query:
    """Parse a query.

    Args:
        text: The query; an empty one matches every run.
        settings: Known dotted setting keys.
        name_of: Run id -> another name under which the user sees the run, which words find, too.

    Raises:
        UsageError: Unknown field, invalid value or unclosed quote.
    """
    if len(text) > LONGEST_QUERY:
        raise UsageError(f"The filter has {len(text):,} characters.", "Write a shorter one.")
    known = _Known(frozenset(settings), name_of or str)
    alternatives: list[list[Term]] = [[]]
    for term in _split(text):
        if term == _OR:
            alternatives.append([])
        else:
            alternatives[-1].append(_parse_term(term, known))
    # An empty alternative is one that is still being typed.
    return Query(tuple(tuple(terms) for terms in alternatives if terms))


def select(rows: Iterable[RunInfo], query: Query, now: float) -> list[RunInfo]:
    """The runs that match, in the given order."""
    if not query.alternatives:
        return list(rows)
    return [row for row in rows if query.holds(row, now)]


def sort_rows(
    rows: Sequence[RunInfo],
    keys: str,
    now: float,
    settings: Iterable[str] = (),
    *,
    reverse: bool = False,
) -> list[RunInfo]:
    """Sort runs; those without a value always come last.

    Args:
        rows: The runs.
        keys: Comma-separated fields, most significant first; a leading `-` sorts descending.
        now: Unix time.
        settings: Known dotted setting keys.
        reverse: Reverse the order of each key.

    Raises:
        UsageError: A field is unknown, or none is given.
    """
    names = [name.strip() for name in keys.split(",") if name.strip()]
    if not names:
        raise UsageError("--sort is empty.", "For example: --sort val_loss")
    known = frozenset(settings)
    ordered = list(rows)
    for name in reversed(names):
        field = find_field(name.removeprefix("-"), known)
        ordered = _sort_by(field, ordered, now, descending=name.startswith("-") != reverse)
    return ordered


def _sort_by(field: Field, rows: list[RunInfo], now: float, *, descending: bool) -> list[RunInfo]:
    values = [field.value(row, now) for row in rows]
    # By place: a pair for each of thousands of runs would set off garbage collections.
    places = [place for place, value in enumerate(values) if value is not None]
    if {type(values[place]) for place in places} <= {int, float}:
        places.sort(key=values.__getitem__, reverse=descending)
    else:
        places.sort(key=lambda place: _sort_key(values[place]), reverse=descending)
    missing = [row for row, value in zip(rows, values, strict=True) if value is None]
    return [rows[place] for place in places] + missing


def _sort_key(value: Any) -> tuple[int, float, str]:
    # A setting may be a number in one run and text in another.
    if isinstance(value, int | float):
        return (0, value, "")
    return (1, 0.0, str(value).casefold())


def split_terms(text: str) -> list[str]:
    """The terms of a query as they are written; an unclosed quote ends with the text.

    A `|` that stands alone, or at an end of a term, is a term of its own.
    """
    terms: list[str] = []
    for found in _TERM.findall(text):
        inner = found.strip(_OR)
        before, _, after = found.partition(inner) if inner else (_OR, "", "")
        terms += [_OR] * bool(before) + [inner] * bool(inner) + [_OR] * bool(after)
    return terms


def _split(text: str) -> list[str]:
    terms = _TERM.findall(text)
    if re.sub(r"\s", "", text) != re.sub(r"\s", "", "".join(terms)):
        raise UsageError(f"Unclosed quote in the filter: {text}", _SYNTAX)
    return split_terms(text)


@dataclass(frozen=True)
class _Known:
    """Settings and names of the runs."""

    settings: frozenset[str]
    name_of: Callable[[str], str]


def _parse_term(term: str, known: _Known) -> Term:
    if term.startswith("--"):
        raise UsageError(f"No such option: {term}", "See: tp runs list --help")
    if term.startswith("-") and len(term) > 1:
        positive = _parse_term(term[1:], known)
        return lambda row, now: not positive(row, now)
    first, *others = _alternatives(term) or [term]
    if others:
        compared = COMPARISON.fullmatch(first)
        # Each further value belongs to the field and operator of the first one.
        start = compared[1] + compared[2] if compared else ""
        whole = [each if COMPARISON.fullmatch(each) else start + each for each in others]
        tests = [_parse_term(each, known) for each in (first, *whole)]
        negated = compared is not None and compared[2] == "!="
        # "!= a|b" is neither of them.
        combine = all if negated else any
        return lambda row, now: combine(test(row, now) for test in tests)
    match = COMPARISON.fullmatch(first)
    if match is None:
        return _word(_unquoted(first), known.name_of)
    try:
        field = find_field(match[1], known.settings)
    except UsageError as error:
        hint = f"{error.hint} To search for the text itself, quote it within the filter."
        raise UsageError(error.message, hint) from None
    operator, value = match[2], _unquoted(match[3])
    if not value:
        raise UsageError(f"Missing value after '{match[1]}{operator}'.", _SYNTAX)
    test = _test(field, operator, value)
    return lambda row, now: test(field.value(row, now))


def _alternatives(term: str) -> list[str]:
    """The parts of a term between bars that are not quoted."""
    parts = [""]
    for piece in re.findall(r"""[|]|"[^"]*"|'[^']*'|[^|"']+""", term):
        if piece == _OR:
            parts.append("")
        else:
            parts[-1] += piece
    return [part for part in parts if part]


def _unquoted(text: str) -> str:
    return _QUOTED.sub(lambda match: match[1] if match[1] is not None else match[2], text)


def _word(word: str, name_of: Callable[[str], str]) -> Callable[[RunInfo, float], bool]:
    wanted = word.casefold()

    def holds(row: RunInfo, _: float) -> bool:
        texts = (row.run_id, name_of(row.run_id), row.experiment or "", row.note, *row.tags)
        return any(wanted in text.casefold() for text in texts)

    return holds


def _test(field: Field, operator: str, value: str) -> Test:
    """Predicate on a field's value, for one operator and operand."""
    if operator == "!=":
        equal = _test(field, "=", value)
        return lambda found: not equal(found)
    if value.lower() in _MISSING and operator in ":=":
        return lambda found: found is None
    match field.kind:
        case "number":
            return _ordered(operator, _required(parse_number(value), field, value, "a number"))
        case "duration":
            seconds = _required(parse_duration(value), field, value, "a duration, such as 5m or 3d")
            return _ordered(operator, seconds)
        case "date":
            return _date_test(field, operator, value)
        case "setting":
            return _setting_test(field, operator, value)
        case _:
            return _text_test(field, operator, value)


def _required(parsed: float | None, field: Field, value: str, what: str) -> float:
    if parsed is None:
        raise UsageError(f"'{value}' is not {what}, as '{field.key}' requires.", _SYNTAX)
    return parsed


def _ordered(operator: str, wanted: float) -> Test:
    compare = _COMPARISONS.get(operator, _is_close)

    def holds(found: Any) -> bool:
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return is_number and compare(found, wanted)

    return holds


def _is_close(found: float, wanted: float) -> bool:
    try:
        return found == wanted or math.isclose(found, wanted)
    except OverflowError:
        # An integer of a damaged file may be too large for a float.
        return False


def _text_test(field: Field, operator: str, value: str) -> Test:
    if operator not in ":=":
        raise UsageError(
            f"'{field.key}' is text and cannot be compared with '{operator}'.", "Use : or = or !=."
        )
    wanted = value.casefold()
    if field.kind == "status" and not any(_fits_text(state, operator, wanted) for state in STATES):
        raise UsageError(f"Unknown state '{value}'.", f"States: {', '.join(STATES)}.")
    if field.kind == "tags":
        return lambda found: wanted in (tag.casefold() for tag in found or ())
    return lambda found: found is not None and _fits_text(found, operator, wanted)


def _fits_text(text: str, operator: str, wanted: str) -> bool:
    folded = text.casefold()
    return wanted in folded if operator == ":" else wanted == folded


def _date_test(field: Field, operator: str, value: str) -> Test:
    try:
        moment = datetime.fromisoformat(value)
        wanted = moment.timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"'{value}' is not a date, as '{field.key}' requires.",
            "For example: created>=2026-01-31",
        ) from None
    if operator not in ":=":
        return _ordered(operator, wanted)
    if ":" in value:
        return lambda found: found is not None and math.floor(found) == wanted
    # A date without a time matches the whole day.
    day = date_text(wanted)[:10]
    return lambda found: found is not None and date_text(found)[:10] == day


def _setting_test(field: Field, operator: str, value: str) -> Test:
    number = parse_number(value)
    if operator not in ":=":
        return _ordered(operator, _required(number, field, value, "a number"))
    wanted = value.casefold()

    def holds(found: Any) -> bool:
        match found:
            case bool():
                return wanted == str(found).lower()
            case int() | float():
                return number is not None and _ordered("=", number)(found)
            case str():
                return _fits_text(found, operator, wanted)
            case list():
                return any(holds(item) for item in found)
            case _:
                return False

    return holds
