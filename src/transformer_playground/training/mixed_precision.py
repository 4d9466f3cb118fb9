"""Mixed-precision parameters: float32 master weights and low-precision copies in the model.

With a float32 model both are the same tensors. In bfloat16 or float16 the model holds rounded
copies: gradients are accumulated in the float32 masters, and updated masters are rounded back
(Micikevicius et al. 2018, "Mixed Precision Training"). Unlike autocast, this casts each weight
once per step.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from transformer_playground.errors import CheckpointError
from transformer_playground.model.base import trainable_parameters
from transformer_playground.training.distributed import ALONE, DistInfo
from transformer_playground.training.gradients import FlatGradients, GradientSums
from transformer_playground.training.shards import Shards


class MixedPrecisionParams:
    """Float32 master weights of a model, with an optional exponential moving average (EMA).

    Args:
        model: Model with float32 trainable parameters. With `dtype` float32 nothing is copied, and
            frozen parameters may have any dtype.
        dtype: Dtype of forward and backward; the model is cast to it in place.
        ema_decay: Decay of the EMA per step; 0 disables it.
        ranks: The processes that train the model; their gradients are summed.
        shards: The parts of a model that is shared out over them; masters are then those of this
            rank, and the model casts its weights itself.
    """

    def __init__(
        self,
        model: nn.Module,
        dtype: torch.dtype,
        *,
        ema_decay: float = 0.0,
        ranks: DistInfo = ALONE,
        shards: Shards | None = None,
    ) -> None:
        trained = trainable_parameters(model)
        self.names = [name for name, _ in trained]
        self._ranks, self.shards = ranks, shards
        self._copies = [parameter for _, parameter in trained] if shards is None else shards.masters
        self._shared = shards is not None or dtype == torch.float32
        if self._shared:
            self.masters = self._copies
        else:
            self.masters = [nn.Parameter(parameter.detach().clone()) for parameter in self._copies]
            model.to(dtype)
        self._grads = FlatGradients(self.masters)
        self._is_zero = True
        self._sums: GradientSums | None = None
        if shards is not None:
            shards.set_gradients(self._grads.views)
        elif not ranks.is_alone:
            self._sums = GradientSums(self._grads, self._copies, self._collect)
        self._ema_decay = ema_decay
        self._ema = [master.detach().clone() for master in self.masters] if ema_decay else None

    def named(self) -> list[tuple[str, nn.Parameter]]:
        """Names and master weights; tied weights occur once."""
        return list(zip(self.names, self.masters, strict=True))

    def accumulate_grads(self) -> None:
        """Move the model's gradients into the masters' gradients."""
        if self._shared:
            # Backward has added to them.
            return
        for number in range(len(self._copies)):
            self._collect(number)
        self._is_zero = False

    def _collect(self, number: int) -> None:
        """Move one gradient of the model."""
        total, copy = self._grads.views[number], self._copies[number]
        if self._shared or copy.grad is None:
            return
        if self._is_zero:
            total.copy_(copy.grad)
        else:
            total.add_(copy.grad)
        copy.grad = None

    @property
    def loss(self) -> Tensor:
        """The loss of the step so far, a scalar that is summed with the gradients."""
        return self._grads.loss

    def begin_last_pass(self) -> None:
        """The next backward pass of the step is its last, so gradients may be sent meanwhile."""
        if self._sums is not None:
            self._sums.begin_last_pass()

    def sum_over_ranks(self) -> None:
        """Wait until the gradients and the loss are summed over all ranks."""
        if self._sums is not None:
            self._sums.finish()
        elif self.shards is not None:
            # The backward pass has summed the gradients.
            self.loss.copy_(self._ranks.sum_tensor(self.loss))

    def clip_grads(self, max_norm: float) -> Tensor:
        """Clip the masters' gradients to a global norm; the norm before, on their device."""
        if self.shards is not None:
            return self._grads.clip(max_norm, self.shards.norm)
        return self._grads.clip(max_norm)

    def zero_grads(self) -> None:
        """Set the masters' gradients to zero."""
        self._grads.zero()
        self._is_zero = True

    def copy_to_model(self) -> None:
        """Round the masters to the model's parameters."""
        if not self._shared:
            _copy(self.masters, self._copies)

    @torch.no_grad()
    def update_ema(self, step: int) -> None:
        """Update the EMA, if enabled.

        The decay is warmed up over the first steps, as in TensorFlow's ExponentialMovingAverage, so
        that the random initial weights are soon forgotten.

        Args:
            step: Number of steps before this one.
        """
        if self._ema is None:
            return
        decay = min(self._ema_decay, (1 + step) / (10 + step))
        for average, master in zip(self._ema, self.masters, strict=True):
            average.lerp_(master, 1.0 - decay)

    @contextlib.contextmanager
    def ema_weights(self) -> Iterator[None]:
        """Context manager: the model uses the EMA weights, if enabled."""
        if self._ema is None:
            yield
            return
        current = [copy.detach().clone() for copy in self._copies]
        _copy(self._ema, self._copies)
        try:
            yield
        finally:
            _copy(current, self._copies)

    def state_dict(self) -> dict[str, Tensor]:
        """The float32 weights by parameter name; whole ones, on the first rank only."""
        return self._whole([master.detach() for master in self.masters])

    def ema_state_dict(self) -> dict[str, Tensor] | None:
        """The float32 EMA by parameter name as in `state_dict`, or None if disabled."""
        return None if self._ema is None else self._whole(self._ema)

    def _whole(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        if self.shards is not None:
            pairs = zip(self.masters, tensors, strict=True)
            tensors = [self.shards.gather(master, tensor) for master, tensor in pairs]
        return dict(zip(self.names, tensors, strict=True))

    def load(self, weights: Mapping[str, Tensor], ema: Mapping[str, Tensor] | None) -> None:
        """Restore weights and EMA; without a saved EMA, it starts from the weights.

        Raises:
            CheckpointError: Names or shapes do not match this model.
        """
        self._fill(self.masters, weights)
        if self._ema is not None:
            self._fill(self._ema, weights if ema is None else ema)
        self.copy_to_model()

    def _fill(self, targets: Sequence[Tensor], source: Mapping[str, Tensor]) -> None:
        if set(source) != set(self.names):
            name = min(set(source) ^ set(self.names))
            raise CheckpointError(
                f"the checkpoint does not match this model: '{name}' exists in only one of them."
            )
        for name, master in self.named():
            shape = master.shape if self.shards is None else self.shards.shape(master)
            if shape != source[name].shape:
                raise CheckpointError(
                    f"the checkpoint's '{name}' has shape {tuple(source[name].shape)}, "
                    f"the model's has {tuple(shape)}."
                )
        whole = [source[name] for name in self.names]
        _copy(whole if self.shards is None else map(self.shards.rows, whole), targets)


@torch.no_grad()
def _copy(sources: Iterable[Tensor], targets: Sequence[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
