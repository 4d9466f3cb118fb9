"""How many samples are decoded together."""

import itertools
from collections.abc import Iterator

from transformer_playground.model.interface import LanguageModel

# One pass over 64 rows keeps the cores as busy as one over 200, and its activations stay in
# their caches; accelerators want more rows.
_MOST_ON_CPU = 64
_MOST_ON_ACCELERATOR = 512
# Keys and values of samples decoded together take at most so much memory.
_CACHE_BYTES = 1 << 30


def batches(model: LanguageModel, n_samples: int, capacity: int) -> Iterator[range]:
    """Split samples into batches of nearly the same size, in order.

    A batch is as large as is fast and as its keys and values fit into a gigabyte, but never empty.

    Args:
        model: The model to decode with.
        n_samples: Number of samples.
        capacity: Tokens that each sample's key-value cache holds.
    """
    most = _MOST_ON_CPU if model.device.type == "cpu" else _MOST_ON_ACCELERATOR
    most = max(1, min(most, _CACHE_BYTES // model.cache_bytes(capacity)))
    count = -(-n_samples // most)
    edges = [n_samples * number // count for number in range(count + 1)]
    return (range(first, end) for first, end in itertools.pairwise(edges))
