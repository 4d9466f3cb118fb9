"""N-gram baseline of the dataset that runs were trained on."""

from collections.abc import Sequence
from pathlib import Path

from transformer_playground.errors import DataError, UsageError
from transformer_playground.evaluation.baseline import USUAL_ORDER, NGramBaseline, ngram_baseline
from transformer_playground.experiments.dataset_lookup import find_dataset, recorded_fingerprint
from transformer_playground.runs.folder import RunFolder, read_run_config


def baseline_of(
    runs: Sequence[RunFolder], experiments_dir: Path, order: int = USUAL_ORDER
) -> NGramBaseline:
    """N-grams of the text of these runs, counted unless they are kept beside the dataset.

    Args:
        runs: At least one run.
        experiments_dir: Where the dataset of their experiment is looked for.
        order: Longest n-grams.

    Raises:
        UsageError: The runs were trained on different datasets.
        PlaygroundError: A run cannot be read, or its dataset is gone or another one.
    """
    records = [read_run_config(run) for run in runs]
    fingerprints = {recorded_fingerprint(record) for record in records}
    if len(fingerprints) > 1:
        raise UsageError(
            "These runs were trained on different datasets, so they have no n-grams in common.",
            "Name runs of one dataset.",
        )
    lookup = find_dataset(records[0], stated=None, experiments_dir=experiments_dir)
    if lookup.dataset is None:
        raise DataError(
            f"The n-grams of {runs[0].run_id} cannot be counted: {lookup.problem}", lookup.hint
        )
    return ngram_baseline(lookup.dataset, order)
