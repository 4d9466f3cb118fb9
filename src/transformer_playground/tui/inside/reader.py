"""Reads what one checkpoint says about a text: scores, lens, attention, heads, continuation."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import ModelError, UsageError
from transformer_playground.tui.core.checkpoints import Choice
from transformer_playground.tui.core.sampling import LruCache
from transformer_playground.tui.inside.loading import Opened
from transformer_playground.tui.inside.question import Column, Question, ShownText

if TYPE_CHECKING:
    from torch import Tensor

    from transformer_playground.inspection.ablation import Component, Replacement
    from transformer_playground.inspection.text_pass import TextPass

CONTINUED = 24
"""Tokens that continue a text."""
# A pass holds the residual stream of a text after every layer.
_MAX_PASSES = 8
_MAX_CONTINUED = 32


class Passes:
    """Passes over texts and their continuations, each made at most once."""

    def __init__(self) -> None:
        self._passes: LruCache[tuple[object, ...], TextPass] = LruCache(_MAX_PASSES)
        self._continued: LruCache[tuple[object, ...], str] = LruCache(_MAX_CONTINUED)

    def text_pass(
        self,
        opened: Opened,
        tokens: tuple[int, ...],
        parts: "Sequence[Component]" = (),
        replacement: "Replacement" = "zero",
    ) -> "TextPass":
        """The pass over a text."""
        from transformer_playground.inspection.text_pass import TextPass

        key = (opened.identity, tokens, tuple(parts), replacement if parts else "")
        found = self._passes.get(key)
        if found is None:
            found = TextPass(
                opened.model, _row(opened, tokens), tuple(parts), replacement=replacement
            )
            self._passes.put(key, found)
        return found

    def continued(
        self,
        opened: Opened,
        tokens: tuple[int, ...],
        parts: "Sequence[Component]",
        replacement: "Replacement",
    ) -> str:
        """The likeliest continuation of a text."""
        from transformer_playground.inspection.ablation import continuation

        key = (opened.identity, tokens, tuple(parts), replacement if parts else "")
        found = self._continued.get(key)
        if found is None:
            tokenizer = opened.tokenizer
            ids = []
            for token in continuation(
                opened.model,
                _row(opened, tokens),
                parts,
                replacement=replacement,
                count=CONTINUED,
                vocab_size=tokenizer.vocab_size,
            ):
                if token == tokenizer.eos_id:
                    break
                ids.append(token)
            found = tokenizer.decode(ids)
            self._continued.put(key, found)
        return found


def _row(opened: Opened, tokens: Sequence[int]) -> "Tensor":
    import torch

    return torch.tensor([tokens], device=opened.model.device)


class Reader:
    """Reads what one checkpoint says about the text of a question.

    Args:
        here: Position of the cursor among the tokens that are read.
    """

    def __init__(
        self,
        passes: Passes,
        opened: Opened,
        question: Question,
        text: ShownText,
        here: int,
    ) -> None:
        from transformer_playground.inspection.ablation import parse_component
        from transformer_playground.inspection.parts import parts_of

        self._passes, self._opened, self._text, self._here = passes, opened, text, here
        self._parts = parts_of(opened.model)
        self._replacement: Replacement = "mean" if question.mean else "zero"
        self._out: dict[str, Component] = {}
        for name in question.parts:
            # The other model may have fewer layers, heads or no MLPs.
            with contextlib.suppress(UsageError):
                self._out[name] = parse_component(name, self._parts)
        n_layer = len(self._parts.layers)
        wanted = n_layer - 1 if question.block is None else question.block
        self._block = min(max(0, wanted), n_layer - 1)

    def column(self, checkpoints: tuple[Choice, ...]) -> Column:
        """Scores, lens and attention."""
        opened = self._opened
        whole = self._passes.text_pass(opened, self._text.tokens)
        shown = self._pass
        column = Column(
            opened.source,
            opened.step,
            opened.val_loss,
            checkpoints,
            n_head=self._parts.n_head,
            has_mlp=tuple(layer.mlp is not None for layer in self._parts.layers),
            scores=whole.scores,
            without=shown.scores if self._out else None,
            parts=tuple(self._out),
            block=self._block,
        )
        return self._with_attention(self._with_lens(column, shown), shown)

    @property
    def _pass(self) -> "TextPass":
        parts = tuple(self._out.values())
        return self._passes.text_pass(self._opened, self._text.tokens, parts, self._replacement)

    def _with_lens(self, column: Column, shown: "TextPass") -> Column:
        from transformer_playground.inspection.lens import decided_from

        try:
            lens = shown.lens(self._here - 1)
        except ModelError as error:
            return replace(column, lens_problem=str(error))
        after = self._text.tokens[self._here : self._here + 1]
        expected = after[0] if after else lens[-1].likeliest[0][0]
        return replace(column, lens=lens, expected=expected, decided=decided_from(lens, expected))

    def _with_attention(self, column: Column, shown: "TextPass") -> Column:
        try:
            rows = shown.attention(self._block)[:, self._here - 1, : self._here]
        except ModelError as error:
            return replace(column, attention_problem=str(error))
        return replace(column, weights=tuple(map(tuple, rows.tolist())))

    def with_kinds(self, column: Column) -> Column:
        """Also says what each head does."""
        if column.attention_problem:
            return column
        return replace(column, kinds=self._pass.kinds(self._block, self._scores()))

    def _scores(self) -> Mapping[str, Any]:
        from transformer_playground.config.model import MIN_SCORED
        from transformer_playground.inspection.heads import score_heads

        opened, model = self._opened, self._opened.model
        if not opened.scores and model.block_size >= MIN_SCORED:
            found = score_heads(
                model,
                vocab_size=min(opened.tokenizer.vocab_size, model.vocab_size),
                excluded=opened.tokenizer.eos_id,
            )
            opened.scores.update({kind: grid.tolist() for kind, grid in found.by_kind().items()})
        return opened.scores

    def with_continuation(self, column: Column) -> Column:
        """Also continues the text, with and without what is knocked out."""
        if not self._out:
            return column
        parts = tuple(self._out.values())
        before, after = (
            self._passes.continued(self._opened, self._text.tokens, out, self._replacement)
            for out in ((), parts)
        )
        return replace(column, continued=(before, after))
