"""State of the view inside a text: the cursor, what is chosen, and what to ask next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from transformer_playground.tui.core.checkpoints import Choice
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.question import (
    Answer,
    Column,
    GivenTokens,
    Question,
    SplitWindow,
    TextChoice,
    start_of,
)

Section = Literal["lens", "attention"]

_SURPRISING_SHARE = 0.1
_LEAST_SURPRISING = 3


def part_text(name: str) -> str:
    """A part of the model in words: "1.0" is block 1, head 0."""
    block, _, part = name.partition(".")
    if not part:
        return f"block {block}"
    return f"block {block}, {'MLP' if part == 'mlp' else f'head {part}'}"


@dataclass
class InsideState:
    """What the user looks at; `question` says it to the service.

    Attributes:
        part: Chosen part of the block: a head, then the MLP if it has one, then the whole block.
        section: What is shown where there is room for one only.
        answer: The newest answer; it may be to an older question.
        refused: The text that was asked for last, if it could not be read.
    """

    question: Question
    part: int = 0
    section: Section = "lens"
    answer: Answer | None = None
    refused: TextChoice | None = None

    def take(self, answer: Answer) -> str:
        """Take in an answer to the present question.

        A text that cannot be read does not take the place of one that can.

        Returns:
            Why the text was refused; empty if it was not.
        """
        before = self.answer
        is_about_text = answer.text is None and not answer.columns
        if (
            is_about_text
            and before is not None
            and before.text is not None
            and before.question.text != answer.question.text
        ):
            self.refused = answer.question.text
            self.question = replace(
                self.question,
                text=before.question.text,
                position=before.position,
                start=before.text.start,
            )
            return answer.problem
        self.answer = answer
        if answer.text is None:
            return ""
        # The files of what is shown, whatever becomes the best or the last one meanwhile.
        sources = tuple(
            asked if column.problem else column.source
            for asked, column in zip(self.question.sources, answer.columns, strict=True)
        )
        self.question = replace(
            self.question, sources=sources, position=answer.position, start=answer.text.start
        )
        self.part = min(self.part, len(self.part_names()) - 1)
        return ""

    @property
    def first(self) -> Column | None:
        """What the first checkpoint says; None before it does."""
        columns = self.answer.columns if self.answer else ()
        return columns[0] if columns else None

    @property
    def is_beside(self) -> bool:
        """Whether two checkpoints are side by side."""
        return len(self.question.sources) > 1

    @property
    def block(self) -> int:
        """Chosen block."""
        wanted = self.question.block
        last = len(self.first.has_mlp) - 1 if self.first else 0
        return max(0, last if wanted is None else min(wanted, last))

    def part_names(self) -> tuple[str, ...]:
        """Names of the parts of the chosen block, as `parse_component` reads them."""
        column, block = self.first, self.block
        if column is None or not column.has_mlp:
            return (str(block),)
        heads = [f"{block}.{head}" for head in range(column.n_head)]
        mlp = [f"{block}.mlp"] if column.has_mlp[block] else []
        return (*heads, *mlp, str(block))

    @property
    def part_name(self) -> str:
        """The chosen part."""
        names = self.part_names()
        return names[min(self.part, len(names) - 1)]

    @property
    def head(self) -> int | None:
        """The chosen head; None if another part is chosen."""
        column = self.first
        return self.part if column and self.part < column.n_head else None

    def move(self, by: int) -> bool:
        """Move the cursor; whether it moved."""
        return self.point((self.question.position or 1) + by)

    def point(self, position: int) -> bool:
        """Put the cursor on a token of the whole text, from 1, or behind the last one."""
        text = self.answer.text if self.answer else None
        if text is None:
            return False
        position = min(max(1, position), text.count)
        if position == self.question.position:
            return False
        start = start_of(position, text.count, text.size, self.question.start)
        self.question = replace(self.question, position=position, start=start)
        return True

    def surprise(self, by: int) -> bool:
        """Go to the next or the previous token that surprises; at the end to the other end."""
        text, column = self.answer.text if self.answer else None, self.first
        if text is None or column is None or column.scores is None:
            return False
        scores = column.without or column.scores
        places = [text.start + place for place in surprising(scores.surprisals)]
        if not places:
            return False
        here = self.question.position or 1
        if by > 0:
            return self.point(next((each for each in places if each > here), places[0]))
        return self.point(next((each for each in places[::-1] if each < here), places[-1]))

    def turn_block(self, by: int) -> bool:
        """Choose another block."""
        column = self.first
        if column is None or not column.has_mlp:
            return False
        kept = self.part_name.partition(".")[2]
        block = min(max(0, self.block + by), len(column.has_mlp) - 1)
        is_other = block != self.block
        self.question = replace(self.question, block=block)
        # The same head, or the MLP or the whole block again.
        wanted = f"{block}.{kept}" if kept else str(block)
        names = self.part_names()
        self.part = names.index(wanted) if wanted in names else len(names) - 1
        return is_other

    def turn_part(self, by: int) -> None:
        """Choose another part of the block."""
        self.part = (self.part + by) % len(self.part_names())

    def knock_out(self) -> None:
        """Knock the chosen part out, or restore it."""
        name, parts = self.part_name, self.question.parts
        rest = tuple(each for each in parts if each != name)
        self.question = replace(self.question, parts=rest if name in parts else (*parts, name))

    def restore(self) -> bool:
        """Restore all parts; whether any was out."""
        was_out = bool(self.question.parts)
        self.question = replace(self.question, parts=())
        return was_out

    def toggle_mean(self) -> None:
        """Replace what is knocked out by its mean, or by zero."""
        self.question = replace(self.question, mean=not self.question.mean)

    def scrub(self, by: int) -> bool:
        """Go to an earlier or later checkpoint of the run; whether there is one."""
        column = self.first
        if column is None:
            return False
        own = self.question.sources[0]
        choice = beside_step(column.checkpoints, own.checkpoint, column.step, by)
        if choice is None:
            return False
        self.go_to(Source(own.run_id, file_of(choice)))
        return True

    def go_to(self, source: Source) -> None:
        """Ask another checkpoint, which takes the place of the first."""
        self.question = replace(self.question, sources=(source, *self.question.sources[1:]))

    def show(self, text: TextChoice) -> None:
        """Look at another text."""
        self.refused = None
        self.question = replace(self.question, text=text, position=None, start=None)

    def turn_window(self, by: int) -> bool:
        """Go to another window of the split; from any other text to the first one."""
        chosen = self.question.text
        if not isinstance(chosen, SplitWindow):
            self.show(SplitWindow(0))
            return True
        text = self.answer.text if self.answer else None
        last = (text.windows or 1) - 1 if text else chosen.number
        number = min(max(0, chosen.number + by), last)
        if number == chosen.number:
            return False
        self.show(SplitWindow(number))
        return True

    def put_beside(self, source: Source | None) -> None:
        """Ask another checkpoint about the same text; None = no longer."""
        others = () if source is None else (source,)
        self.question = replace(self.question, sources=(self.question.sources[0], *others))

    def by_run(self) -> tuple[Question, ...]:
        """What is shown as questions of one run each, as an export holds checkpoints of one run.

        Checkpoints that cannot be shown are left out.
        """
        answer = self.answer
        if answer is None or answer.text is None:
            return ()
        columns = [each for each in answer.columns if not each.problem]
        run_ids = dict.fromkeys(each.source.run_id for each in columns)
        # A window of one run need not be one of the other, so it is its tokens that both read.
        text = self.question.text if len(run_ids) == 1 else GivenTokens(answer.text.tokens)
        questions: list[Question] = []
        for run_id in run_ids:
            own = [each for each in columns if each.source.run_id == run_id]
            sources, parts = tuple(each.source for each in own), own[0].parts
            questions.append(replace(self.question, sources=sources, text=text, parts=parts))
        return tuple(questions)


def surprising(surprisals: Sequence[float | None]) -> list[int]:
    """Places of the tenth of tokens, and at least three, that surprise most; in order."""
    known = [place for place, each in enumerate(surprisals) if each is not None]
    count = max(_LEAST_SURPRISING, round(len(known) * _SURPRISING_SHARE))
    return sorted(sorted(known, key=lambda place: -(surprisals[place] or 0.0))[:count])


def file_of(choice: Choice) -> str:
    """Name of the file of a checkpoint, which stays what it is while best and last move on."""
    return choice.names[min(len(choice.roles), len(choice.names) - 1)]


def beside_step(choices: Sequence[Choice], current: str, step: int, by: int) -> Choice | None:
    """The checkpoint before or after one, which may be gone meanwhile; None at the end.

    Args:
        choices: By step.
        current: Name of the one.
        step: Its step.
        by: -1 or 1.
    """
    here = next((n for n, each in enumerate(choices) if current in each.names), None)
    if here is None:
        earlier = [n for n, each in enumerate(choices) if (each.step or 0) < step]
        here = (earlier[-1] if earlier else -1) + (by < 0)
    target = here + by
    return choices[target] if 0 <= target < len(choices) else None
