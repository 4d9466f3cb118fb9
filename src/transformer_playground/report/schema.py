"""Report schema: dataclasses of a report; docs/schemas/report.json documents each field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transformer_playground.evaluation.baseline import BaselineResult
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
    """Sentence about the run; the module `verdicts` documents the rules."""

    kind: VerdictKind
    level: Literal["good", "bad", "unclear"]
    sentence: str


@dataclass(frozen=True)
class Missing:
    """Reason why a part of the report is null."""

    part: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class CheckpointInfo:
    """Checkpoint that the report is about."""

    file: str
    step: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class DatasetInfo:
    """Dataset that the report was made with."""

    folder: str
    fingerprint: str
    is_checked: bool


@dataclass(frozen=True)
class WindowLosses:
    """Losses on the evaluation windows of the training, in nats per token."""

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
    """Loss over the whole validation split."""

    loss: float
    perplexity: float
    bits_per_byte: float
    tokens: int
    share: float


@dataclass(frozen=True)
class History:
    """Loss history: the best and the newest evaluation during training."""

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
    """Losses of the checkpoint."""

    uniform_loss: float
    windows: WindowLosses | None
    full_validation: FullValidation | None
    history: History | None
    ngram: BaselineResult | None = None


@dataclass(frozen=True)
class Sampling:
    """Settings and token counts of the samples."""

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
    """Metrics of a set of texts, alone and compared with the dataset."""

    statistics: TextStatistics
    exact_match: ExactMatches | None
    longest_match: LongestMatch | None
    ngram_novelty: Mapping[str, float | None] | None


@dataclass(frozen=True)
class Reference:
    """Text that the samples were compared with."""

    train_share: float
    train_chars: int
    val_share: float
    val_chars: int
    unit: Literal["passages", "lines"]
    pieces_overlap: bool


@dataclass(frozen=True)
class Texts:
    """Metrics of the samples and of as much real validation text."""

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
    checkpoint: CheckpointInfo
    dataset: DatasetInfo | None
    evaluation: Evaluation
    sampling: Sampling | None
    texts: Texts | None
    verdicts: tuple[Verdict, ...]
    missing: tuple[Missing, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """JSON document as in docs/schemas/report.json."""
        return {"schema_version": SCHEMA_VERSION, **to_jsonable(self)}
