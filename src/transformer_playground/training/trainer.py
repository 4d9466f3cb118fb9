"""The training loop."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from transformer_playground.analysis.losses import evaluate
from transformer_playground.data.batches import Batch, count_targets
from transformer_playground.errors import CheckpointError, PlaygroundError, TrainingError
from transformer_playground.model.interface import count_parameters
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.runs.layout import RunFolder
from transformer_playground.training.checkpointing import Checkpointer, Resumption, restore
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    RunFailed,
    RunFinished,
    RunStarted,
    StatusChanged,
    StepLogged,
    Warned,
)
from transformer_playground.training.materials import Materials
from transformer_playground.training.memory import memory_as_sentence
from transformer_playground.training.optimizers import build_optimizers
from transformer_playground.training.randomness import seed_dropout
from transformer_playground.training.samples import draw_samples
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.sinks.base import Sink, SinkHub
from transformer_playground.training.state import TrainingState
from transformer_playground.training.weights import MasterWeights
from transformer_playground.training.world import World

_PAUSE_POLL_SECONDS = 0.1


class Trainer:
    """Trains one run to its end; see `fit`.

    Args:
        materials: Config, data and model.
        run: The run folder; the caller holds its lock.
        sinks: Where events go; nothing but checkpoints is written or printed otherwise.
        control: Requests from other threads.
        resumption: The checkpoint to continue from; None starts at step 0.
        world: This process's place among those of the run.

    Raises:
        PlaygroundError: Data, prompt or checkpoint do not fit; nothing was written.
    """

    def __init__(
        self,
        materials: Materials,
        run: RunFolder,
        sinks: Sequence[Sink],
        control: TrainingControl | None = None,
        *,
        resumption: Resumption | None = None,
        world: World | None = None,
    ) -> None:
        config = materials.config
        self.materials, self.config, self.train = materials, config, config.train
        self.run = run
        self.control = control or TrainingControl()
        self.world = world or World()
        self._hub = SinkHub(sinks)
        # A run that starts from another's checkpoint is new in all but its state.
        self._resumption = resumption if resumption and resumption.same_run else None
        self._tokens_per_step = (
            self.train.data.batch_size
            * config.train_block_size
            * self.train.data.grad_accum_steps
            * self.world.size
        )
        self.model = materials.model
        self.weights = MasterWeights(
            self.model, materials.weights_dtype, ema_decay=self.train.runtime.ema_decay
        )
        self._optimizers = build_optimizers(
            self.train.optim, self.weights.named(), self.model.hidden_matrices()
        )
        self._scaler = torch.amp.GradScaler(
            materials.device.type, enabled=materials.precision.dtype == torch.float16
        )
        self._forward: Callable[[Tensor], Tensor] = self.model
        if self.train.runtime.compile:
            self._forward = torch.compile(self.model)
        self.state = TrainingState()
        if resumption is not None:
            self.state = restore(
                resumption.payload,
                weights=self.weights,
                optimizers=self._optimizers,
                scaler=self._scaler,
            )
        self._wall_time_before = self.state.wall_time
        self._checkpointer = Checkpointer(
            config,
            run.checkpoints,
            model=self.model,
            weights=self.weights,
            optimizers=self._optimizers,
            scaler=self._scaler,
            resumed=self._resumption,
        )

    def fit(self) -> TrainingState:
        """Train until `max_iters`, early stopping or `control.stop()`, and save.

        Returns:
            The final counters.

        Raises:
            PlaygroundError: Training cannot go on; the run is marked failed and its newest
                checkpoint is intact.
        """
        self._began = time.perf_counter()
        if threads := self.train.runtime.threads:
            # The setting belongs to the calling thread, which is the one that trains.
            torch.set_num_threads(threads)
        try:
            with memory_as_sentence():
                self._run()
        except PlaygroundError as error:
            self._record_failure(str(error))
            raise
        except Exception as error:
            self._record_failure(repr(error))
            raise
        finally:
            self._hub.close()
        return self.state

    def _run(self) -> None:
        state = self.state
        # Evaluations and samples leave the mode as they find it.
        self.model.train()
        self._announce()
        if self._resumption is None:
            self._save(last=True, best=False)
        while True:
            rate = learning_rate(state.step, self.train)
            self._optimizers.set_learning_rate(rate)
            improved = self._evaluate_when_due()
            self._sample_when_due()
            self._save_when_due(improved)
            if self._is_over():
                break
            if self.control.paused:
                self._hold()
                continue
            self._optimizer_step()
            if state.step % self.train.runtime.log_interval == 0:
                self._log_step(rate)
        self._refuse_unsaved_end()
        if self._is_complete() and state.window_steps:
            self._log_step(learning_rate(state.step - 1, self.train))
        self._hub.emit(
            RunFinished(
                step=state.step,
                status="finished" if self._is_complete() else "stopped",
                early_stopped=self._has_stalled(),
                best_val_loss=state.best_val_loss,
                best_step=state.best_step,
                tokens_seen=state.tokens_seen,
                wall_time=self._wall_time(),
            )
        )

    def _optimizer_step(self) -> None:
        began = time.perf_counter()
        state = self.state
        if self.model.has_dropout:
            seed_dropout(self.train.runtime.seed, state.step, self.materials.device)
        batches = [self._next_batch(micro) for micro in range(self.train.data.grad_accum_steps)]
        data_seconds = time.perf_counter() - began
        # Padding and first tokens of documents are no targets, so batches may count differently.
        n_targets = self.world.size * sum(count_targets(targets) for _, targets in batches)
        loss = torch.zeros((), device=self.materials.device)
        for batch in batches:
            inputs, targets = (torch.from_numpy(part).to(self.materials.device) for part in batch)
            share = summed_cross_entropy(self._forward(inputs), targets) / max(n_targets, 1)
            self._scaler.scale(share).backward()  # type: ignore[no-untyped-call]
            self.weights.collect_gradients()
            loss += share.detach()
        for optimizer in self._optimizers:
            self._scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(
            self.weights.masters, self.train.optim.grad_clip or math.inf
        )
        loss_value, norm_value = loss.item(), norm.item()
        self._refuse_non_finite(loss_value, norm_value)
        for optimizer in self._optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        self._optimizers.zero_grad()
        self.weights.publish(state.step)
        state.count_step(
            loss_value,
            norm_value,
            tokens=n_targets,
            batches=self.train.data.grad_accum_steps,
            seconds=time.perf_counter() - began,
            data_seconds=data_seconds,
        )

    def _next_batch(self, micro_step: int) -> Batch:
        index = self.world.batch_index(self.state.batches_drawn + micro_step)
        return self.materials.batches.batch(index)

    def _refuse_non_finite(self, loss: float, norm: float) -> None:
        # A scaler expects overflowing gradients now and then and skips their step by itself.
        if math.isfinite(loss) and (math.isfinite(norm) or self._scaler.is_enabled()):
            return
        self._optimizers.zero_grad()
        # Weights that give no finite loss are lost: the run must go on from an earlier checkpoint.
        if math.isfinite(loss) and not self._checkpointer.has_saved(self.state.step):
            self._save(last=True, best=False)
        what = f"gradient norm is {norm}" if math.isfinite(loss) else f"loss is {loss}"
        raise TrainingError(
            f"the {what} at step {self.state.step}; the weights were not touched by it.",
            "Lower train.optim.learning_rate, lengthen train.schedule.warmup_iters or lower "
            "train.optim.grad_clip, and resume.",
        )

    def _log_step(self, rate: float) -> None:
        state = self.state
        seconds = max(state.window_seconds, 1e-9)
        self._hub.emit(
            StepLogged(
                step=state.step,
                train_loss=state.window_loss / state.window_steps,
                lr=rate,
                tokens_per_sec=state.window_tokens / seconds,
                step_time_ms=1e3 * seconds / state.window_steps,
                data_share=state.window_data_seconds / seconds,
                grad_norm=state.grad_norm,
                tokens_seen=state.tokens_seen,
            )
        )
        state.close_window()

    def _evaluate_when_due(self) -> bool:
        """Evaluate if the step or a request demands it; true if val_loss is a new best."""
        state, runtime = self.state, self.train.runtime
        on_schedule = state.step % runtime.eval_interval == 0 or state.step >= runtime.max_iters
        due = on_schedule and state.evaluated_at != state.step
        if not self.control.take_evaluate() and not due:
            return False
        with self.weights.averaged():
            losses = evaluate(
                self.model,
                self.materials.dataset,
                self.config,
                self.materials.device,
                cancelled=self._watcher(),
            )
        if losses is None:
            return False
        if not math.isfinite(losses.val_loss):
            raise TrainingError(
                f"the validation loss is {losses.val_loss} at step {state.step}.",
                "Lower train.optim.learning_rate or lengthen train.schedule.warmup_iters.",
            )
        # An evaluation that was asked for must not change when a run stops or what it calls best.
        improved = due and state.judge(losses.val_loss, min_delta=runtime.early_stop_min_delta)
        self._hub.emit(
            Evaluated(
                step=state.step,
                train_loss=losses.train_loss,
                val_loss=losses.val_loss,
                train_ppl=losses.train_ppl,
                val_ppl=losses.val_ppl,
                val_bits_per_byte=losses.val_bits_per_byte,
                is_best=improved,
            )
        )
        return improved

    def _sample_when_due(self) -> None:
        state, interval = self.state, self.train.runtime.sample_interval
        due = interval > 0 and state.step % interval == 0 and state.sampled_at != state.step
        if not (self.control.take_sample() or due):
            return
        with self.weights.averaged():
            samples = draw_samples(
                self.model,
                self.materials.prompt,
                self.config.sample.sample,
                self.materials.tokenizer,
                seed=self.train.runtime.seed,
                step=state.step,
                cancelled=self._watcher(),
            )
        if samples is None:
            return
        state.sampled_at = state.step
        for sampled in samples:
            self._hub.emit(sampled)

    def _watcher(self) -> Callable[[], bool]:
        """What evaluations and samples ask as they go on: waits out a pause, true means stop."""
        asked_for_in_a_pause = self.control.paused

        def interrupted() -> bool:
            if not asked_for_in_a_pause:
                self._hold()
            return self.control.stopping

        return interrupted

    def _hold(self) -> None:
        """While paused, wait until resumed, stopped or asked for something."""
        if not self.control.paused or self.control.has_request():
            return
        self._hub.emit(StatusChanged(step=self.state.step, status="paused"))
        while self.control.paused and not self.control.has_request():
            self.control.wait_while_paused(_PAUSE_POLL_SECONDS)
        self._hub.emit(StatusChanged(step=self.state.step, status="running"))

    def _save_when_due(self, improved: bool) -> None:
        step, checkpointer = self.state.step, self._checkpointer
        last = (
            self.control.take_checkpoint()
            or checkpointer.is_due(step)
            or (self._is_over() and not checkpointer.has_saved(step))
        )
        if last or improved:
            self._save(last=last, best=improved)

    def _save(self, *, last: bool, best: bool) -> None:
        state = self.state
        if not self.world.writes:
            return
        state.wall_time = self._wall_time()
        self._hub.sync(state.step)
        try:
            saved = self._checkpointer.save(state, last=last, best=best)
        except CheckpointError as error:
            self._hub.emit(Warned(step=state.step, message=f"checkpoint not saved: {error}"))
            if best:
                state.retract_best()
            return
        kinds = tuple(info.kind for info in saved)
        path = f"{saved[0].path.parent.name}/{saved[0].path.name}"
        self._hub.emit(CheckpointSaved(step=state.step, kinds=kinds, path=path))

    def _refuse_unsaved_end(self) -> None:
        step = self.state.step
        if self.world.writes and not self._checkpointer.has_saved(step):
            raise TrainingError(
                f"training came to its end, but its last checkpoint (step {step}) was not saved.",
                "Free some disk space and resume the run: it goes on from the newest checkpoint.",
            )

    def _announce(self) -> None:
        self._hub.emit(
            RunStarted(
                step=self.state.step,
                run_id=self.run.run_id,
                max_iters=self.train.runtime.max_iters,
                parameters=count_parameters(self.model),
                device=str(self.materials.device),
                dtype=self.materials.precision.name,
                dtype_reason=self.materials.precision.reason,
                tokens_per_step=self._tokens_per_step,
                resumed_from=self._resumption.path.name if self._resumption else None,
            )
        )

    def _is_over(self) -> bool:
        return self.control.stopping or self._is_complete()

    def _is_complete(self) -> bool:
        """Whether the planned training is done, its last evaluation included."""
        reached = self.state.step >= self.train.runtime.max_iters or self._has_stalled()
        return reached and self.state.evaluated_at == self.state.step

    def _has_stalled(self) -> bool:
        patience = self.train.runtime.early_stop_patience
        return 0 < patience <= self.state.evaluations_without_improvement

    def _wall_time(self) -> float:
        return self._wall_time_before + time.perf_counter() - self._began

    def _record_failure(self, reason: str) -> None:
        # If the record itself is what failed, the reason still travels with the exception.
        with contextlib.suppress(TrainingError):
            self._hub.emit(RunFailed(step=self.state.step, error=reason))
