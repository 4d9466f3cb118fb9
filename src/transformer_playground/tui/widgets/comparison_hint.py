"""What to say while there is nothing to compare."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.content import Content

from transformer_playground.terminal import visible_line
from transformer_playground.tui.state.sampling import Source
from transformer_playground.tui.widgets.source_words import run_words

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console

_MUTED = "$foreground 60%"


def hint(console: "Console", problems: Iterable[str]) -> Content:
    """How to choose runs, after what is wrong with those that are chosen."""
    chosen = console.workspace.chosen()
    lines = problem_lines(problems)
    if chosen:
        words = Content("  ").join(run_words(console, Source(run_id, "")) for run_id in chosen)
        lines += [Content.assemble(("chosen: ", _MUTED), words), Content("")]
    pick, runs = _key(console, "compare.mark"), _key(console, "everywhere.runs")
    mark, pin = _key(console, "runs.mark"), _key(console, "runs.pin")
    lines += [
        Content("A comparison takes at least two runs."),
        Content(""),
        Content.assemble((pick, "$accent"), (" picks a run here", _MUTED)),
        Content.assemble(
            ("among the runs (", _MUTED),
            (runs, "$accent"),
            (") ", _MUTED),
            (mark, "$accent"),
            (" marks one, ", _MUTED),
            (pin, "$accent"),
            (" pins the baseline", _MUTED),
        ),
    ]
    return Content("\n").join(lines)


def problem_lines(problems: Iterable[str]) -> list[Content]:
    """Each problem on a line; untrusted text."""
    return [Content.styled(f"✗ {visible_line(problem)}", "$error") for problem in problems]


_DEFAULTS = {"compare.mark": "m", "everywhere.runs": "1", "runs.mark": "space", "runs.pin": "p"}


def _key(console: "Console", name: str) -> str:
    return visible_line(console.settings.keys.get(name, _DEFAULTS[name]))
