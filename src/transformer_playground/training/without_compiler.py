"""Optimizers that do not load torch's compiler.

torch wraps methods of its optimizers so that torch.compile leaves them alone. The wrappers import
the compiler when they are first called, which takes a second at the start of every training and a
hundred megabytes. Here no step of an optimizer is ever compiled, so the wrapped functions are
called themselves.
"""

import inspect
from typing import TypeVar

import torch

_Optimizer = TypeVar("_Optimizer", bound=type[torch.optim.Optimizer])

_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def without_compiler(optimizer: _Optimizer) -> _Optimizer:
    """Class decorator: the class uses the functions inside the wrappers."""
    for name in _WRAPPED:
        setattr(optimizer, name, inspect.unwrap(getattr(torch.optim.Optimizer, name)))
    return optimizer


@without_compiler
class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` (Loshchilov & Hutter 2019)."""

    # The wrapper of torch would also switch gradients off.
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
