"""Loads checkpoints and texts for questions, each at most once, in the worker's thread."""

import contextlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import CheckpointError, DataError
from transformer_playground.files import modified
from transformer_playground.runs.folder import open_run, read_run_config
from transformer_playground.tui.core.checkpoints import Choice, choices_of
from transformer_playground.tui.core.sampling import (
    FileIdentity,
    LruCache,
    ModelCache,
    Source,
    file_identity,
)
from transformer_playground.tui.inside.inside_state import file_of
from transformer_playground.tui.inside.question import (
    GivenTokens,
    Question,
    SplitWindow,
    TypedText,
)

if TYPE_CHECKING:
    from transformer_playground.data.dataset import Dataset
    from transformer_playground.data.tokenizers import Tokenizer
    from transformer_playground.inspection.request import InspectSetup
    from transformer_playground.model.base import LanguageModel

# Those of two runs side by side, and the checkpoints last looked at.
_MAX_MODELS = 4
_MAX_TEXTS = 32


@dataclass(frozen=True)
class Opened:
    """A loaded checkpoint.

    Attributes:
        recorded: When config.json of its run was written: a run that was removed and trained again
            under its id has another text.
        scores: Scores of its heads by kind, once they are measured.
    """

    setup: "InspectSetup"
    model: "LanguageModel"
    step: int
    identity: FileIdentity
    recorded: float | None
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def tokenizer(self) -> "Tokenizer":
        return self.setup.tokenizer

    @property
    def source(self) -> Source:
        return Source(self.setup.run.run_id, self.setup.found[0].path.name)

    @property
    def run_key(self) -> tuple[str, float | None]:
        """What tells its run from any other, past ones of its id included."""
        return self.setup.run.run_id, self.recorded

    @property
    def val_loss(self) -> float | None:
        info = self.setup.found[0].info
        return info.metric if info else None


@dataclass(frozen=True)
class WholeText:
    """A whole text."""

    tokens: tuple[int, ...]
    windows: int | None = None
    notices: tuple[str, ...] = ()


class Loader:
    """Loads what questions are about, from the folders of experiments and runs."""

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self.models = ModelCache(_MAX_MODELS)
        self._opened: LruCache[Source, Opened] = LruCache(_MAX_MODELS)
        self._texts: LruCache[tuple[object, ...], WholeText] = LruCache(_MAX_TEXTS)
        self._datasets: LruCache[tuple[str, float | None], Dataset] = LruCache(_MAX_MODELS)

    def choices(self, run_id: str) -> tuple[Choice, ...]:
        """Checkpoints of a run by step; none if it cannot be read."""
        known = choices_of(self._runs_dir, run_id).checkpoints
        return tuple(sorted(known, key=lambda each: -1 if each.step is None else each.step))

    def open(self, source: Source) -> Opened:
        """Load a checkpoint; one that is loaded stays usable when its file is gone.

        What is opened as the best or the last checkpoint stays the same one when another follows.

        Raises:
            PlaygroundError: It cannot be loaded.
        """
        known = self._opened.get(source)
        if known is not None:
            with contextlib.suppress(CheckpointError):
                if file_identity(known.setup.found[0].path) != known.identity:
                    known = None
        if known is not None:
            return known
        # The first import of torch takes a second or more.
        from transformer_playground.inspection.request import InspectRequest, resolve_inspection

        # A view with a text of its own: neither a prompt nor the dataset is looked up.
        request = InspectRequest(view="heads", checkpoints=(source.checkpoint,), environ=os.environ)
        run = open_run(self._runs_dir, source.run_id)
        setup = resolve_inspection(run, request, hash_file=self.models.sha256)
        path = setup.found[0].path
        lasting = self._lasting_name(source.run_id, path.name)
        if lasting != path.name:
            return self.open(Source(source.run_id, lasting))
        identity = file_identity(path)
        model, step = self.models.load(path, setup.runtime)
        opened = Opened(setup, model, step, identity, modified(run.config_path))
        self._opened.put(opened.source, opened)
        return opened

    def _lasting_name(self, run_id: str, name: str) -> str:
        """Name of the file of a checkpoint that goes on naming it while a run trains."""
        choice = choices_of(self._runs_dir, run_id).named(name)
        return name if choice is None else file_of(choice)

    def text(self, opened: Opened, question: Question) -> WholeText:
        """The text of a question.

        Raises:
            PlaygroundError: It cannot be encoded, or there is no such window or no dataset.
        """
        match question.text:
            case GivenTokens(tokens=tokens):
                return WholeText(tokens)
            case TypedText(typed):
                key: tuple[object, ...] = (*opened.run_key, typed)
                found = self._texts.get(key) or self._typed(opened, typed)
            case SplitWindow(number):
                key = (*opened.run_key, number, opened.model.block_size)
                found = self._texts.get(key) or self._window(opened, number)
        self._texts.put(key, found)
        return found

    def _typed(self, opened: Opened, typed: str) -> WholeText:
        from transformer_playground.inspection.request import InspectRequest, resolve_inspection

        request = InspectRequest(
            prompt=typed,
            prompt_is_literal=True,
            checkpoints=opened.setup.request.checkpoints,
            environ=os.environ,
        )
        setup = resolve_inspection(opened.setup.run, request, hash_file=self.models.sha256)
        return WholeText(setup.prompt or ())

    def _window(self, opened: Opened, number: int) -> WholeText:
        from transformer_playground.inspection.tokens import InspectedText

        dataset = self._dataset(opened)
        request = replace(opened.setup.request, view="text", window=number)
        setup = replace(opened.setup, request=request, dataset=dataset)
        found = InspectedText.of(setup, opened.model)
        tokens = tuple(found.tokens[0].tolist())
        return WholeText(tokens, len(dataset.val) // max(1, len(tokens)), found.notices)

    def _dataset(self, opened: Opened) -> "Dataset":
        known, run = self._datasets.get(opened.run_key), opened.setup.run
        if known is not None:
            return known
        from transformer_playground.experiments.dataset_lookup import find_dataset

        record = read_run_config(run) if run.config_path.is_file() else {}
        lookup = find_dataset(record, stated=None, experiments_dir=self._experiments_dir)
        if lookup.dataset is None:
            raise DataError(f"There is no validation text: {lookup.problem}", "Type a text.")
        self._datasets.put(opened.run_key, lookup.dataset)
        return lookup.dataset
