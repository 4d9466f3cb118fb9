"""Details of a run or an experiment as lines of text, safe to print."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from transformer_playground.config.toml import shortened, toml_value
from transformer_playground.formatting import (
    age_text,
    count_text,
    date_text,
    duration_text,
    loss_text,
    optional_text,
    signed_text,
    size_text,
)
from transformer_playground.jsonvalues import as_int
from transformer_playground.runs.details import CheckpointFile
from transformer_playground.runs.fields import RunInfo
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.runs.details_state import (
    DATA_LABELS,
    ExperimentDetails,
    RunSectionData,
)
from transformer_playground.tui.runs.table_columns import difference_role, loss_difference
from transformer_playground.tui.shared.text import STATE_ROLES, Role, state_text

Line = tuple[tuple[str, Role], ...]
Pair = tuple[str, str, Role]

_LABEL = 11
_PAIR = 34
_MAX_TEXT = 4_000
_MAX_VALUE = 300
_MAX_KEY = 36
_BLANK: Line = ()
_MACHINE = ("dtype", "host")


def run_overview(
    row: RunInfo,
    details: RunSectionData | None,
    baseline: RunInfo | None,
    width: int,
    now: float,
    name: Callable[[str], str] = visible_line,
) -> list[Line]:
    """State, numbers, note and checkpoints of a run.

    Args:
        row: The run.
        details: What its files say, if they have been read.
        baseline: The run that losses are compared with.
        width: Cells.
        now: Unix time.
        name: What to call a run, safe to print.
    """
    writer = f" by {details.writer}" if details is not None and details.writer else ""
    experiment = f"  {visible_line(row.experiment)}" if row.experiment else ""
    role = STATE_ROLES.get(row.state, "value")
    lines: list[Line] = [((state_text(row.state), role), (writer, "muted"), (experiment, "muted"))]
    if row.problem:
        lines.append(((_text(row.problem), "bad"),))
    if row.parent is not None:
        lines.append((("branch of ", "label"), (row.parent.text(name), "value")))
    lines += _pairs(_numbers(row, baseline, now), width)
    if row.note:
        lines += [_BLANK, *_paragraph(row.note)]
    if row.tags:
        lines.append((("tags ", "label"), (visible_line("  ".join(row.tags)), "accent")))
    if details is not None:
        lines += _checkpoint_lines(details.checkpoints)
        lines += _pairs(_origin(details, row), width)
        lines += _problems(details.problems)
    return lines


def settings_lines(settings: Mapping[str, Any], provenance: Mapping[str, str]) -> list[Line]:
    """Every setting with its description; first those that differ from the default.

    Their origin is said once if it is that of all, else by a letter before each.
    """
    changed = [key for key in settings if key in provenance]
    others = [key for key in settings if key not in provenance]
    letters = _letters(provenance[key] for key in changed)
    width = min(_MAX_KEY, max((cell_len(visible_line(key)) for key in settings), default=0))
    lines: list[Line] = []
    if changed:
        origins = " · ".join(f"{letter} {visible_line(each)}" for each, letter in letters.items())
        lines.append((("changed from the default", "title"), (f"  {origins.strip()}", "muted")))
        for key in changed:
            lines += _setting(key, settings[key], letters[provenance[key]], width)
        lines.append(_BLANK)
    lines.append((("defaults", "title"),))
    margin = next(iter(letters.values()), "") and " "
    for key in others:
        lines += _setting(key, settings[key], margin, width)
    return lines


def _letters(origins: Iterable[str]) -> dict[str, str]:
    """Origin -> a letter of it that no other has, or a digit; nothing for a single origin."""
    distinct = list(dict.fromkeys(origins))
    if len(distinct) == 1:
        return {distinct[0]: ""}
    found: dict[str, str] = {}
    for number, origin in enumerate(distinct):
        candidates = (char for char in origin.casefold() if char.isascii() and char.isalpha())
        free = (char for char in candidates if char not in found.values())
        found[origin] = next(free, str(number))
    return found


def sample_lines(details: RunSectionData) -> list[Line]:
    """The newest samples of a run."""
    if details.problems:
        return _problems(details.problems)
    if not details.samples:
        return [(("No samples yet; training draws them at evaluations.", "muted"),)]
    lines: list[Line] = []
    for sample in details.samples:
        shown = optional_text(as_int(sample.get("step")), "{:,}".format, "?")
        lines.append(((f"step {shown}", "title"),))
        prompt, text = str(sample.get("prompt", "")), str(sample.get("text", ""))
        lines += _paragraph(prompt + text)
        lines.append(_BLANK)
    return lines


def log_lines(details: RunSectionData) -> list[Line]:
    """The end of a run's log."""
    if details.problems:
        return _problems(details.problems)
    if not details.log:
        return [(("No log.", "muted"),)]
    return [((shortened(visible_line(line), _MAX_TEXT), "value"),) for line in details.log]


def experiment_overview(details: ExperimentDetails | None, train_key: str) -> list[Line]:
    """Description of an experiment and the state of its dataset.

    Args:
        details: The experiment, None while it is being read.
        train_key: Key that trains it, for the hint.
    """
    if details is None:
        return [(("reading …", "muted"),)]
    lines: list[Line] = [((DATA_TEXTS[details.data], _DATA_ROLES[details.data]),)]
    if details.data == "broken":
        lines.append(((_text(details.description), "bad"),))
        return lines
    if details.description:
        lines.append(((_text(details.description), "value"),))
    if details.tags:
        lines.append((("tags ", "label"), (visible_line("  ".join(details.tags)), "accent")))
    if details.readme:
        lines.append(_BLANK)
        lines += _paragraph(details.readme)
    lines += [_BLANK, ((f"{train_key} trains it", "muted"),)]
    return lines


_DATA_ROLES: Mapping[str, Role] = {
    "prepared": "good",
    "stale": "muted",
    "missing": "muted",
    "broken": "bad",
}
DATA_TEXTS: Mapping[str, str] = {
    "prepared": DATA_LABELS["prepared"],
    "stale": f"{DATA_LABELS['stale']}: training prepares it again",
    "missing": f"{DATA_LABELS['missing']}: training prepares it",
    "broken": "✗ cannot be used",
}


def _numbers(row: RunInfo, baseline: RunInfo | None, now: float) -> Iterator[Pair]:
    summary = row.summary
    if summary.step is not None:
        end = f" of {row.max_iters:,}" if row.max_iters else ""
        yield ("step", f"{summary.step:,}{end}", "value")
    yield from _known("train loss", summary.train_loss, loss_text)
    yield from _known("val loss", summary.val_loss, loss_text)
    if summary.best_val_loss is not None:
        at = f" at {summary.best_step:,}" if summary.best_step is not None else ""
        yield ("best val", f"{loss_text(summary.best_val_loss)}{at}", "value")
    yield from _baseline_difference(row, baseline)
    yield from _known("bits/byte", summary.bits_per_byte, loss_text)
    yield from _known("parameters", row.parameters, count_text)
    yield from _known("tokens", summary.tokens_seen, count_text)
    yield from _known("tokens/s", summary.tokens_per_sec_median, count_text)
    yield from _known("time", row.wall_time, duration_text)
    if row.seed is not None:
        yield ("seed", visible_line(str(row.seed)[:40]), "value")
    if row.created is not None:
        yield ("created", f"{age_text(now - row.created)} ago", "value")


def _known(label: str, value: float | None, show: Callable[[float], str]) -> Iterator[Pair]:
    if value is not None:
        yield (label, show(value), "value")


def _baseline_difference(row: RunInfo, baseline: RunInfo | None) -> Iterator[Pair]:
    if baseline is None:
        return
    if baseline.run_id == row.run_id:
        yield ("baseline", "this run", "accent")
        return
    difference = loss_difference(row, baseline)
    if difference is not None:
        yield ("to baseline", signed_text(difference, loss_text), difference_role(difference))


def _origin(details: RunSectionData, row: RunInfo) -> Iterator[Pair]:
    environment, dataset = details.environment, details.dataset
    device = environment.get("device_name") or environment.get("device")
    for label, value in (("device", device), *((key, environment.get(key)) for key in _MACHINE)):
        if value:
            yield (label, _value(value), "muted")
    tokens = as_int(dataset.get("train_tokens"))
    if tokens is not None:
        yield ("train set", f"{count_text(tokens)} tokens", "muted")
    if dataset.get("vocab_size"):
        yield ("vocabulary", _value(dataset["vocab_size"]), "muted")
    if row.created is not None:
        yield ("date", date_text(row.created), "muted")
    yield ("folder", visible_line(str(details.path)), "muted")


def _pairs(pairs: Iterable[Pair], width: int) -> Iterator[Line]:
    columns = max(1, width // _PAIR)
    short: list[Pair] = []
    for pair in pairs:
        if cell_len(pair[1]) > _PAIR - _LABEL - 2 and columns > 1:
            yield from _rows(short, columns)
            short = []
            yield ((pair[0].ljust(_LABEL + 1), "label"), (pair[1], pair[2]))
        else:
            short.append(pair)
    yield from _rows(short, columns)


def _rows(pairs: Sequence[Pair], columns: int) -> Iterator[Line]:
    for start in range(0, len(pairs), columns):
        spans: list[tuple[str, Role]] = []
        for label, value, role in pairs[start : start + columns]:
            gap = " " * max(1, _PAIR - _LABEL - 1 - cell_len(value))
            spans.append((label.ljust(_LABEL + 1), "label"))
            spans.append((value, role))
            spans.append((gap, "muted"))
        yield tuple(spans[:-1])


def _setting(key: str, value: Any, letter: str, width: int) -> Iterator[Line]:
    """A setting behind the letter of its origin, and its description below.

    Args:
        letter: One cell; empty leaves out the margin for it.
        width: Cells of the keys.
    """
    # Imported late, because the schema needs pydantic.
    from transformer_playground.config.reference import schema_index

    entry = {entry.name: entry for entry in schema_index().values()}.get(key)
    shown = visible_line(shortened(toml_value(value), _MAX_VALUE))
    margin, name = f"{letter} " if letter else "", visible_line(key)
    gap = " " * max(1, width + 1 - cell_len(name))
    yield ((margin, "muted"), (f"{name}{gap}", "label"), (shown, "value"))
    if entry is not None and entry.description:
        yield ((f"{' ' * len(margin)}  {entry.description}", "muted"),)


def _checkpoint_lines(checkpoints: Sequence[CheckpointFile]) -> Iterator[Line]:
    if not checkpoints:
        return
    yield _BLANK
    yield (("checkpoints", "title"),)
    for each in checkpoints:
        name = visible_line(shortened(each.name, 60))
        if each.problem:
            yield ((name, "value"), (f"  {visible_line(each.problem)}", "bad"))
            continue
        metric = "" if each.metric is None else f"  val {loss_text(each.metric)}"
        size = optional_text(each.size, size_text)
        step = f"step {each.step:,}" if each.step is not None else ""
        yield ((name, "value"), (f"  {each.kind}  {step}{metric}  {size}", "muted"))
    yield _BLANK


def _problems(problems: Iterable[str]) -> list[Line]:
    return [((_text(problem), "bad"),) for problem in problems]


def _paragraph(text: str) -> Iterator[Line]:
    for line in _text(text).split("\n"):
        yield ((line, "value"),)


def _value(value: object) -> str:
    return visible_line(shortened(str(value), 80))


def _text(text: str) -> str:
    return visible(shortened(text, _MAX_TEXT)).replace("\t", "    ")
