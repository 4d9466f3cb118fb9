"""Dropout of a part of a batch with the masks of the whole batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from transformer_playground.training.shares import Piece


class DropoutRows(TorchFunctionMode):
    """Context in which each dropout draws its mask for a whole micro-batch and uses its own rows.

    So processes that share a micro-batch drop what one process would drop. Every process draws all
    masks, which costs little beside the products of a layer. On an accelerator the kernels draw in
    an order of their own, so there each process draws its own masks instead.
    """

    def __init__(self, piece: Piece) -> None:
        super().__init__()
        self._rows, self._own = piece.rows, piece.stop - piece.start
        self._whole = piece.batch_stop - piece.batch_start

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or replace it if it is a dropout."""
        options = dict(kwargs or {})
        if func is Tensor.backward:
            return self._backward(*args)
        if func is functional.dropout:
            return self._dropout(*args, **options)
        if func is functional.scaled_dot_product_attention and options.get("dropout_p"):
            return self._attention(*args, **options)
        return func(*args, **options)

    def _backward(self, loss: Tensor) -> None:
        # A mode is off while it treats a function, but gradient checkpointing drops again here.
        # Tensor.backward itself would leave the mode once more.
        with self:
            torch.autograd.Variable._execution_engine.run_backward(
                (loss,),
                (torch.ones_like(loss),),
                False,
                False,
                (),
                allow_unreachable=True,
                accumulate_grad=True,
            )

    def _dropout(
        self,
        input: Tensor,  # noqa: A002 - the name is torch's
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> Tensor:
        if not training or p == 0:
            return functional.dropout(input, p, training, inplace)
        scale = functional.dropout(input.new_ones(self._shape(input.shape)), p)
        own = self._own_rows(scale)
        return input.mul_(own) if inplace else input * own

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout_p: float, **options: Any
    ) -> Tensor:
        shape = (*query.shape[:-1], key.shape[-2])
        kept = torch.empty(self._shape(shape), dtype=query.dtype).bernoulli_(1 - dropout_p)
        mixed, _ = torch.ops.aten._scaled_dot_product_attention_math(
            query,
            key,
            value,
            options.pop("attn_mask", None),
            dropout_p,
            options.pop("is_causal", False),
            self._own_rows(kept).bool(),
            **options,
        )
        result: Tensor = mixed
        return result

    def _shape(self, shape: Sequence[int]) -> list[int]:
        """The shape for the whole micro-batch; a first dimension may be rows times heads."""
        return [shape[0] // self._own * self._whole, *shape[1:]]

    def _own_rows(self, whole: Tensor) -> Tensor:
        per_row = whole.shape[0] // self._whole
        return whole[self._rows.start * per_row : self._rows.stop * per_row]
