"""Reading and measuring of one run or experiment, each file once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.checkpoints.discovery import FoundCheckpoint
from transformer_playground.config.run_config import saved_vocab_size
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import known_vocab_size
from transformer_playground.errors import CheckpointError, PlaygroundError, describe_error
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.files import modified
from transformer_playground.inspection.request import (
    ALL,
    InspectRequest,
    InspectSetup,
    resolve_inspection,
)
from transformer_playground.runs.folder import RunFolder, open_run, read_run_config
from transformer_playground.training.estimate import training_memory
from transformer_playground.tui.core.sampling import LruCache, ModelCache, file_identity
from transformer_playground.tui.model.reading import (
    Document,
    FoundStep,
    Reading,
    Subject,
    recorded_config,
    settings_of,
    spread,
)

if TYPE_CHECKING:
    from torch import Tensor

    from transformer_playground.inspection.weights import Histogram
    from transformer_playground.model.base import LanguageModel
    from transformer_playground.runs.generation import LoadedModel

LARGE = 100_000_000
"""Parameters from which a model is measured only on request."""

MOST_CHECKPOINTS = 16
"""Checkpoints of a run that are measured, evenly spread."""

_MEASURED = 256
_SETUPS = 8
# A model and that of the checkpoint before.
_MODELS = 2


class Superseded(Exception):  # noqa: N818 - it is no error
    """Another request has come meanwhile."""


@dataclass
class Stores:
    """What was measured, by the identity of the files; and the models that were loaded last."""

    experiments_dir: Path
    runs_dir: Path
    results: LruCache[object, Document] = field(default_factory=lambda: LruCache(_MEASURED))
    changes: LruCache[object, Mapping[str, float]] = field(
        default_factory=lambda: LruCache(_MEASURED)
    )
    setups: LruCache[object, InspectSetup] = field(default_factory=lambda: LruCache(_SETUPS))
    models: ModelCache = field(default_factory=lambda: ModelCache(_MODELS))

    def release(self) -> None:
        """Free the models."""
        self.models = ModelCache(_MODELS)


class SubjectReader:
    """Reads one subject and hands on what is known after each step.

    Args:
        stores: What has been read before.
        subject: What to read.
        measures_large: Whether a large model is measured.
        take: Called with each reading.
        flush: Called before and after a step that takes long, to show the last reading; may raise
            `Superseded`.
    """

    def __init__(
        self,
        stores: Stores,
        subject: Subject,
        *,
        measures_large: bool,
        take: Callable[[Reading], object],
        flush: Callable[[], object],
    ) -> None:
        self._stores, self._take, self._flush = stores, take, flush
        self._measures_large = measures_large
        self._setup: InspectSetup | None = None
        self._paths: dict[str, FoundCheckpoint] = {}
        self._updated: set[str] = set()
        self._has_text = False
        self.reading = Reading(subject)

    @property
    def chosen_path(self) -> Path | None:
        """File of the chosen checkpoint; None without one, or if it is not to be loaded."""
        found = self._paths.get(self.reading.chosen or "")
        return None if found is None or self.reading.is_waiting else found.path

    def read(self) -> None:
        """Read the shapes, then measure the chosen checkpoint."""
        self._guarded(self._read_run if self.reading.subject.is_run else self._read_experiment)

    def read_history(self) -> None:
        """Measure the other checkpoints, and what changed from one to the next."""
        if self.chosen_path is not None:
            self._guarded(self._read_history)

    def histogram(self, module: str) -> "Histogram | None":
        """Weights of a module: of its own matrices, else of those of the modules in it."""
        from transformer_playground.inspection.weights import module_weights, weight_histogram

        path = self.chosen_path
        if path is None:
            return None
        self._flush()
        try:
            values = module_weights(self._loaded(path).model, module)
            return None if values is None else weight_histogram(values)
        except BaseException as error:  # noqa: BLE001 - a panic in Rust code must not end the view
            self._notice(describe_error(error))
            return None

    def differences(self, path: Path, other: "SubjectReader", before: Path) -> Mapping[str, float]:
        """Root mean squares of the differences to the weights of another checkpoint."""
        try:
            key = file_identity(path), file_identity(before)
            known = self._stores.changes.get(key)
            if known is None:
                self._flush()
                from transformer_playground.inspection.weights import weight_updates

                known = weight_updates(self._parameters(path), other._parameters(before))
                self._stores.changes.put(key, known)
            return known
        except Superseded:
            raise
        except BaseException as error:  # noqa: BLE001
            self._notice(describe_error(error))
            return {}

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step; what goes wrong becomes a sentence."""
        try:
            step()
        except Superseded:
            raise
        # Not only Exception: a panic in Rust code must not end the view.
        except BaseException as error:  # noqa: BLE001
            text = describe_error(error)
            if self.reading.structure is None:
                self._set(problem=text)
            else:
                self._notice(text)

    def _set(self, **changes: Any) -> None:
        self.reading = replace(self.reading, **changes)
        self._take(self.reading)

    def _notice(self, text: str) -> None:
        if text not in self.reading.notices:
            self._set(notices=(*self.reading.notices, text))

    def _read_experiment(self) -> None:
        name = self.reading.subject.name
        _, loaded = load_experiment(self._stores.experiments_dir, name, None, (), os.environ)
        vocabulary = known_vocab_size(loaded.config.prepare.dataset_dir)
        self._read_shapes(loaded.config, vocabulary)

    def _read_shapes(self, config: ExperimentConfig, vocabulary: int | None) -> None:
        is_own = config.experiment.kind == "gpt"
        size = (config.model.vocab_size or vocabulary) if is_own else vocabulary
        key = config.experiment.kind, config.model, config.hf_model, config.peft, size
        known = self._stores.results.get(str(key))
        settings = settings_of(config)
        try:
            if known is None:
                # The first import of torch takes a second or more.
                from transformer_playground.inspection.module_view import structure_view
                from transformer_playground.inspection.shapes import shapes_of

                known = structure_view(shapes_of(config, size))
                self._stores.results.put(str(key), known)
        except PlaygroundError as error:
            self._set(settings=settings)
            self._notice(str(error))
            if not self.reading.subject.is_run:
                raise
            return
        self._set(
            structure=known,
            settings=settings,
            memory=training_memory(config, size or 0) if is_own else None,
            has_vocabulary=size is not None or not is_own,
        )

    def _read_run(self) -> None:
        run = open_run(self._stores.runs_dir, self.reading.subject.name)
        record = read_run_config(run) if run.config_path.is_file() else {}
        config = recorded_config(record)
        if config is not None:
            self._read_shapes(config, saved_vocab_size(record))
        setup = self._resolved(run)
        if setup is None:
            return
        self._setup = setup
        self._find(setup)
        if self._is_large(setup) and not self._measures_large:
            self._set(is_waiting=True)
            return
        if self.reading.chosen is not None:
            self._measure(self.reading.chosen)

    def _resolved(self, run: RunFolder) -> InspectSetup | None:
        """The checkpoints and the text of a run; None if it has no checkpoint that can be used."""
        # Checking every checkpoint reads them all.
        key = run.root, modified(run.checkpoints), modified(run.config_path)
        self._has_text = True
        if (known := self._stores.setups.get(key)) is not None:
            return known
        request = InspectRequest(
            view="model",
            split="val",
            checkpoints=(ALL,),
            experiments_dir=self._stores.experiments_dir,
            environ=os.environ,
        )
        self._flush()
        try:
            found = resolve_inspection(run, request)
            self._stores.setups.put(key, found)
            return found
        except CheckpointError as error:
            self._notice(f"Shapes only: {error.message}")
            return None
        except PlaygroundError as error:
            # Without the dataset, all but gradients and silent neurons is known.
            reason = error.message
        self._has_text = False
        try:
            setup = resolve_inspection(run, replace(request, split=None))
        except PlaygroundError as error:
            self._notice(f"Shapes only: {error.message}")
            return None
        self._notice(f"No gradients and no silent neurons: {reason}")
        return setup

    def _find(self, setup: InspectSetup) -> None:
        """Note which checkpoints there are, and which one is looked at."""
        names = [each.path.name for each in setup.found]
        wanted = self.reading.subject.checkpoint
        if wanted is not None and wanted not in names:
            self._notice(f"The checkpoint {wanted} is gone: the newest is shown.")
        chosen = wanted if wanted in names else names[-1]
        kept = spread(names, names.index(chosen), MOST_CHECKPOINTS)
        self._paths = {each.path.name: each for each in setup.found if each.path.name in kept}
        found = tuple(
            FoundStep(
                name,
                each.info.step if each.info else None,
                each.info.metric if each.info else None,
            )
            for name, each in self._paths.items()
        )
        for notice in setup.notices:
            self._notice(notice)
        self._set(found=found, chosen=chosen)

    def _is_large(self, setup: InspectSetup) -> bool:
        if self.reading.structure is not None:
            parameters: int = self.reading.structure["parameters"]
            return parameters >= LARGE
        # Weights and two moments in float32.
        return any(each.path.stat().st_size >= 12 * LARGE for each in setup.found)

    def _read_history(self) -> None:
        names = [each.checkpoint for each in self.reading.found]
        at = names.index(self.reading.chosen or "") + 1
        # Backwards, so that of two neighbours the later one is still loaded.
        for name in [*reversed(names[:at]), *reversed(names[at:])]:
            self._measure(name)
            later = self._neighbour(name, 1)
            if later in self.reading.measured:
                self._add_updates(later)
        for name in names[1:]:
            self._add_updates(name)

    def _neighbour(self, name: str, by: int) -> str:
        names = [each.checkpoint for each in self.reading.found]
        place = names.index(name) + by if name in names else -1
        return names[place] if 0 <= place < len(names) else ""

    def _measure(self, name: str) -> None:
        """Add what a checkpoint says; one that has vanished is left out."""
        if name in self.reading.measured:
            return
        found = self._paths[name]
        try:
            known, is_new = self._result(found.path)
        except CheckpointError as error:
            self._drop(name, error)
            return
        entry = {
            "checkpoint": name,
            "step": known["step"],
            "val_loss": found.info.metric if found.info else None,
            "result": known["result"],
        }
        changes: dict[str, Any] = {"measured": {**self.reading.measured, name: entry}}
        if name == self.reading.chosen:
            changes |= {"structure": known["result"], "text": known["text"]}
        self._set(**changes)
        if is_new:
            self._flush()

    def _drop(self, name: str, error: CheckpointError) -> None:
        found = tuple(each for each in self.reading.found if each.checkpoint != name)
        chosen = self.reading.chosen
        if name == chosen:
            chosen = found[-1].checkpoint if found else None
        notices = (*self.reading.notices, f"Left out: {error.message}")
        self._set(found=found, chosen=chosen, notices=notices)
        if name != chosen and chosen is not None:
            self._measure(chosen)

    def _result(self, path: Path) -> tuple[Document, bool]:
        """Step, result and text of a checkpoint, and whether they were measured only now."""
        key = file_identity(path), self._has_text
        known = self._stores.results.get(key)
        if known is not None:
            return known, False
        self._flush()
        from transformer_playground.inspection.module_view import model_view

        model, step = self._loaded(path)
        windows, text = self._text(model)
        on_device = None if windows is None else windows.to(model.device)
        result = model_view(model, on_device, None)
        known = {"step": step, "result": result, "text": text}
        self._stores.results.put(key, known)
        return known, True

    def _loaded(self, path: Path) -> "LoadedModel":
        assert self._setup is not None
        return self._stores.models.load(path, self._setup.runtime)

    def _text(self, model: "LanguageModel") -> "tuple[Tensor | None, Document | None]":
        """Windows of the validation split, and the first of them as a document."""
        from transformer_playground.inspection.tokens import InspectedText

        setup = self._setup
        if setup is None or not self._has_text:
            return None, None
        try:
            text = InspectedText.of(setup, model)
        except PlaygroundError as error:
            self._notice(f"No gradients and no silent neurons: {error.message}")
            return None, None
        return text.windows, text.document(setup.tokenizer)

    def _add_updates(self, name: str) -> None:
        """Add what changed since the checkpoint before."""
        before, entry = self._neighbour(name, -1), self.reading.measured.get(name)
        if not before or entry is None or name in self._updated:
            return
        self._updated.add(name)
        changes = self.differences(self._paths[name].path, self, self._paths[before].path)
        weights = [
            each | _update_of(each, changes.get(each["name"]))
            for each in entry["result"]["weights"]
        ]
        result = {**entry["result"], "weights": weights}
        measured = {**self.reading.measured, name: {**entry, "result": result}}
        self._set(measured=measured)

    def _parameters(self, path: Path) -> "Mapping[str, Tensor]":
        return dict(self._loaded(path).model.named_parameters())


def _update_of(weight: Document, update: float | None) -> Mapping[str, float | None]:
    size = weight["weight_rms"]
    relative = update / size if update is not None and size else None
    return {"update_rms": update, "relative_update": relative}
