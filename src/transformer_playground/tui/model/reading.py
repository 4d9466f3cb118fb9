"""What the Model view asks for, and what is known of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from transformer_playground.config.loading import leaves
from transformer_playground.config.run_config import saved_settings
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.toml import toml_key
from transformer_playground.training.estimate import TrainingMemory

if TYPE_CHECKING:
    from transformer_playground.inspection.weights import Histogram

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is looked at: a run, or an experiment that need not have been trained.

    Attributes:
        checkpoint: File name of a checkpoint; None = the newest.
    """

    name: str
    is_run: bool = True
    checkpoint: str | None = None


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        subject: What is looked at.
        other: What it is compared with.
        histogram: Module whose weights are counted.
        measures_large: Whether large models are measured, too.
        threads: CPU threads to compute with; None = as many as torch has.
    """

    subject: Subject
    other: Subject | None = None
    histogram: str | None = None
    measures_large: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class FoundStep:
    """A checkpoint of a run: its file name, and step and validation loss if they are recorded."""

    checkpoint: str
    step: int | None = None
    val_loss: float | None = None


@dataclass(frozen=True)
class Reading:
    """What is known of a subject; names and texts are untrusted.

    Attributes:
        structure: As `structure_view` of the inspection gives it; None if there is none yet.
        settings: Settings of the model by dotted key.
        memory: Of training on a CPU; None for finetuning, or if the settings are not known.
        has_vocabulary: Whether the size of the vocabulary is known.
        found: The checkpoints, by step.
        chosen: File name of the checkpoint that is looked at; None without one.
        measured: File name -> entry of `checkpoints` in the JSON of `tp inspect --model`.
        text: The text that gradients and silent neurons are of, as in that JSON.
        notices: Sentences for the user.
        problem: Why nothing can be shown.
        is_waiting: Whether it is too large to be measured without being asked.
    """

    subject: Subject
    structure: Document | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    memory: TrainingMemory | None = None
    has_vocabulary: bool = True
    found: tuple[FoundStep, ...] = ()
    chosen: str | None = None
    measured: Mapping[str, Document] = field(default_factory=dict)
    text: Document | None = None
    notices: tuple[str, ...] = ()
    problem: str = ""
    is_waiting: bool = False

    @property
    def entry(self) -> Document | None:
        """What was measured at the chosen checkpoint."""
        return self.measured.get(self.chosen) if self.chosen else None

    @property
    def step(self) -> int | None:
        """Step of the chosen checkpoint, if it is known."""
        entry = self.entry
        known = next((each.step for each in self.found if each.checkpoint == self.chosen), None)
        return known if entry is None else entry["step"]

    def history(self) -> list[Document]:
        """What was measured, by step."""
        known = self.measured
        return [known[each.checkpoint] for each in self.found if each.checkpoint in known]

    def document(self) -> Document | None:
        """What was measured as `tp inspect RUN --model --json` prints it; None before that."""
        checkpoints = self.history()
        if not checkpoints:
            return None
        return {
            "schema_version": 1,
            "run_id": self.subject.name,
            "view": "model",
            "without": None,
            "text": self.text,
            "checkpoints": checkpoints,
        }


@dataclass(frozen=True)
class Shown:
    """An answer, which may still grow.

    Attributes:
        apart: Parameter -> root mean square of the difference to the other one's weights.
        histogram: Of the module asked for; None without its weights.
        is_complete: Whether nothing is left to do.
    """

    ask: Ask
    reading: Reading
    other: Reading | None = None
    apart: Mapping[str, float] = field(default_factory=dict)
    histogram: "Histogram | None" = None
    is_complete: bool = False


class PinnedCheckpoints:
    """Checkpoints that were chosen; a run without one is looked at by its newest."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def of(self, subject: Subject) -> Subject:
        """The subject with the checkpoint that was chosen for it."""
        name = self._names.get(subject.name) if subject.is_run else None
        return replace(subject, checkpoint=name)

    def pin(self, reading: Reading, name: str, subject: Subject | None) -> bool:
        """Choose a checkpoint of what is shown; whether it was chosen.

        Args:
            reading: What is shown.
            name: One of its checkpoints; the newest unpins.
            subject: What is looked at now. Checkpoints of any other have the same names.
        """
        shown = reading.subject
        if not shown.is_run or subject is None or self.of(shown) != self.of(subject):
            return False
        if name == reading.found[-1].checkpoint:
            self._names.pop(shown.name, None)
        else:
            self._names[shown.name] = name
        return True


def recorded_config(record: Document) -> ExperimentConfig | None:
    """Settings of a run; None if it recorded none that can be read."""
    try:
        return ExperimentConfig.model_validate(saved_settings(record))
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def settings_of(config: ExperimentConfig) -> dict[str, Any]:
    """Settings that decide what the model is, by dotted key."""
    tables = ("model",) if config.experiment.kind == "gpt" else ("hf_model", "peft")
    values = config.model_dump(mode="json", include=set(tables))
    return {toml_key(key): value for key, value in leaves(values)}


def spread(names: Sequence[str], chosen: int, most: int) -> set[str]:
    """About `most` names, evenly spread, with the first, the last and the chosen."""
    if len(names) <= most:
        return set(names)
    step = (len(names) - 1) / (most - 1)
    return {names[chosen], *(names[round(place * step)] for place in range(most))}
