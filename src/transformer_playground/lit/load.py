"""The models and texts of a session."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transformer_playground.checkpoints.discovery import skipped_notice
from transformer_playground.data.dataset import Dataset
from transformer_playground.evaluation.pairs import swapped_pairs
from transformer_playground.lit.icons import icon_style
from transformer_playground.lit.predictions import AskedModel
from transformer_playground.lit.request import LitRequest
from transformer_playground.lit.session import LitSession
from transformer_playground.lit.texts import pairs_card, windows_card
from transformer_playground.report.request import ReportSetup
from transformer_playground.runs.generation import LoadedRun, load_resolved
from transformer_playground.runs.generation_request import prepare_config

# LIT computes every shown text with all models, attention included.
_LONGEST_WINDOW = 256
_PAIR_TOKENS = 200_000


def load_session(
    setups: Sequence[ReportSetup],
    request: LitRequest,
    python: Path,
    *,
    progress: Callable[[str], object],
) -> LitSession:
    """Load the runs of a request, and make datasets of their validation splits.

    Runs of the same dataset and tokenizer share theirs.

    Args:
        setups: From `resolve_lit`.
        request: What to show.
        python: Interpreter of LIT's environment.
        progress: Called with sentences for the user.

    Raises:
        PlaygroundError: A checkpoint cannot be loaded, or the model has unknown parts.
    """
    models: list[AskedModel] = []
    cards: dict[str, list[dict[str, Any]]] = {}
    for setup in setups:
        loaded = load_resolved(setup.sampling)
        for skipped in loaded.skipped:
            progress(skipped_notice(skipped))
        model = AskedModel.of(loaded, prepare_config(setup.run))
        # An architecture that cannot be inspected is refused now.
        model.card()
        models.append(model)
        dataset = setup.lookup.dataset
        assert dataset is not None
        if dataset.fingerprint not in cards:
            suffix = f" of {loaded.run_id}" if cards else ""
            cards[dataset.fingerprint] = _cards(loaded, dataset, request, suffix)
    datasets = [card for each in cards.values() for card in each]
    return LitSession(python, models, datasets, icon_style())


def _cards(
    loaded: LoadedRun, dataset: Dataset, request: LitRequest, suffix: str
) -> list[dict[str, Any]]:
    size = min(_LONGEST_WINDOW, loaded.model.block_size, len(dataset.val))
    cards = [
        windows_card(
            f"validation text{suffix}",
            dataset,
            loaded.tokenizer,
            size=size,
            count=request.windows,
        )
    ]
    if request.n_pairs:
        text = loaded.tokenizer.decode(np.asarray(dataset.val[:_PAIR_TOKENS]).tolist())
        if pairs := swapped_pairs(text, request.n_pairs):
            cards.append(pairs_card(f"minimal pairs{suffix}", pairs))
    return cards
