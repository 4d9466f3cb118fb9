"""Experiment folders: discovery, preparers, scaffold. Free of torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer_playground.experiments.registry import PrepareContext, register

__all__ = ["PrepareContext", "register"]


def __getattr__(name: str) -> Any:
    """What a `prepare.py` imports, loaded on first use: the registry needs numpy and pydantic."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from transformer_playground.experiments import registry

    return getattr(registry, name)
