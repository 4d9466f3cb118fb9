"""What the comparison pane says beside its rows, and how much of it fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

_MORE = " …"
# Lines of a verdict where the rows need the space.
_LEAST_VERDICT = 2


@dataclass(frozen=True)
class PaneTexts:
    """Verdict, problems and notes of a comparison, safe to display."""

    verdict: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def height(self, width: int) -> int:
        """Lines of everything; problems and notes start with a mark."""
        marked = (f"· {text}" for text in (*self.problems, *self.notes))
        return sum(max(1, len(wrap(text, width))) for text in (self.verdict, *marked))

    def fitting(self, width: int, lines: int) -> "PaneTexts":
        """All of it where it fits; else one line for all problems and one for all notes.

        The verdict is cut last.

        Args:
            width: Cells of a line.
            lines: Lines that the rows leave; may be negative.
        """
        if self.height(width) <= lines:
            return self
        problems = _one_line(self.problems, "problems", width)
        notes = _one_line(self.notes, "notes", width)
        space = max(_LEAST_VERDICT, lines - len(problems) - len(notes))
        verdict = "\n".join(wrap(self.verdict, width, max_lines=space, placeholder=_MORE))
        return replace(self, verdict=verdict, problems=problems, notes=notes)


def _one_line(texts: Sequence[str], name: str, width: int) -> tuple[str, ...]:
    """How many there are, and the first of them as far as it fits."""
    if not texts:
        return ()
    count = f"{len(texts)} {name}: " if len(texts) > 1 else ""
    return tuple(wrap(f"{count}{texts[0]}", width - 2, max_lines=1, placeholder=_MORE))
