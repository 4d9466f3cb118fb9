import pytest
import torch

from builders.models import lively_model, tokens_of
from transformer_playground.inspection.recording import Site, record
from transformer_playground.inspection.salience import gradient_salience


def test_products_are_derivatives_along_the_embedding() -> None:
    """The embedding of a token is scaled a little, and the log-probability compared."""
    model = lively_model(positional_encoding="rope").double()
    tokens = tokens_of(3, 1, 7)
    found = gradient_salience(model, tokens)
    assert found.norms.shape == found.products.shape == (6,)
    assert float(found.norms.sum()) == pytest.approx(1)
    assert not any(each.grad is not None for each in model.parameters())

    def log_probability(place: int, scale: float) -> float:
        def scaled(stream: torch.Tensor) -> torch.Tensor:
            changed = stream.clone()
            changed[:, place] *= scale
            return changed

        made = record(model, tokens[:, :-1], edits={Site("embedding"): scaled})
        return float(made.logits[0, -1].log_softmax(-1)[tokens[0, -1]])

    step = 1e-4
    for place in range(6):
        slope = (log_probability(place, 1 + step) - log_probability(place, 1 - step)) / (2 * step)
        assert float(found.products[place]) == pytest.approx(slope, rel=1e-3, abs=1e-4)
