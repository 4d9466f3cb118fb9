"""Where samples stand in the training text, word for word."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformer_playground.data.browsing.search import find_text
from transformer_playground.data.browsing.statistics import (
    SplitStatistics,
    Unit,
    place_of,
    split_statistics,
)
from transformer_playground.data.browsing.token_bytes import TokenBytes
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import DataError
from transformer_playground.experiments.dataset_lookup import find_dataset
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.text_metrics.corpus import MAX_SEARCHED_BYTES, decode_split
from transformer_playground.text_metrics.overlap import Match, longest_matches

_AROUND = 60


@dataclass(frozen=True)
class SourcePlace:
    """Where a passage stands in the training split, counted from 1."""

    line: int
    part: int
    unit: Unit


@dataclass(frozen=True)
class Passage:
    """The longest passage of a sample that stands in the training text; all text is untrusted.

    Attributes:
        text: The passage.
        start: Where it starts in the sample, in code points.
        share: How much of the sample it is.
        before: Training text before the earliest such passage.
        after: Training text behind it.
        place: Where that is; None if the passage reaches over the end of a document.
        searched: Share of the training tokens that were searched.
    """

    text: str
    start: int
    share: float
    before: str
    after: str
    place: SourcePlace | None
    searched: float

    def as_json(self) -> dict[str, Any]:
        """As in docs/schemas/sample.json."""
        place = self.place
        return {
            "text": self.text,
            "start": self.start,
            "share": self.share,
            "before": self.before,
            "after": self.after,
            "line": None if place is None else place.line,
            "part": None if place is None else place.part,
            "part_unit": None if place is None else place.unit,
            "searched": self.searched,
        }


class TrainingText:
    """The training text of a run, decoded, to find samples in.

    Args:
        dataset: The run's dataset.
        tokenizer: Its tokenizer.
        max_bytes: How much of the text is searched, from its start.

    Raises:
        DataError: A token is outside the vocabulary.
    """

    def __init__(
        self, dataset: Dataset, tokenizer: Tokenizer, *, max_bytes: int = MAX_SEARCHED_BYTES
    ) -> None:
        self._text, self._searched = decode_split(dataset.train, tokenizer, max_bytes=max_bytes)
        self._tokens = dataset.train[: round(self._searched * len(dataset.train))]
        self._tokenizer = tokenizer

    @classmethod
    def of(
        cls,
        run: RunFolder,
        tokenizer: Tokenizer,
        *,
        dataset: Path | None = None,
        experiments_dir: Path | None = None,
    ) -> "TrainingText":
        """The training text of a run.

        Args:
            run: The run.
            tokenizer: Its tokenizer.
            dataset: The dataset's folder, if it has moved.
            experiments_dir: Searched for the dataset after the folder that the run recorded.

        Raises:
            DataError: The dataset is gone, or damaged.
        """
        record = read_run_config(run) if run.config_path.is_file() else {}
        lookup = find_dataset(record, stated=dataset, experiments_dir=experiments_dir)
        if lookup.dataset is None:
            raise DataError(f"There is no training text to search: {lookup.problem}", lookup.hint)
        return cls(lookup.dataset, tokenizer)

    def passages(self, texts: Sequence[str]) -> list[Passage | None]:
        """The longest passage of each text that stands in the training text; None without any."""
        matches = longest_matches(texts, self._text)
        return [self._passage(each) if each.length else None for each in matches.per_text]

    def _passage(self, match: Match) -> Passage:
        first, end = match.reference_start, match.reference_start + match.length
        return Passage(
            match.text,
            match.start,
            match.share,
            self._text[max(0, first - _AROUND) : first],
            self._text[end : end + _AROUND],
            self._place(match.text),
            self._searched,
        )

    def _place(self, text: str) -> SourcePlace | None:
        found = find_text(self._tokens, self._table, text, 0)
        if found is None:
            return None
        place = place_of(self._tokens, self._table, self._statistics, found.first)
        return SourcePlace(place.line, place.part, self._statistics.unit)

    @cached_property
    def _table(self) -> TokenBytes:
        return TokenBytes(self._tokenizer)

    @cached_property
    def _statistics(self) -> SplitStatistics:
        found = split_statistics(self._tokens, self._table, self._tokenizer.eos_id)
        assert found is not None, "nothing cancels it"
        return found


def passage_heading(passage: Passage | None, length: int) -> str:
    """How much of a sample of `length` characters stands in the training text, and where."""
    if passage is None:
        return "verbatim: no character of it stands in the training text"
    place, count = passage.place, f"{len(passage.text):,} of {length:,} characters"
    where = f"from line {place.line:,}, {place.unit} {place.part:,} of" if place else "stand in"
    part = "" if passage.searched == 1 else f" (its first {passage.searched:.0%} were searched)"
    return f"verbatim: {count} ({passage.share:.0%}) {where} the training text{part}"
