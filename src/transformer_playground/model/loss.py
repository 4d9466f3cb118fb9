"""The training objective."""

from torch import Tensor
from torch.nn import functional


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood in nats, summed over all targets and computed in float32.

    A sum, so that whoever knows how many targets a whole step has can divide by that.

    Args:
        logits: (B, T, V) in any floating format.
        targets: (B, T) int64.
    """
    return functional.cross_entropy(
        logits.flatten(0, -2).float(), targets.flatten(), reduction="sum"
    )
