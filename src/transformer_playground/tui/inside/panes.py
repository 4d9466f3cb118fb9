"""Panes inside a text: the text itself, what is knocked out, and lens and attention."""

import textwrap

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from transformer_playground.formatting import loss_text
from transformer_playground.inspection.glyphs import percent
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.inside.inside_state import InsideState, Section, part_text
from transformer_playground.tui.inside.pane_lines import attention_lines, highest_weight, lens_lines
from transformer_playground.tui.inside.question import (
    Answer,
    Column,
    GivenTokens,
    SplitWindow,
    TypedText,
)
from transformer_playground.tui.inside.text_lines import (
    Line,
    detail_line,
    knocked_out_lines,
    mean_text,
    shown_curves,
    text_lines,
    token_at,
)
from transformer_playground.tui.shared.flow import Row

LEAST_WIDE = 100
"""Cells from which lens and attention of one checkpoint are side by side."""
_FRAME, _SIDES = 2, 4
_LEAST_PANES, _LEAST_TEXT = 6, 3
# Rows of the view below which the continuations are left out for the text and its numbers.
_LEAST_WITH_CONTINUATIONS = 28
_MUTED = "$text-muted"


def _content(lines: list[Line]) -> Content:
    return Content("\n").join(Content.assemble(*line) if line else Content("") for line in lines)


class TextPane(Static):
    """The text; a click on a token posts `Clicked`."""

    class Clicked(Message):
        """A token was clicked; its position in the whole text."""

        def __init__(self, position: int) -> None:
            super().__init__()
            self.position = position

    def __init__(self) -> None:
        super().__init__(id="inside-text", classes="pane", markup=False)
        self._rows: list[Row] = []
        self._curves = self._start = 0

    def show(self, lines: list[Line], rows: list[Row], curves: int, answer: Answer | None) -> None:
        """Show lines, the first of which are the rows of the text with their curves."""
        self._rows, self._curves = rows, curves
        self._start = answer.text.start if answer and answer.text else 0
        self.update(_content(lines))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        token = token_at(self._rows, self._curves, offset.x, offset.y)
        if token is not None:
            self.post_message(self.Clicked(self._start + token))


class InsidePanes(Vertical):
    """Draws the state of a look inside a text."""

    def __init__(self, state: InsideState) -> None:
        super().__init__(id="inside")
        self._state, self._is_reading = state, False

    def compose(self) -> ComposeResult:
        yield TextPane()
        yield Static(id="inside-out", classes="pane", markup=False)
        with Horizontal(id="inside-panes"):
            yield Static(id="inside-left", classes="pane", markup=False)
            yield Static(id="inside-right", classes="pane", markup=False)

    def on_resize(self) -> None:
        self.draw(is_reading=self._is_reading)

    def draw(self, *, is_reading: bool) -> None:
        """Draw everything; `is_reading` while an answer is awaited."""
        self._is_reading = is_reading
        body = self.size
        if not body.height:
            return
        with self.app.batch_update():
            out = self._draw_knocked_out()
            answer = self._state.answer
            has_panes = answer is not None and answer.text is not None
            self.query_one("#inside-panes").display = has_panes
            left = body.height - out - (self._panes_height(out) if has_panes else 0)
            self._draw_text(max(_LEAST_TEXT + _FRAME, left), body.width, has_panes=has_panes)
            if answer is not None and has_panes:
                self._draw_panes(answer, body.width, out)

    def _panes_height(self, out: int) -> int:
        """What lens and attention need, at most three fifths of the view without `out` rows."""
        column = self._state.first
        needed = _LEAST_PANES
        if column is not None:
            needed = max(len(column.lens) + 1, column.n_head + 5, needed)
        return min(needed + _FRAME, (self.size.height - out) * 3 // 5)

    def _draw_text(self, height: int, width: int, *, has_panes: bool) -> None:
        pane, state = self.query_one(TextPane), self._state
        answer, inner = state.answer, width - _SIDES
        lines: list[Line] = []
        rows: list[Row] = []
        curves = 0
        problem = answer.problem if answer else ""
        if problem:
            rows_of_problem = textwrap.wrap(f"✗ {visible_line(problem)}", max(1, inner))
            lines = [*([(row, "$error")] for row in rows_of_problem), self._way_out()]
        elif answer is None:
            lines = [[("loading …", _MUTED)]]
        elif answer.columns:
            details = [detail_line(answer, column) for column in answer.columns if column.scores]
            if state.is_beside:
                details = [
                    [(f"{label}  ", _MUTED), *line]
                    for label, line in zip("ab", details, strict=False)
                ]
            notes: list[Line] = [[(visible_line(each), "$warning")] for each in answer.notices]
            space = height - _FRAME - len(details) - len(notes)
            shown, rows = text_lines(answer, inner, space)
            curves = len(shown_curves(answer, space))
            lines = [*shown, *details, *notes]
        pane.styles.height = min(height, len(lines) + _FRAME) if has_panes else "1fr"
        pane.show(lines, rows, curves, answer)
        titles = [self._title(column) for column in answer.columns] if answer else []
        if len(titles) > 1:
            titles = [
                Content(f"{label}  ") + each for label, each in zip("ab", titles, strict=True)
            ]
        pane.border_title = Content("  │  ").join(titles)
        pane.border_subtitle = Content(self._about(answer))

    def _way_out(self) -> Line:
        keys = {
            "types a text": "prompt",
            "takes a window": "goto",
            "chooses a checkpoint": "checkpoint",
        }
        hints = (f"{self._key(name)} {what}" for what, name in keys.items())
        return [("  " + " · ".join(hints), _MUTED)]

    def _title(self, column: Column) -> Content:
        name = context_of(self).name_of(column.source.run_id)
        if column.scores is None:
            return Content(f"{name} · {visible_line(column.source.checkpoint)}")
        chosen = next(
            (each for each in column.checkpoints if column.source.checkpoint in each.names), None
        )
        value = column.val_loss
        if value is None and chosen is not None:
            # Another name of the same file may have it.
            value = chosen.metric
        loss = "" if value is None else f" · val loss {loss_text(value)}"
        roles = f" ({', '.join(chosen.roles)})" if chosen and chosen.roles else ""
        return Content(f"{name} · step {column.step:,}{roles}{loss}")

    def _about(self, answer: Answer | None) -> str:
        if answer is None or answer.text is None:
            return ""
        text, chosen = answer.text, answer.question.text
        match chosen:
            case GivenTokens(origin=what):
                pass
            case TypedText():
                what = "typed text"
            case SplitWindow(number):
                of = f" of 0–{text.windows - 1:,}" if text.windows else ""
                what = f"validation window {number:,}{of}"
        tokens = f"{text.count:,} token{'' if text.count == 1 else 's'}"
        if text.count > len(text.tokens):
            tokens += f", {text.start:,}–{text.start + len(text.tokens) - 1:,} in the context"
        average = mean_text(answer)
        if average and self._state.question.parts:
            average += " as it is"
        reading = " · reading …" if self._is_reading else ""
        return f"{what} · {tokens}{average}{reading}"

    def _draw_knocked_out(self) -> int:
        """Draw what the knocked-out parts cost; the height of the pane."""
        pane, state = self.query_one("#inside-out", Static), self._state
        parts = state.question.parts
        pane.display = bool(parts)
        if not parts:
            return 0
        is_short = self.size.height < _LEAST_WITH_CONTINUATIONS
        lines = knocked_out_lines(state, is_short=is_short) or [[("reading …", _MUTED)]]
        pane.update(_content(lines))
        replaced, other = ("its mean", "zero") if state.question.mean else ("zero", "its mean")
        columns = state.answer.columns if state.answer else ()
        names = "; ".join(map(part_text, parts))
        pane.border_title = Content(f"without {names} (replaced by {replaced})")
        curve = "its surprisal: − · " if any(each.without for each in columns) else ""
        keys = f"{self._key('mean')} {other} · {self._key('undo')} restores all"
        pane.border_subtitle = Content(f"{curve}{keys}")
        pane.styles.height = len(lines) + _FRAME
        return len(lines) + _FRAME

    def _draw_panes(self, answer: Answer, width: int, out: int) -> None:
        left, right = (
            self.query_one("#inside-left", Static),
            self.query_one("#inside-right", Static),
        )
        first, *beside = answer.columns
        both = [left, right]
        section: Section = self._state.section
        shown: list[tuple[Column, Section]] = [(each, section) for each in (first, *beside)]
        if not beside and width >= LEAST_WIDE:
            sections: tuple[Section, ...] = ("lens", "attention")
            shown = [(first, each) for each in sections]
        right.display = len(shown) > 1
        # The panes fill what is left below the others.
        height = self._panes_height(out) - _FRAME
        taken = sum(
            int(pane.styles.height.value) if pane.display and pane.styles.height else 0
            for pane in (self.query_one("#inside-text"), self.query_one("#inside-out"))
        )
        height = max(height, self.size.height - taken - _FRAME)
        inner = width // len(shown) - _SIDES
        for label, pane, (column, section) in zip("ab", both, shown, strict=False):
            draw = lens_lines if section == "lens" else attention_lines
            without = f" without the part{'s' if len(column.parts) > 1 else ''}"
            without = without if column.parts else ""
            pane.update(_content(draw(answer, column, self._state, inner, height)))
            name = {
                "lens": f"logit lens{without}: likeliest after each block, entropy in bits",
                "attention": f"attention{without}, block {column.block} "
                f"(█ {percent(highest_weight(column))})",
            }[section]
            pane.border_title = Content(f"{label}  {name}" if beside else name)
            pane.border_subtitle = Content(self._pane_hint(section, len(shown)))

    def _pane_hint(self, section: Section, shown: int) -> str:
        hints = [f"{self._key('up')} {self._key('down')} block"]
        if section == "attention":
            hints.append(f"{self._key('part')} head")
        if shown == 1 or self._state.is_beside:
            other = "attention" if section == "lens" else "lens"
            hints.append(f"{self._key('section')} {other}")
        return " · ".join(hints)

    def _key(self, name: str) -> str:
        return key_hint(f"inside.{name}", context_of(self).keymap)
