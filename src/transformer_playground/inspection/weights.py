"""The modules of a model: shapes, memory and FLOPs, and sizes of weights, gradients and updates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from transformer_playground.inspection.parts import parts_of
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.gpt import GPT
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.model.positions import Positions

_BINNED_DEVIATIONS = 4.0


@dataclass(frozen=True)
class ModuleNode:
    """A module with its own parameters and those of the modules in it; tied ones count once.

    Attributes:
        name: Dotted name; empty for the whole model.
        kind: Class of the module.
        shapes: Shapes of its own parameters by name.
        parameters: Number of parameters, of which `trainable` are trained.
        share: Part of the model's parameters.
        bytes: Memory of the parameters.
        flop_per_token: Floating-point operations of a forward pass per token.
    """

    name: str
    kind: str
    shapes: Mapping[str, tuple[int, ...]]
    parameters: int
    trainable: int
    share: float
    bytes: int
    flop_per_token: int
    children: tuple["ModuleNode", ...] = ()

    @property
    def has_weights(self) -> bool:
        """Whether there are any in it, even without elements, as of an unknown vocabulary."""
        return bool(self.shapes) or any(child.has_weights for child in self.children)

    def walk(self) -> Iterator["ModuleNode"]:
        """The node and all nodes below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


def module_tree(model: LanguageModel, length: int | None = None) -> ModuleNode:
    """The tree of modules of a model.

    FLOPs are counted as in `ModelConfig.flop_per_token`: two for each weight of a matrix, and four
    times the width of the heads for each key of each attention layer, without the mask.

    Args:
        model: The model.
        length: Tokens of a window, for the cost of attention; None = the whole context.
    """
    flop = _flop_by_module(model, length or model.block_size)
    total = max(1, sum(each.numel() for each in model.parameters()))
    return _node("", model, flop, total, set())


def _node(
    name: str, module: nn.Module, flop: Mapping[nn.Module, int], total: int, seen: set[int]
) -> ModuleNode:
    own = {
        key: value for key, value in module.named_parameters(recurse=False) if id(value) not in seen
    }
    seen.update(map(id, own.values()))
    prefix = f"{name}." if name else ""
    children = tuple(
        _node(f"{prefix}{key}", child, flop, total, seen) for key, child in module.named_children()
    )
    parameters = sum(each.numel() for each in own.values()) + sum(c.parameters for c in children)
    return ModuleNode(
        name=name,
        kind=type(module).__name__,
        shapes={key: tuple(value.shape) for key, value in own.items()},
        parameters=parameters,
        trainable=sum(each.numel() for each in own.values() if each.requires_grad)
        + sum(child.trainable for child in children),
        share=parameters / total,
        bytes=sum(each.nbytes for each in own.values()) + sum(child.bytes for child in children),
        flop_per_token=flop.get(module, 0) + sum(child.flop_per_token for child in children),
        children=tuple(each for each in children if each.flop_per_token or each.has_weights),
    )


def _flop_by_module(model: LanguageModel, length: int) -> dict[nn.Module, int]:
    parts = parts_of(model)
    # Conv1D of transformers is linear, too; an embedding is a look-up.
    flop = {
        module: 2 * weight.numel()
        for module in model.modules()
        if isinstance(weight := getattr(module, "weight", None), Tensor)
        and weight.dim() == 2
        and not isinstance(module, nn.Embedding | Positions)
        and not list(module.children())
    }
    for layer in parts.layers:
        width = input_width(layer.attention_output)
        flop[layer.attention] = flop.get(layer.attention, 0) + 4 * width * length
    if isinstance(model, GPT) and model.head is None:
        # A tied head is the table.
        flop[model.token_embedding] = 2 * parts.embeddings.numel()
    return flop


def input_width(projection: nn.Module) -> int:
    """Inputs of a linear layer, that of transformers' GPT-2 included; 0 if unknown."""
    for name in ("in_features", "nx"):
        if isinstance(width := getattr(projection, name, None), int):
            return width
    return 0


@dataclass(frozen=True)
class WeightStats:
    """Sizes of a parameter; each is a root mean square over its elements.

    Attributes:
        weight: Of the weights.
        gradient: Of the gradient of the mean loss; None if not measured or not trained.
        update: Of the change since another checkpoint; None without one.
    """

    shape: tuple[int, ...]
    weight: float
    gradient: float | None = None
    update: float | None = None

    @property
    def relative_update(self) -> float | None:
        """Update in proportion to the weights; None if either is unknown or all weights are 0."""
        return None if self.update is None or not self.weight else self.update / self.weight


@dataclass(frozen=True)
class Statistics:
    """Sizes of all parameters by name, and the mean loss whose gradient was measured."""

    parameters: Mapping[str, WeightStats] = field(default_factory=dict)
    loss: float | None = None


def weight_statistics(
    model: LanguageModel,
    tokens: Tensor | None = None,
    earlier: Mapping[str, Tensor] | None = None,
) -> Statistics:
    """Sizes of weights, and on request of gradients and updates, by parameter.

    Args:
        model: The model; existing gradients stay as they are.
        tokens: Text (B, T) whose mean loss is differentiated; None = no gradients.
        earlier: Parameters of another checkpoint of the same model, by name.
    """
    named = dict(model.named_parameters())
    gradients, loss = _gradients(model, tokens) if tokens is not None else ({}, None)
    updates = weight_updates(named, earlier or {})
    found = {}
    for name, parameter in named.items():
        gradient = gradients.get(name)
        found[name] = WeightStats(
            shape=tuple(parameter.shape),
            weight=_rms(parameter),
            gradient=None if gradient is None else _rms(gradient),
            update=updates.get(name),
        )
    return Statistics(found, loss)


def weight_updates(now: Mapping[str, Tensor], earlier: Mapping[str, Tensor]) -> dict[str, float]:
    """Root mean square of the change of each parameter that both have in the same shape."""
    return {
        name: _rms(value.detach().float() - before.to(value.device).float())
        for name, value in now.items()
        if (before := earlier.get(name)) is not None and before.shape == value.shape
    }


@dataclass(frozen=True)
class Histogram:
    """How weights are distributed.

    Attributes:
        low: Lower end of the first bin, `high` the upper end of the last; bins are equally wide.
        counts: Weights in each bin.
        outside: Finite weights beyond the bins, which reach four standard deviations from the mean.
        zeros: Weights that are exactly 0.
        not_finite: Weights that are no finite number; they are in no bin.
        total: All weights.
        mean: Of the finite weights, as is `std`, their standard deviation.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    outside: int
    zeros: int
    not_finite: int
    total: int
    mean: float
    std: float


def module_weights(model: nn.Module, name: str) -> Tensor | None:
    """Weights of a module in one row: of its own matrices, else of those of the modules in it.

    Vectors, such as biases, count where there are no matrices. None without any weights.
    """
    found = dict(model.named_modules()).get(name)
    if found is None:
        return None
    tensors = list(found.parameters(recurse=False)) or list(found.parameters())
    chosen = [each for each in tensors if each.dim() > 1] or tensors
    return torch.cat([each.detach().float().flatten() for each in chosen]) if chosen else None


def weight_histogram(values: Tensor, bins: int = 32) -> Histogram:
    """Histogram of the elements of a tensor."""
    flat = values.detach().float().flatten()
    finite = flat[flat.isfinite()]
    lost, zeros = flat.numel() - finite.numel(), int((flat == 0).sum())
    if not finite.numel():
        return Histogram(0.0, 0.0, (0,) * bins, 0, zeros, lost, flat.numel(), 0.0, 0.0)
    mean, std = finite.mean().item(), finite.std(correction=0).item()
    low = max(finite.min().item(), mean - _BINNED_DEVIATIONS * std)
    high = min(finite.max().item(), mean + _BINNED_DEVIATIONS * std)
    if low >= high:
        # All weights are alike.
        low, high = mean - 0.5, mean + 0.5
    counts = tuple(int(count) for count in finite.histc(bins, low, high).tolist())
    outside = finite.numel() - sum(counts)
    return Histogram(low, high, counts, outside, zeros, lost, flat.numel(), mean, std)


def _gradients(model: LanguageModel, tokens: Tensor) -> tuple[dict[str, Tensor], float]:
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    was_training = model.training
    # Without dropout.
    model.eval()
    try:
        with torch.enable_grad():
            total = summed_cross_entropy(model(tokens[:, :-1]), tokens[:, 1:])
            loss = total / max(1, tokens[:, 1:].numel())
            found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    finally:
        model.train(was_training)
    named = zip(trained, found, strict=True)
    return {name: each for name, each in named if each is not None}, loss.item()


def _rms(values: Tensor) -> float:
    return values.detach().float().square().mean().sqrt().item() if values.numel() else 0.0
