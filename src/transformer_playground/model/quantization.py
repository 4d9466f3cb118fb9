"""Weight-only quantization: int8 weights with one scale for each output channel.

Weights are rounded to 255 steps of equal size (Dettmers et al. 2022, "LLM.int8()", without its
exception for outliers). Decoding reads a quarter of the bytes of float32 for each token.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEPS = 127
# torch has no public name for its kernel.
_INT8_PRODUCT = torch.ops.aten._weight_int8pack_mm.default
# It reads the inputs in groups of this size, also beyond the last.
_KERNEL_INPUTS = 64


class Int8Linear(nn.Module):
    """`nn.Linear` with int8 weights (outputs, inputs), for inference only.

    Products are of bfloat16 activations; inputs and outputs keep the dtype of the activations.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        weight = weight.detach().float()
        largest = weight.abs().amax(dim=1, keepdim=True)
        # The scale is rounded before the weights, so that its rounding costs nothing.
        scale = (largest / _STEPS).clamp(min=torch.finfo(torch.bfloat16).tiny).bfloat16()
        steps = (weight / scale.float()).round_().clamp_(-_STEPS, _STEPS)
        self.register_buffer("weight", steps.to(torch.int8).contiguous())
        self.register_buffer("scale", scale.squeeze(1))
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return self.function()(x)

    def function(self) -> Callable[[Tensor], Tensor]:
        """`forward` as a function of the present weights, without the cost of a module."""
        weight, scale, bias = self.weight, self.scale, self.bias
        outputs, inputs = weight.shape
        has_kernel = weight.device.type == "cpu" and inputs % _KERNEL_INPUTS == 0

        def apply(x: Tensor) -> Tensor:
            rows = x.reshape(-1, inputs).bfloat16()
            if has_kernel:
                product = _INT8_PRODUCT(rows, weight, scale)
            else:
                product = functional.linear(rows, weight.bfloat16()) * scale
            # Adding the bias in the dtype of the activations converts, too.
            y: Tensor = product.to(x.dtype) if bias is None else product + bias
            return y.view(*x.shape[:-1], outputs)

        return apply


def quantize_linear_layers(module: nn.Module) -> None:
    """Replace all linear layers inside `module` by int8 ones."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child.weight, child.bias))
        else:
            quantize_linear_layers(child)
