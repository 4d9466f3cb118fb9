"""Models whose weights are shared out over all ranks by FSDP2 (Zhao et al. 2023, "PyTorch FSDP").

torch's `fully_shard` cuts every tensor into rows, one part for each rank, and puts a layer together
only while it computes. Optimizers, averages and checkpoints here work on this rank's rows as plain
tensors; files hold whole tensors, the same as those of one process.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from transformer_playground.config.train import DistributedConfig
from transformer_playground.errors import ConfigError
from transformer_playground.model.base import LanguageModel, trainable_parameters
from transformer_playground.training.distributed import DistInfo

_Model = TypeVar("_Model", bound=LanguageModel)


def is_in_parts(config: DistributedConfig, ranks: DistInfo) -> bool:
    """Whether each rank holds only a part of the weights."""
    return config.strategy == "fsdp" and not ranks.is_alone


class Shards:
    """Shares out the weights of `model`, in place, and puts tensors together again.

    Args:
        model: The model on its device, with the same weights on every rank.
        dtype: Dtype of forward and backward; the shared weights stay as they are.
        ranks: All ranks of the run.

    Attributes:
        masters: This rank's rows of the trained parameters, as plain tensors.

    Raises:
        ConfigError: The dtype is float16, whose scaled gradients need more than a sum.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype, ranks: DistInfo) -> None:
        if dtype == torch.float16:
            raise ConfigError(
                "weights in parts (train.distributed.strategy = 'fsdp') cannot compute in float16.",
                "Use bfloat16 or float32, or strategy = 'ddp'.",
            )
        # Imported late: with it comes torch's compiler.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

        self._model, self._dtype, self._ranks = model, dtype, ranks
        self._empty = without_weights(model)
        self._mesh = init_device_mesh(model.device.type, (ranks.world_size,))
        low = None if dtype == torch.float32 else dtype
        policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
        for parameter in model.parameters():
            # FSDP takes no transposed matrices.
            parameter.data = parameter.data.contiguous()
        for module in (*model.layers(), model):
            # The root, too: it must not keep the averages that an evaluation has put together.
            fully_shard(module, mesh=self._mesh, mp_policy=policy, reshard_after_forward=True)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # The loss is divided by the targets of all ranks, so gradients are sums.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        for buffer in model.buffers():
            if low is not None and buffer.is_floating_point():
                buffer.data = buffer.data.to(low)
        model.is_sharded = True
        self._sharded = [parameter for _, parameter in trainable_parameters(model)]
        self.masters = [nn.Parameter(_local(parameter)) for parameter in self._sharded]
        # By identity; optimizers keep the same tensors.
        self._shapes = {
            id(master): parameter.shape
            for master, parameter in zip(self.masters, self._sharded, strict=True)
        }

    def set_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Let the backward pass add its gradients to these tensors, one for each master."""
        from torch.distributed.tensor import DTensor

        for parameter, gradient in zip(self._sharded, gradients, strict=True):
            placements = parameter.placements  # type: ignore[attr-defined]
            parameter.grad = DTensor.from_local(
                gradient,
                self._mesh,
                placements,
                run_check=False,
                shape=parameter.shape,
                stride=parameter.stride(),
            )

    def shape(self, master: Tensor) -> torch.Size:
        """The shape of the whole parameter."""
        return self._shapes[id(master)]

    def rows(self, whole: Tensor) -> Tensor:
        """The rows of this rank of a tensor with the shape of a whole parameter."""
        count = self._count(whole.shape)
        return whole[self._ranks.rank * count : (self._ranks.rank + 1) * count]

    def gather(self, master: Tensor, rows: Tensor) -> Tensor:
        """The whole tensor in the CPU's memory of rank 0; an empty one elsewhere.

        Every rank must call this, with its rows of a tensor with the shape of the whole parameter.
        """
        return self._gather(self.shape(master), rows)

    def _gather(self, shape: Sequence[int], rows: Tensor) -> Tensor:
        padded = self._padded(shape, rows)
        count, parts = len(padded), None
        if self._ranks.is_main:
            parts = [torch.empty_like(padded) for _ in range(self._ranks.world_size)]
        dist.gather(padded, parts)
        if parts is None:
            return rows.new_empty(0)
        whole = torch.empty(tuple(shape), dtype=rows.dtype)
        for number, part in enumerate(parts):
            place = whole[number * count : (number + 1) * count]
            place.copy_(part[: len(place)])
        return whole

    def all_gather(self, master: Tensor, rows: Tensor) -> Tensor:
        """The whole tensor on every rank, where it is; otherwise as `gather`."""
        shape = self.shape(master)
        padded = self._padded(shape, rows)
        gathered = padded.new_empty((len(padded) * self._ranks.world_size, *shape[1:]))
        dist.all_gather_into_tensor(gathered, padded)
        return gathered[: shape[0]]

    def norm(self, local: Tensor) -> Tensor:
        """The norm of a vector of which each rank has a part, from the norms of the parts."""
        return self._ranks.sum_tensor(local.square()).sqrt()

    @contextlib.contextmanager
    def whole_model(self) -> Iterator[LanguageModel]:
        """A whole copy of the model on rank 0, to decode with; every rank must enter this.

        On the other ranks it has no weights.
        """
        targets = dict(self._empty.named_parameters())
        for name, parameter in self._model.named_parameters():
            rows = _local(parameter).detach()
            if rows.dtype == torch.float32:
                rows = rows.to(self._dtype)
            whole = self._gather(parameter.shape, rows)
            if self._ranks.is_main:
                _replace(self._empty, targets[name], whole.to(self._model.device))
        try:
            yield self._empty
        finally:
            self._empty = without_weights(self._empty)

    def _padded(self, shape: Sequence[int], rows: Tensor) -> Tensor:
        """The rows, with zeros up to the length of every other rank's."""
        padded = rows.new_zeros((self._count(shape), *shape[1:]))
        padded[: len(rows)] = rows
        return padded

    def _count(self, shape: Sequence[int]) -> int:
        """Rows of a part; the last parts may have fewer, as with torch.chunk."""
        return -(-shape[0] // self._ranks.world_size)


def _local(parameter: Any) -> Tensor:
    """The rows of this rank, which share the memory of the parameter."""
    with torch.no_grad():
        local: Tensor = parameter.to_local()
    return local


def without_weights(model: _Model) -> _Model:
    """A copy in evaluation mode whose parameters have shapes but no memory."""
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
        for parameter in model.parameters()
    }
    return copy.deepcopy(model, memo).eval()


def _replace(model: nn.Module, old: nn.Parameter, weights: Tensor) -> None:
    """Put weights in the place of a parameter, wherever it is used."""
    new = nn.Parameter(weights, requires_grad=False)
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is old:
                module._parameters[name] = new
