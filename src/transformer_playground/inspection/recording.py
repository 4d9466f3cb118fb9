"""A forward pass that records activations, or replaces them, through hooks.

A model without hooks runs as always: inspection costs nothing where it is not asked for.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from transformer_playground.inspection.parts import LayerParts, ModelParts, parts_of, weights_of
from transformer_playground.model.base import LanguageModel, evaluating

SiteKind = Literal["embedding", "residual", "heads", "attention", "mlp", "neurons", "weights"]


class Site(NamedTuple):
    """A place in the forward pass, and the shape of its activation.

    - embedding: the residual stream before the first layer, (B, T, width).
    - residual: the residual stream after a layer, (B, T, width).
    - heads: outputs of the heads before their projection, (B, T, n_head, head_dim).
    - attention, mlp: output of the branch, (B, T, width).
    - neurons: activations of the MLP's hidden units, (B, T, hidden).
    - weights: attention weights, (B, n_head, T, T); they cannot be replaced.
    """

    kind: SiteKind
    layer: int = 0


Edit = Callable[[Tensor], Tensor]
"""Gives the activation that replaces one."""


@dataclass
class Recording:
    """Logits (B, T, vocab_size) and activations of a forward pass."""

    logits: Tensor
    activations: dict[Site, Tensor] = field(default_factory=dict)

    def __getitem__(self, site: Site) -> Tensor:
        return self.activations[site]


def record(
    model: LanguageModel,
    tokens: Tensor,
    sites: Iterable[Site] = (),
    edits: Mapping[Site, Edit] | None = None,
) -> Recording:
    """Run a model in evaluation mode, and record activations.

    Args:
        model: Our transformer, or a base model with adapters.
        tokens: (B, T) int64, T at most `block_size`.
        sites: What to record.
        edits: Activations to replace on the way; what is recorded there is the new one.

    Raises:
        ModelError: The architecture does not have these sites.
    """
    activations: dict[Site, Tensor] = {}
    parts = parts_of(model)
    with hooked(parts, activations, sites, edits or {}), evaluating(model):
        return Recording(model(tokens), activations)


@contextlib.contextmanager
def hooked(
    parts: ModelParts,
    activations: dict[Site, Tensor],
    sites: Iterable[Site],
    edits: Mapping[Site, Edit],
) -> Iterator[None]:
    """Let forward passes in the block fill `activations` and apply edits."""
    wanted = set(sites)
    handles: list[RemovableHandle] = []
    with contextlib.ExitStack() as stack:
        if any(site.kind == "weights" for site in wanted):
            stack.enter_context(parts.shows_weights())
        try:
            for site in sorted(wanted | edits.keys()):
                edit = edits.get(site)

                def visit(
                    value: Tensor, site: Site = site, edit: Edit | None = edit
                ) -> Tensor | None:
                    if edit is not None:
                        value = edit(value)
                    if site in wanted:
                        activations[site] = value.detach()
                    return None if edit is None else value

                handles.append(_attach(parts, site, visit))
            yield
        finally:
            for handle in handles:
                handle.remove()


_Visit = Callable[[Tensor], Tensor | None]


def _attach(parts: ModelParts, site: Site, visit: _Visit) -> RemovableHandle:
    if site.kind == "embedding":
        module, is_output = parts.stream_start
        return _on_output(module, visit) if is_output else _on_input(module, visit)
    layer = parts.layers[site.layer]
    match site.kind:
        case "residual":
            return _on_output(layer.block, visit)
        case "attention":
            return _on_output(layer.attention, visit)
        case "heads":
            return _on_input(layer.attention_output, _by_head(visit, parts.n_head))
        case "weights":
            return _on_weights(layer.attention, visit)
    return _attach_mlp(layer, site, visit)


def _attach_mlp(layer: LayerParts, site: Site, visit: _Visit) -> RemovableHandle:
    if layer.mlp is None or layer.mlp_output is None:
        raise ValueError(f"{site} of a model without MLPs")
    if site.kind == "mlp":
        return _on_output(layer.mlp, visit)
    return _on_input(layer.mlp_output, visit)


def _on_output(module: nn.Module, visit: _Visit) -> RemovableHandle:
    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        # Some modules of transformers return more beside the activation.
        has_more = isinstance(output, tuple)
        first: Any = output[0] if has_more else output
        value = visit(first)
        if value is None:
            return None
        return (value, *output[1:]) if has_more else value

    return module.register_forward_hook(hook)


def _on_input(module: nn.Module, visit: _Visit) -> RemovableHandle:
    def hook(_module: nn.Module, args: Any, kwargs: Any) -> Any:
        value = visit(args[0] if args else kwargs["hidden_states"])
        if value is None:
            return None
        if args:
            return (value, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": value}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _on_weights(module: nn.Module, visit: _Visit) -> RemovableHandle:
    def hook(called: nn.Module, args: Any, output: Any) -> None:
        visit(weights_of(called, args, output))

    return module.register_forward_hook(hook)


def _by_head(visit: _Visit, n_head: int) -> _Visit:
    def by_head(value: Tensor) -> Tensor | None:
        changed = visit(value.view(*value.shape[:-1], n_head, -1))
        return None if changed is None else changed.flatten(-2)

    return by_head
