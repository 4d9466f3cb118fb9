"""What is asked about a text, and the answer; text of tokens is untrusted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer_playground.tui.core.checkpoints import Choice
from transformer_playground.tui.core.sampling import Source

if TYPE_CHECKING:
    from transformer_playground.inspection.heads import HeadKind
    from transformer_playground.inspection.lens import LayerPrediction
    from transformer_playground.inspection.text import TokenScores


@dataclass(frozen=True)
class GivenTokens:
    """Tokens as they are, such as a model drew them after a prompt.

    Attributes:
        origin: Where they come from, in words.
    """

    tokens: tuple[int, ...]
    origin: str = "sample"


@dataclass(frozen=True)
class TypedText:
    """Text that the tokenizer of the run encodes."""

    text: str


@dataclass(frozen=True)
class SplitWindow:
    """A window of the validation split, counted from 0."""

    number: int = 0


TextChoice = GivenTokens | TypedText | SplitWindow


@dataclass(frozen=True)
class Question:
    """What to look at.

    Positions count the tokens of the whole text from 0. The token at the cursor is explained by
    what comes before it; the cursor behind the last token asks what follows.

    Attributes:
        sources: One checkpoint, or two side by side.
        position: Of the cursor; None = a telling one.
        start: First token that is read, of a text longer than the context; None = as needed.
        block: Layer whose attention is read; None = the last one.
        parts: What is knocked out, as `parse_component` reads it.
        mean: Whether a mean replaces it, and not zero.
    """

    sources: tuple[Source, ...]
    text: TextChoice
    position: int | None = None
    start: int | None = None
    block: int | None = None
    parts: tuple[str, ...] = ()
    mean: bool = False


@dataclass(frozen=True)
class ShownText:
    """The tokens that were read: those of the text from `start` on, as many as the context holds.

    Attributes:
        texts: Text of each token.
        count: Number of tokens of the whole text.
        size: How many tokens are read at most.
        windows: Number of windows of the split, of a window.
    """

    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    start: int
    count: int
    size: int
    windows: int | None = None


@dataclass(frozen=True)
class Column:
    """What one checkpoint says.

    Attributes:
        source: The checkpoint by the name of its file.
        checkpoints: Those of the run, the earliest first.
        has_mlp: For each layer, whether it has an MLP.
        scores: Of the whole model.
        without: Of the model without what is knocked out; None if nothing is.
        parts: What of it this model has.
        lens: What the embedding and each layer would predict, most of all without the parts.
        decided: Layer of the lens from which on the prediction stays; 0 = the embedding.
        expected: The token that it decides on: the next one, or the likeliest behind the text.
        block: Layer of `weights`.
        weights: For each head, the attention of the position before the cursor.
        kinds: What each head does; empty until it is known.
        continued: Continuation of the text by the model as it is, and without the parts.
        problem: Why there is nothing else.
        lens_problem: Why there is no lens.
        attention_problem: Why there is no attention.
    """

    source: Source
    step: int = 0
    val_loss: float | None = None
    checkpoints: tuple[Choice, ...] = ()
    n_head: int = 0
    has_mlp: tuple[bool, ...] = ()
    scores: "TokenScores | None" = None
    without: "TokenScores | None" = None
    parts: tuple[str, ...] = ()
    lens: "tuple[LayerPrediction, ...]" = ()
    decided: int | None = None
    expected: int | None = None
    block: int = 0
    weights: tuple[tuple[float, ...], ...] = ()
    kinds: "tuple[HeadKind | None, ...]" = ()
    continued: tuple[str, str] | None = None
    problem: str = ""
    lens_problem: str = ""
    attention_problem: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer to a question, as far as it is known.

    Attributes:
        position: Of the cursor.
        text: None if there is none, for the reason `problem`.
        names: Text of every token that a column names, by id.
    """

    question: Question
    position: int = 1
    text: ShownText | None = None
    columns: tuple[Column, ...] = ()
    names: "dict[int, str] | None" = None
    notices: tuple[str, ...] = ()
    problem: str = ""

    @property
    def here(self) -> int:
        """Position of the cursor among the tokens that were read."""
        return self.position - self.text.start if self.text else 1


def start_of(position: int, count: int, size: int, start: int | None) -> int:
    """First token to read so that the one at the cursor is among them, with what comes before.

    Args:
        position: Of the cursor, from 1 to `count`.
        count: Number of tokens of the text.
        size: How many are read at most.
        start: Where reading began so far; kept where it can be.
    """
    earliest = min(max(0, min(position + 1, count) - size), position - 1)
    if start is None:
        return earliest
    return min(max(start, earliest), position - 1, max(0, count - size))
