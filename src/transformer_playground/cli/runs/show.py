"""`tp runs show`."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from transformer_playground.cli.options import AsJson, ExistingRun, RunsDir
from transformer_playground.cli.output import print_table, say, say_json
from transformer_playground.formatting import (
    age_text,
    date_text,
    duration_text,
    loss_text,
    optional_text,
    rate_text,
    size_text,
)
from transformer_playground.jsonvalues import as_int, as_timestamp
from transformer_playground.runs.details import CheckpointFile, RunDetails, describe_run
from transformer_playground.runs.fields import FIELDS, GLYPHS, RunInfo, setting_text
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.runs.listing import list_runs
from transformer_playground.tables import Column
from transformer_playground.terminal import visible_line

_LABEL_WIDTH = 13

_Fact = tuple[str, str]


def show(run_id: ExistingRun, runs_dir: RunsDir = RUNS_DIR, json_output: AsJson = False) -> None:
    """Show settings, progress, checkpoints and files of a run."""
    run = find_run(runs_dir, run_id)
    rows = {row.run_id: row for row in list_runs(runs_dir)}
    details = describe_run(run, rows.get(run.run_id) or RunInfo(run.run_id, "broken"))
    if json_output:
        say_json(details.as_json())
        return
    _print(details, time.time())


def _print(details: RunDetails, now: float) -> None:
    say(visible_line(details.row.run_id))
    _print_facts("", _overview(details, now))
    _print_facts("Progress", _progress(details.row, now))
    _print_facts("Dataset", _dataset(details.dataset))
    _print_settings(details)
    _print_checkpoints(details.checkpoints, now)
    _print_reports(details, now)
    _print_facts("Environment", _environment(details.environment))
    _print_note(details.row)
    for problem in details.problems:
        say(visible_line(f"! {problem}"))


def _overview(details: RunDetails, now: float) -> Iterator[_Fact]:
    row = details.row
    state = f"{GLYPHS.get(row.state, '?')} {row.state}"
    yield "status", f"{state}, {details.writer}" if details.writer else state
    # The reason why a run is broken is printed with the problems below.
    if row.problem and row.problem not in details.problems:
        yield "error", row.problem
    yield "experiment", row.experiment or ""
    if row.created is not None:
        yield "created", f"{date_text(row.created)}, {age_text(now - row.created)} ago"
    if row.parent is not None:
        yield "branch of", row.parent.text()
    yield "folder", str(details.path)
    yield "tags", ", ".join(row.tags)


def _progress(row: RunInfo, now: float) -> Iterator[_Fact]:
    yield "step", FIELDS["step"].text(row, now)
    best = FIELDS["best_val_loss"].text(row, now)
    where = (
        f" at step {row.summary.best_step:,}" if best and row.summary.best_step is not None else ""
    )
    yield "best val loss", best + where
    for key, label in (
        ("val_loss", "val loss"),
        ("train_loss", "train loss"),
        ("bits_per_byte", "bits per byte"),
    ):
        yield label, FIELDS[key].text(row, now)
    yield "parameters", FIELDS["params"].text(row, now)
    yield "tokens seen", FIELDS["tokens_seen"].text(row, now)
    yield "wall time", duration_text(row.wall_time) if row.wall_time else ""
    yield "throughput", optional_text(row.summary.tokens_per_sec_median, rate_text)
    yield "seed", optional_text(row.seed, str)


def _dataset(dataset: Any) -> Iterator[_Fact]:
    for key, label in (
        ("train_tokens", "train tokens"),
        ("val_tokens", "val tokens"),
        ("vocab_size", "vocabulary"),
        ("val_bytes_per_token", "bytes/token"),
        ("fingerprint", "fingerprint"),
    ):
        yield label, _value(dataset.get(key))


def _environment(environment: Any) -> Iterator[_Fact]:
    git = environment.get("git")
    if isinstance(git, dict):
        changed = " (with uncommitted changes)" if git.get("dirty") else ""
        yield "git commit", f"{_value(git.get('commit'))}{changed}"
    for key in ("device", "device_name", "dtype", "threads", "host", "platform", "python"):
        yield key.replace("_", " "), _value(environment.get(key))
    packages = environment.get("packages")
    if isinstance(packages, dict):
        yield "packages", ", ".join(f"{name} {version}" for name, version in packages.items())


def _value(value: Any) -> str:
    if value is None:
        return ""
    return setting_text(value, is_exact=True) if as_int(value) is None else f"{value:,}"


def _print_facts(title: str, facts: Iterator[_Fact]) -> None:
    lines = [visible_line(f"  {label:<{_LABEL_WIDTH}} {text}") for label, text in facts if text]
    if lines:
        _print_title(title)
    for line in lines:
        say(line)


def _print_title(title: str) -> None:
    if title:
        say(f"\n{title}")


def _print_settings(details: RunDetails) -> None:
    if not details.changed:
        return
    _print_title("Non-default settings")
    settings = details.changed
    print_table(
        [
            Column("  setting", [f"  {setting.key}" for setting in settings], shrink_last=True),
            Column("value", [setting_text(setting.value, is_exact=True) for setting in settings]),
            Column("set by", [setting.origin for setting in settings]),
        ]
    )


def _print_checkpoints(checkpoints: Sequence[CheckpointFile], now: float) -> None:
    if not checkpoints:
        return
    _print_title("Checkpoints")
    print_table(
        [
            Column("  file", [f"  {file.name}" for file in checkpoints]),
            Column("kind", [file.kind or "✗ damaged" for file in checkpoints]),
            Column("step", [optional_text(file.step, "{:,}".format) for file in checkpoints], True),
            Column(
                "val loss", [optional_text(file.metric, loss_text) for file in checkpoints], True, 2
            ),
            Column("size", [optional_text(file.size, size_text) for file in checkpoints], True, 3),
            Column("age", [_age(file.created, now) for file in checkpoints], True, 1),
        ]
    )
    for file in checkpoints:
        if file.problem:
            say(visible_line(f"  {file.name}: {file.problem}"))


def _age(created: str | None, now: float) -> str:
    return optional_text(as_timestamp(created), lambda moment: age_text(now - moment))


def _print_reports(details: RunDetails, now: float) -> None:
    if not details.reports:
        return
    _print_title("Reports and plots")
    files = details.reports
    print_table(
        [
            Column("  file", [f"  {file.name}" for file in files]),
            Column("size", [size_text(file.size) for file in files], True, 2),
            Column("age", [age_text(now - file.modified) for file in files], True, 1),
        ]
    )


def _print_note(row: RunInfo) -> None:
    if row.note:
        _print_title("Note")
        for line in row.note.splitlines():
            say(f"  {line}")


COMMANDS = {"show": show}
