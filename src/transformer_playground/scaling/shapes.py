"""Shapes of models: layers, width and heads for a number of parameters.

A family keeps the experiment's aspect ratio (width / layers) and the width of its heads, since
loss depends on both (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", figure 5).
"""

import itertools
import math
import re
from bisect import bisect_left
from dataclasses import dataclass

from transformer_playground.config.model import ModelConfig
from transformer_playground.config.toml import shortened
from transformer_playground.errors import UsageError
from transformer_playground.formatting import parse_number

_MOST_LAYERS = 128
# Wide matrices are fast in multiples of large powers of two; narrow ones need finer steps.
_WIDTHS = (*range(4, 64, 4), *range(64, 256, 8), *range(256, 16_385, 32))
# How much a deviation of a tenth from the wanted size counts against one from the aspect ratio.
_SIZE_WEIGHT = 4.0
_FURTHEST = 1.25
_WIDTH_AND_LAYERS = re.compile(r"(\d{1,5})x(\d{1,4})")
_FORMS = "Write parameters, such as 20k or 1.5M, or width x layers, such as 128x4."


@dataclass(frozen=True)
class Shape:
    """Layers, width and heads of a model, and its number of parameters.

    Attributes:
        n_kv_head: Heads of keys and values; None as in the experiment: as many as heads.
    """

    n_layer: int
    n_embd: int
    n_head: int
    n_kv_head: int | None
    parameters: int


def parse_sizes(text: str, model: ModelConfig, vocab_size: int) -> list[Shape]:
    """The shapes of sizes with commas between them, smallest first.

    Args:
        text: Each is a number of parameters (20k) or width x layers (128x4).
        model: Of the experiment; everything but the shape is taken from it.
        vocab_size: Of its dataset.

    Raises:
        UsageError: One is no size, no shape comes near it, or two are the same shape.
    """
    shapes = [_shape(part.strip(), model, vocab_size) for part in text.split(",")]
    ordered = sorted(shapes, key=lambda shape: shape.parameters)
    for first, second in itertools.pairwise(ordered):
        if (first.n_layer, first.n_embd) == (second.n_layer, second.n_embd):
            raise UsageError(
                f"Two of the sizes are the same shape, {first.n_embd}x{first.n_layer}.",
                "Choose sizes that are further apart.",
            )
    return ordered


def shape_for(target: float, model: ModelConfig, vocab_size: int) -> Shape:
    """The shape nearest to a number of parameters and to the aspect ratio of `model`.

    Raises:
        UsageError: None has a size within a quarter of it.
    """
    aspect = model.n_embd / model.n_layer

    def distance(shape: Shape) -> float:
        size = abs(math.log(shape.parameters / target))
        return _SIZE_WEIGHT * size + abs(math.log(shape.n_embd / shape.n_layer / aspect))

    candidates = [
        shape
        for layers in range(1, _MOST_LAYERS + 1)
        for shape in _near(layers, target, model, vocab_size)
    ]
    best = min(candidates, key=distance)
    if not 1 / _FURTHEST < best.parameters / target < _FURTHEST:
        raise UsageError(
            f"No shape of this experiment has about {target:,.0f} parameters; the nearest has "
            f"{best.parameters:,}.",
            "Choose a larger size, or width x layers.",
        )
    return best


def _shape(text: str, model: ModelConfig, vocab_size: int) -> Shape:
    if match := _WIDTH_AND_LAYERS.fullmatch(text):
        width, layers = int(match[1]), int(match[2])
        if width < 1 or layers < 1:
            raise UsageError(f"'{shortened(text)}' is not a size.", _FORMS)
        return _with(layers, width, model, vocab_size)
    number = parse_number(text)
    if number is None or number < 1:
        raise UsageError(f"'{shortened(text)}' is not a size.", _FORMS)
    return shape_for(number, model, vocab_size)


def _near(layers: int, target: float, model: ModelConfig, vocab_size: int) -> list[Shape]:
    """The widest shape of so many layers below the target, and the next wider one."""
    place = bisect_left(_WIDTHS, target, key=lambda width: _count(layers, width, model, vocab_size))
    around = _WIDTHS[max(0, place - 1) : place + 1]
    return [_with(layers, width, model, vocab_size) for width in around]


def _count(layers: int, width: int, model: ModelConfig, vocab_size: int) -> int:
    return _with(layers, width, model, vocab_size).parameters


def _with(layers: int, width: int, model: ModelConfig, vocab_size: int) -> Shape:
    heads = _heads(width, model)
    kv_heads = None
    if model.n_kv_head is not None:
        wanted = heads * model.n_kv_head / model.n_head
        kv_heads = min(_divisors(heads), key=lambda count: abs(count - wanted))
    changed = model.model_copy(
        update={"n_layer": layers, "n_embd": width, "n_head": heads, "n_kv_head": kv_heads}
    )
    parameters = changed.parameter_count(model.vocab_size or vocab_size)
    return Shape(layers, width, heads, kv_heads, parameters)


def _heads(width: int, model: ModelConfig) -> int:
    """A number of heads that divides the width, with heads about as wide as the experiment's."""
    counts = _divisors(width)
    if model.positional_encoding == "rope":
        # Rotary positions turn pairs of channels.
        counts = [count for count in counts if width // count % 2 == 0] or counts
    return min(counts, key=lambda count: abs(math.log(width / count / model.head_dim)))


def _divisors(number: int) -> list[int]:
    small = [each for each in range(1, math.isqrt(number) + 1) if number % each == 0]
    return sorted({*small, *(number // each for each in small)})
