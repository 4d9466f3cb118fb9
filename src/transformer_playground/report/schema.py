"""What a report is made of; docs/schemas/report.json documents each field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.text_metrics.diversity import TextStatistics
from transformer_playground.text_metrics.overlap import ExactMatches

SCHEMA_VERSION = 1

VerdictKind = Literal[
    "diverged",
    "untrained",
    "overfitting",
    "unstable",
    "wide_gap",
    "no_overfitting",
    "memorised",
    "copying",
    "no_memorisation",
    "memorisation_unclear",
    "repetitive",
    "duplicates",
    "empty",
]


@dataclass(frozen=True)
class Verdict:
    """One plain sentence about the run; `verdicts` says when each is passed."""

    kind: VerdictKind
    level: Literal["good", "bad", "unclear"]
    sentence: str


@dataclass(frozen=True)
class Missing:
    """A part of the report that is null, and why."""

    part: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class CheckpointFacts:
    """Which weights the report is about."""

    file: str
    step: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class DatasetFacts:
    """Which dataset the report was made with."""

    folder: str
    fingerprint: str
    is_checked: bool


@dataclass(frozen=True)
class WindowLosses:
    """Losses on the windows that training evaluates on, in nats per token."""

    source: Literal["evaluated", "metrics"]
    step: int
    train_loss: float
    val_loss: float
    train_perplexity: float
    val_perplexity: float
    val_bits_per_byte: float | None
    generalisation_gap: float


@dataclass(frozen=True)
class FullValidation:
    """Loss over the validation split from its first token to its last."""

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int
    share: float


@dataclass(frozen=True)
class History:
    """What the evaluations during training say about the course of the losses."""

    evaluations: int
    best_step: int
    best_val_loss: float
    newest_step: int
    newest_val_loss: float
    newest_val_rise: float
    newest_train_change: float | None
    checkpoint_val_rise: float | None


@dataclass(frozen=True)
class Evaluation:
    """How well the model predicts text that is there."""

    uniform_loss: float
    windows: WindowLosses | None
    full_validation: FullValidation | None
    history: History | None


@dataclass(frozen=True)
class Sampling:
    """How the samples were drawn."""

    n_samples: int
    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    unconditional: bool
    prompt: str
    tokens_drawn: int
    stopped: int


@dataclass(frozen=True)
class LongestMatch:
    """Verbatim passages shared with the training text."""

    length: int
    text: str
    sample: int
    mean_length: float
    mean_share: float


@dataclass(frozen=True)
class TextMeasures:
    """A set of texts, by itself and against the dataset."""

    statistics: TextStatistics
    exact_match: ExactMatches | None
    longest_match: LongestMatch | None
    ngram_novelty: Mapping[str, float | None] | None


@dataclass(frozen=True)
class Reference:
    """What the texts were compared with."""

    train_share: float
    train_chars: int
    val_share: float
    val_chars: int
    unit: Literal["passages", "lines"]
    pieces_overlap: bool


@dataclass(frozen=True)
class Texts:
    """What the model wrote, beside as much real validation text."""

    reference: Reference | None
    model: TextMeasures
    validation: TextMeasures | None
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Quality and overfitting of one run; all text in it is untrusted."""

    run_id: str
    experiment: str | None
    created: str
    kind: Literal["full", "quick"]
    checkpoint: CheckpointFacts
    dataset: DatasetFacts | None
    evaluation: Evaluation
    sampling: Sampling | None
    texts: Texts | None
    verdicts: tuple[Verdict, ...]
    missing: tuple[Missing, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The report as docs/schemas/report.json describes it."""
        document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **to_jsonable(self)}
        return document
