"""The details of a run or an experiment as lines of text, safe to print."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

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
from transformer_playground.runs.fields import GLYPHS, RunInfo
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.runs.details_state import RunFacts
from transformer_playground.tui.runs.experiments_state import GLYPHS as DATA_GLYPHS
from transformer_playground.tui.runs.experiments_state import ExperimentFacts

Role = Literal["title", "label", "value", "muted", "live", "good", "bad", "accent"]
Line = tuple[tuple[str, Role], ...]
Pair = tuple[str, str, Role]

_LABEL = 11
_PAIR = 34
_LONGEST_TEXT = 4_000
_LONGEST_VALUE = 300
_BLANK: Line = ()
_ROLES: Mapping[str, Role] = {
    "running": "live",
    "paused": "live",
    "failed": "bad",
    "broken": "bad",
    "interrupted": "bad",
    "finished": "good",
}


def run_overview(
    row: RunInfo, facts: RunFacts | None, baseline: RunInfo | None, width: int, now: float
) -> list[Line]:
    """State, numbers, note and checkpoints of a run."""
    state = visible_line(f"{GLYPHS.get(row.state, '‖')} {row.state}")
    pid = f" by process {facts.pid}" if facts is not None and facts.pid else ""
    experiment = f"  {visible_line(row.experiment)}" if row.experiment else ""
    role = _ROLES.get(row.state, "value")
    head: Line = ((state, role), (pid, "muted"), (experiment, "muted"))
    lines: list[Line] = []
    lines.append(head)
    if row.problem:
        lines.append(((_text(row.problem), "bad"),))
    lines += _pairs(_numbers(row, baseline, now), width)
    if row.note:
        lines += [_BLANK, *_paragraph(row.note)]
    if row.tags:
        lines.append((("tags ", "label"), (visible_line("  ".join(row.tags)), "accent")))
    if facts is not None:
        lines += _checkpoint_lines(facts.checkpoints)
        lines += _pairs(_origin(facts, row), width)
        lines += _problems(facts.problems)
    return lines


def settings_lines(settings: Mapping[str, Any], provenance: Mapping[str, str]) -> list[Line]:
    """Every setting with what it is for: first those that are not the default, and who set them."""
    changed = [key for key in settings if key in provenance]
    others = [key for key in settings if key not in provenance]
    lines: list[Line] = []
    if changed:
        lines.append((("not the default", "title"),))
        for key in changed:
            lines += _setting(key, settings[key], provenance[key])
        lines.append(_BLANK)
    lines.append((("defaults", "title"),))
    for key in others:
        lines += _setting(key, settings[key], None)
    return lines


def sample_lines(facts: RunFacts) -> list[Line]:
    """The newest texts that a run drew while it trained."""
    if facts.problems:
        return _problems(facts.problems)
    if not facts.samples:
        return [(("No samples yet; they come while the run trains.", "muted"),)]
    lines: list[Line] = []
    for sample in facts.samples:
        shown = optional_text(as_int(sample.get("step")), "{:,}".format, "?")
        head: Line = ((f"step {shown}", "title"),)
        lines.append(head)
        prompt, text = str(sample.get("prompt", "")), str(sample.get("text", ""))
        lines += _paragraph(prompt + text)
        lines.append(_BLANK)
    return lines


def log_lines(facts: RunFacts) -> list[Line]:
    """The end of a run's log."""
    if facts.problems:
        return _problems(facts.problems)
    if not facts.log:
        return [(("No log.", "muted"),)]
    return [((shortened(visible_line(line), _LONGEST_TEXT), "value"),) for line in facts.log]


def experiment_overview(facts: ExperimentFacts | None) -> list[Line]:
    """What an experiment is, the state of its data, and what to do next."""
    if facts is None:
        return [(("reading …", "muted"),)]
    head: Line = (
        (f"{DATA_GLYPHS[facts.data]} {_DATA_WORDS[facts.data]}", _DATA_ROLES[facts.data]),
    )
    lines: list[Line] = []
    lines.append(head)
    if facts.data == "broken":
        lines.append(((_text(facts.description), "bad"),))
        return lines
    if facts.description:
        lines.append(((_text(facts.description), "value"),))
    if facts.tags:
        lines.append((("tags ", "label"), (visible_line("  ".join(facts.tags)), "accent")))
    if facts.readme:
        lines.append(_BLANK)
        lines += _paragraph(facts.readme)
    lines += [_BLANK, (("enter trains it", "muted"),)]
    return lines


_DATA_ROLES: Mapping[str, Role] = {
    "prepared": "good",
    "stale": "muted",
    "missing": "muted",
    "broken": "bad",
}
_DATA_WORDS = {
    "prepared": "data prepared",
    "stale": "data stale: it is prepared anew before training",
    "missing": "data missing: it is prepared before training",
    "broken": "the configuration is not valid",
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
    yield from _against(row, baseline)
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


def _against(row: RunInfo, baseline: RunInfo | None) -> Iterator[Pair]:
    if baseline is None:
        return
    if baseline.run_id == row.run_id:
        yield ("compared", "this is the baseline", "accent")
        return
    loss, reference = row.summary.val_loss, baseline.summary.val_loss
    if loss is not None and reference is not None:
        difference = loss - reference
        role: Role = "good" if difference < 0 else "bad" if difference > 0 else "muted"
        yield ("to baseline", signed_text(difference, loss_text), role)


def _origin(facts: RunFacts, row: RunInfo) -> Iterator[Pair]:
    environment, dataset = facts.environment, facts.dataset
    device = environment.get("device_name") or environment.get("device")
    if device:
        yield ("device", _value(device), "muted")
    if environment.get("dtype"):
        yield ("dtype", _value(environment["dtype"]), "muted")
    if environment.get("host"):
        yield ("host", _value(environment["host"]), "muted")
    tokens = as_int(dataset.get("train_tokens"))
    if tokens is not None:
        yield ("train set", f"{count_text(tokens)} tokens", "muted")
    if dataset.get("vocab_size"):
        yield ("vocabulary", _value(dataset["vocab_size"]), "muted")
    if row.created is not None:
        yield ("date", date_text(row.created), "muted")
    yield ("folder", visible_line(str(facts.path)), "muted")


def _pairs(pairs: Iterable[Pair], width: int) -> Iterator[Line]:
    """Labels and values, side by side as far as there is room."""
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


def _setting(key: str, value: Any, origin: str | None) -> Iterator[Line]:
    # The schema is pydantic, which the first frame does not wait for.
    from transformer_playground.config.reference import schema_index

    entry = {entry.name: entry for entry in schema_index().values()}.get(key)
    shown = visible_line(shortened(toml_value(value), _LONGEST_VALUE))
    spans: list[tuple[str, Role]] = [(visible_line(key), "label"), (f" {shown}", "value")]
    if origin is not None:
        spans.append((f"  {visible_line(origin)}", "accent"))
    yield tuple(spans)
    if entry is not None and entry.description:
        yield ((f"  {entry.description}", "muted"),)


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
    return visible(shortened(text, _LONGEST_TEXT)).replace("\t", "    ")
