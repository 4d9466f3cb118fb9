"""Answers questions about a text in a worker thread, the only one here that uses torch.

Loaded models and passes over texts are cached, so that moving the cursor only reads what is there.
"""

import os
import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError, UsageError, describe_error
from transformer_playground.runs.folder import open_run
from transformer_playground.tui.core.sampling import Source, cpu_threads
from transformer_playground.tui.inside.loading import Loader, Opened, WholeText
from transformer_playground.tui.inside.question import (
    Answer,
    Column,
    Question,
    ShownText,
    SplitWindow,
    start_of,
)
from transformer_playground.tui.inside.reader import Passes, Reader

if TYPE_CHECKING:
    from transformer_playground.data.tokenizers import Tokenizer
    from transformer_playground.inspection.request import View


class InsideService:
    """Answers questions; call `answers` from one thread at a time."""

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._lock = threading.Lock()
        self.release()

    def release(self) -> None:
        """Let go of all models, texts and passes; does not block."""
        self._loader, self._passes = Loader(self._experiments_dir, self._runs_dir), Passes()

    def answers(self, question: Question, threads: int | None = None) -> Generator[Answer]:
        """Answers to a question, each more complete than the one before; closes at any time.

        Args:
            question: What to look at.
            threads: Number of CPU threads; None keeps the current number.
        """
        with self._lock, cpu_threads(threads):
            try:
                yield from self._answers(question)
            except MemoryError:
                problem = "There is not enough memory to look inside this model."
                yield Answer(question, problem=problem)
            except Exception as error:  # noqa: BLE001 - a library may fail in any way
                yield Answer(question, problem=describe_error(error))

    def _answers(self, question: Question) -> Generator[Answer]:
        opened = [self._open_or_say(source) for source in question.sources]
        first = opened[0]
        if isinstance(first, str):
            # The other checkpoints of the run can still be chosen.
            choices = self._loader.choices(question.sources[0].run_id)
            column = Column(question.sources[0], checkpoints=choices, problem=first)
            yield Answer(question, columns=(column,), problem=first)
            return
        loaded: list[Opened | str] = [
            each if isinstance(each, str) else _agrees(first, each) or each for each in opened
        ]
        text = self._loader.text(first, question)
        shown, position = self._shown(
            text, question, [each for each in loaded if isinstance(each, Opened)]
        )
        notices = [*first.setup.notices, *text.notices]
        answer = Answer(question, position, shown, notices=tuple(notices))
        readers = [
            None
            if isinstance(each, str)
            else Reader(self._passes, each, question, shown, answer.here)
            for each in loaded
        ]
        columns = [
            reader.column(self._loader.choices(source.run_id))
            if reader is not None
            else Column(source, problem=str(each))
            for source, each, reader in zip(question.sources, loaded, readers, strict=True)
        ]
        answer = _with(answer, columns, first.tokenizer)
        yield answer
        for complete in (Reader.with_kinds, Reader.with_continuation):
            columns = [
                column if reader is None else complete(reader, column)
                for reader, column in zip(readers, columns, strict=True)
            ]
            answer = _with(answer, columns, first.tokenizer)
            yield answer

    def export(self, question: Question, answer: Answer, view: "View", path: Path) -> None:
        """Write what `tp inspect` prints with `--json` for the text that is shown.

        Args:
            question: With the checkpoints of one run, as `InsideState.by_run` gives it.
            answer: The answer to it.
            view: A view of `tp inspect`.
            path: File to write.

        Raises:
            PlaygroundError: OSError while writing, or the checkpoint is gone.
        """
        from transformer_playground.files import replace_text
        from transformer_playground.inspection.request import InspectRequest, resolve_inspection
        from transformer_playground.inspection.views import inspect_run
        from transformer_playground.jsonvalues import ascii_json

        text = answer.text
        if text is None:
            raise UsageError("There is no text to export.", "Type one, or choose a window.")
        source = question.sources[0]
        run = open_run(self._runs_dir, source.run_id)
        window = question.text.number if isinstance(question.text, SplitWindow) else None
        request = InspectRequest(
            view=view,
            prompt=None if window is not None else "",
            prompt_is_literal=True,
            window=window or 0,
            checkpoints=tuple(each.checkpoint for each in question.sources),
            position=max(0, answer.here - 1),
            parts=question.parts,
            mean=question.mean,
            together=True,
            experiments_dir=self._experiments_dir,
            environ=os.environ,
        )
        with self._lock:
            if window is None:
                # Tokens of a sample need not be those that its text is encoded as.
                setup = resolve_inspection(
                    run,
                    replace(request, view="heads", prompt=None),
                    hash_file=self._loader.models.sha256,
                )
                setup = replace(setup, request=request, prompt=text.tokens)
            else:
                setup = resolve_inspection(run, request, hash_file=self._loader.models.sha256)
            document = inspect_run(setup)
        replace_text(path, ascii_json(document))

    def _open_or_say(self, source: Source) -> "Opened | str":
        try:
            return self._loader.open(source)
        except PlaygroundError as error:
            return str(error)

    def _shown(
        self, text: WholeText, question: Question, opened: Sequence[Opened]
    ) -> tuple[ShownText, int]:
        """The tokens to read, and the cursor."""
        from transformer_playground.runs.generation import token_text

        count = len(text.tokens)
        if count == 0:
            raise UsageError("The text has no token.", "Type at least one character.")
        size = min(each.model.block_size for each in opened)
        position = question.position
        if position is None and isinstance(question.text, SplitWindow) and count > 1:
            tokens = text.tokens[:size]
            surprisals = self._passes.text_pass(opened[0], tokens).scores.surprisals
            position = max(range(1, len(tokens)), key=lambda place: surprisals[place] or 0.0)
        position = min(max(1, count if position is None else position), count)
        start = start_of(position, count, size, question.start)
        tokens = text.tokens[start : start + size]
        tokenizer = opened[0].tokenizer
        texts = tuple(token_text(tokenizer, each) for each in tokens)
        return ShownText(tokens, texts, start, count, size, text.windows), position


def _agrees(first: Opened, other: Opened) -> str:
    """Why two models cannot be asked about the same tokens; empty if they can."""
    if _identity(first.tokenizer) == _identity(other.tokenizer):
        return ""
    return (
        f"{other.source.run_id} has another tokenizer than {first.source.run_id}: they do not read "
        "the same tokens."
    )


def _identity(tokenizer: "Tokenizer") -> tuple[object, ...]:
    about = tokenizer.describe()
    return tuple(about.get(key) for key in ("kind", "vocab_size", "stoi", "tokenizer"))


def _with(answer: Answer, columns: Sequence[Column], tokenizer: "Tokenizer") -> Answer:
    from transformer_playground.inspection.tokens import named_token

    ids: set[int] = set()
    for column in columns:
        for layer in column.lens:
            ids.update(token for token, _ in layer.likeliest)
        if column.expected is not None:
            ids.add(column.expected)
    names = {token: named_token(tokenizer, token)["text"] for token in ids}
    return replace(answer, columns=tuple(columns), names=names)
