"""Trainer: the training loop, with evaluation, sampling, checkpoints and early stopping."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from transformer_playground.data.loader import count_targets
from transformer_playground.errors import CheckpointError, PlaygroundError, TrainingError
from transformer_playground.evaluation.loss import evaluate
from transformer_playground.generation.generate import SamplingSettings, generate
from transformer_playground.model.base import count_parameters
from transformer_playground.model.device import peak_memory, to_device
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.checkpointing import Checkpointer, ResumePoint
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.events import (
    Evaluated,
    RunFailed,
    RunStarted,
    Sampled,
    StatusChanged,
    Warned,
)
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.optimizers import build_optimizers
from transformer_playground.training.requests import Answers
from transformer_playground.training.rng import derived_seed, seed_dropout
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.setup import TrainingSetup, translate_oom
from transformer_playground.training.sinks.base import EventBus, Sink
from transformer_playground.training.state import StopReason, TrainingState, due, max_unread_steps


class Trainer:
    """Trains one run; see `fit`.

    Args:
        setup: Config, data and model.
        run: The run folder; the caller holds its lock.
        sinks: Receive every event; the trainer itself writes only checkpoints.
        control: Requests from other threads.
        resume_from: Checkpoint to resume or branch from; None starts at step 0.

    Raises:
        CheckpointError: The checkpoint does not fit; nothing was written.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        run: RunFolder,
        sinks: Sequence[Sink],
        control: TrainingControl | None = None,
        *,
        resume_from: ResumePoint | None = None,
    ) -> None:
        config, model = setup.config, setup.model
        self.setup, self.config, self.train, self.model = setup, config, config.train, model
        self.run = run
        self.control = control or TrainingControl()
        self.dist = DistInfo.current()
        self._events = EventBus(sinks)
        self._answers = Answers(self.control, self._events.emit)
        optim, runtime = self.train.optim, self.train.runtime
        self.params = MixedPrecisionParams(model, setup.weights_dtype, ema_decay=runtime.ema_decay)
        self.optimizers = build_optimizers(optim, self.params.named(), model.hidden_matrices())
        float16 = setup.precision.dtype == torch.float16
        self._scaler = torch.amp.GradScaler(setup.device.type, enabled=float16)
        self._forward: Callable[[Tensor], Tensor] = (
            torch.compile(model) if runtime.compile else model
        )
        self._checkpointer = Checkpointer(
            run.checkpoints, setup, self.params, self.optimizers, self._scaler, resume_from
        )
        # Loss and gradient norm of steps, (2,) each on the device. Reading them waits for the
        # device, so an accelerator is asked only when they are needed.
        self._unread: list[tuple[int, Tensor]] = []
        self._max_unread = max_unread_steps(setup.device)
        self.state = TrainingState()
        self._resumed_from: str | None = None
        if resume_from is not None:
            self.state = self._checkpointer.restore(resume_from.payload)
            # A branch is a new run.
            self._resumed_from = resume_from.path.name if resume_from.same_run else None

    def fit(self) -> TrainingState:
        """Train until `max_iters`, early stopping or `control.stop()`, and save a checkpoint.

        Returns:
            The final training state.

        Raises:
            PlaygroundError: Training failed; the run is marked failed and its newest checkpoint is
                intact.
        """
        self.begin_session()
        try:
            with translate_oom():
                self._train()
        except Exception as error:
            reason = str(error) if isinstance(error, PlaygroundError) else repr(error)
            # If writing this event is what fails, the exception still carries the reason.
            with contextlib.suppress(TrainingError):
                self._events.emit(RunFailed(step=self.state.step, error=reason))
            raise
        finally:
            self.close()
        return self.state

    def close(self) -> None:
        """Close the sinks."""
        self._events.close()

    def begin_session(self) -> None:
        """Start the clock, and prepare model and calling thread for training."""
        # Includes the time of earlier sessions.
        self._start_time = time.perf_counter() - self.state.wall_time
        if threads := self.train.runtime.threads:
            torch.set_num_threads(threads)
        self.model.train()

    def _train(self) -> None:
        state, runtime = self.state, self.train.runtime
        control, checkpointer = self.control, self._checkpointer
        precision = self.setup.precision
        self._events.emit(
            RunStarted(
                step=state.step,
                run_id=self.run.run_id,
                max_iters=runtime.max_iters,
                parameters=count_parameters(self.model),
                device=str(self.setup.device),
                dtype=precision.name,
                dtype_reason=precision.reason,
                tokens_per_step=self.windows_per_step * self.config.train_block_size,
                resumed_from=self._resumed_from,
            )
        )
        if self._resumed_from is None:
            self.save(last=True, best=False)

        while True:
            lr = learning_rate(state.step, self.train)
            self.optimizers.set_learning_rate(lr)

            asked = control.take()
            is_best = False
            # The last step is always evaluated.
            interval = 1 if state.step >= runtime.max_iters else runtime.eval_interval
            eval_due = due(interval, state.step, done_at=state.evaluated_at)
            if "evaluate" in asked.actions or eval_due:
                is_best = self.evaluate(scheduled=eval_due)
            sample_due = due(runtime.sample_interval, state.step, done_at=state.sampled_at)
            if "sample" in asked.actions or sample_due:
                self.sample()
            reason = self.stop_reason()
            save_due = checkpointer.is_due(state.step, ending=bool(reason))
            last = "checkpoint" in asked.actions or save_due
            if last or is_best:
                self.save(last=last, best=is_best)
            self._answers.give(state.step, asked.requests, ending=bool(reason))

            if reason:
                break
            # A stop requested since then is handled, and saved, by the next iteration.
            if control.paused or control.stopping:
                self._wait_while_paused()
                continue

            self.train_step()
            if state.step % runtime.log_interval == 0:
                self._read_steps()
                self._events.emit(state.close_window(lr))

        if self.dist.is_main and not checkpointer.has_saved(state.step):
            raise TrainingError(
                f"training ended, but its last checkpoint (step {state.step}) was not saved.",
                "Free some disk space and resume the run from its newest checkpoint.",
            )
        self._read_steps()
        finished = reason != "stopped by request"
        if finished and state.window_steps:
            self._events.emit(state.close_window(learning_rate(state.step - 1, self.train)))
        seconds, memory = time.perf_counter() - self._start_time, peak_memory(self.setup.device)
        self._events.emit(state.finish(reason, seconds, memory))

    @property
    def windows_per_step(self) -> int:
        """Windows of one optimizer step, over all micro-batches and ranks."""
        data = self.train.data
        return data.batch_size * data.grad_accum_steps * self.dist.world_size

    def stop_reason(self) -> StopReason | None:
        """Why training ends now, or None.

        Training finishes after the evaluation of its last step; a request stops it at any step.
        """
        ended = self.state.end_reason(self.train.runtime)
        return ended or ("stopped by request" if self.control.stopping else None)

    def train_step(self) -> None:
        """Run one optimizer step over `grad_accum_steps` micro-batches.

        A step whose loss or gradient norm is not finite is not applied.

        Raises:
            TrainingError: There was such a step. On an accelerator, up to 100 steps later.
        """
        start_time = time.perf_counter()
        state, device, n_micro = self.state, self.setup.device, self.train.data.grad_accum_steps
        if self.model.has_dropout:
            seed_dropout(self.train.runtime.seed, state.step, device)
        size = self.train.data.batch_size
        first = self.dist.first_window(state.windows_drawn, n_micro * size)
        batches = [self.setup.batches.batch(first + i * size, size) for i in range(n_micro)]
        data_seconds = time.perf_counter() - start_time

        # Micro-batches and ranks differ in their number of targets (padding is ignored), so the
        # loss is a sum over all of them divided by the total, not a mean of means.
        local_targets = sum(count_targets(targets) for _, targets in batches)
        n_targets = int(self.dist.sum(local_targets, device))
        loss = torch.zeros((), device=device)
        for batch in batches:
            inputs, targets = (to_device(array, device) for array in batch)
            micro_loss = summed_cross_entropy(self._forward(inputs), targets) / max(n_targets, 1)
            self._scaler.scale(micro_loss).backward()  # type: ignore[no-untyped-call]
            self.params.accumulate_grads()
            loss += micro_loss.detach()

        for optimizer in self.optimizers:
            self._scaler.unscale_(optimizer)
        max_norm = self.train.optim.grad_clip or math.inf
        grad_norm = self.params.clip_grads(max_norm)
        outcome = torch.stack((self.dist.sum_tensor(loss), grad_norm))
        self._unread.append((state.step, outcome))
        if len(self._unread) > self._max_unread:
            self._read_steps()

        self.optimizers.step(self._scaler, skip=~torch.isfinite(outcome).all())
        self._scaler.update()
        self.params.zero_grads()
        self.params.update_ema(state.step)
        self.params.copy_to_model()
        state.count_step(
            tokens=n_targets,
            windows=self.windows_per_step,
            seconds=time.perf_counter() - start_time,
            data_seconds=data_seconds,
        )

    def evaluate(self, *, scheduled: bool) -> bool:
        """Evaluate both splits, with the EMA weights if enabled; true if it is a new best.

        Only a `scheduled` evaluation counts for the best checkpoint and early stopping, so that
        requests do not change a run.

        Raises:
            TrainingError: The validation loss is not finite.
        """
        self._read_steps()
        state, setup = self.state, self.setup
        cancelled = partial(self._wait_while_paused, in_pause=self.control.paused)
        with self.params.ema_weights():
            losses = evaluate(
                self.model, setup.dataset, self.config, setup.device, cancelled=cancelled
            )
        if losses is None:
            return False
        if not math.isfinite(losses.val_loss):
            raise TrainingError(
                f"validation loss is {losses.val_loss} at step {state.step}.",
                "Lower train.optim.learning_rate or lengthen train.schedule.warmup_iters.",
            )
        min_delta = self.train.runtime.early_stop_min_delta
        eval_set = str(losses.eval_set)
        if scheduled and state.judges_other_windows(eval_set):
            before = f"on {state.eval_set}" if state.eval_set else "with another choice of windows"
            text = f"evaluating {eval_set}, before {before}: the best loss counts from here"
            self._events.emit(Warned(step=state.step, message=text))
        is_best = scheduled and state.record_eval(losses.val_loss, eval_set, min_delta=min_delta)
        self._events.emit(
            Evaluated(
                step=state.step,
                train_loss=losses.train_loss,
                val_loss=losses.val_loss,
                train_ppl=losses.train_ppl,
                val_ppl=losses.val_ppl,
                val_bits_per_byte=losses.val_bits_per_byte,
                eval_windows=losses.eval_set.windows,
                window_tokens=losses.eval_set.window_tokens,
                is_best=is_best,
            )
        )
        self._answers.completed.add("evaluate")
        return is_best

    def sample(self) -> None:
        """Draw the configured samples, with the EMA weights if enabled."""
        self._read_steps()
        state, setup, decoding = self.state, self.setup, self.config.sample.sample
        seed = derived_seed(self.train.runtime.seed, "sample", state.step)
        with self.params.ema_weights():
            samples = generate(
                self.model,
                setup.prompt.tokens,
                SamplingSettings.from_config(decoding, seed),
                n_samples=decoding.num_samples,
                tokenizer=setup.tokenizer,
                cancelled=partial(self._wait_while_paused, in_pause=self.control.paused),
            )
        if any(sample.finish_reason == "cancelled" for sample in samples):
            return
        state.sampled_at = state.step
        self._answers.completed.add("sample")
        for sample in samples:
            self._events.emit(
                Sampled(
                    step=state.step,
                    prompt=setup.prompt.text,
                    text=sample.text,
                    seed=seed,
                    temperature=decoding.temperature,
                    top_k=decoding.top_k,
                    top_p=decoding.top_p,
                )
            )

    def save(self, *, last: bool, best: bool) -> None:
        """Save a checkpoint as last, best or both; a failed save is only a warning."""
        self._read_steps()
        state = self.state
        if not self.dist.is_main:
            return
        state.wall_time = time.perf_counter() - self._start_time
        self._events.sync(state.step)
        try:
            self._events.emit(self._checkpointer.save(state, last=last, best=best))
            self._answers.completed.add("checkpoint")
        except CheckpointError as error:
            if not self.run.root.is_dir():
                raise TrainingError(
                    f"the folder of the run was removed while it trained: {self.run.root}.",
                    "Start a new run; use `tp runs delete` to remove runs.",
                ) from error
            self._events.emit(Warned(step=state.step, message=f"checkpoint not saved: {error}"))
            if best:
                state.retract_best()

    def _read_steps(self) -> None:
        """Read the losses and norms of the newest steps from the device."""
        if not self._unread:
            return
        start_time = time.perf_counter()
        unread, self._unread = self._unread, []
        values = torch.stack([outcome for _, outcome in unread]).tolist()
        for (step, _), (loss, grad_norm) in zip(unread, values, strict=True):
            self._check_finite(step, loss, grad_norm)
            self.state.record_step(loss, grad_norm)
        if self._max_unread:
            # The device worked on the steps meanwhile.
            self.state.window_seconds += time.perf_counter() - start_time

    def _check_finite(self, step: int, loss: float, grad_norm: float) -> None:
        if math.isfinite(loss) and (math.isfinite(grad_norm) or self._scaler.is_enabled()):
            return
        self.params.zero_grads()
        # With a non-finite loss the weights are useless: resume from an earlier checkpoint.
        if math.isfinite(loss) and not self._checkpointer.has_saved(self.state.step):
            self.save(last=True, best=False)
        what = f"gradient norm is {grad_norm}" if math.isfinite(loss) else f"loss is {loss}"
        raise TrainingError(
            f"{what} at step {step}; this step was not applied.",
            "Lower train.optim.learning_rate, lengthen train.schedule.warmup_iters or lower "
            "train.optim.grad_clip, and resume.",
        )

    def _wait_while_paused(self, *, in_pause: bool = False) -> bool:
        """Wait until `resume`, `stop` or a request; true if training must stop.

        Evaluation and sampling call this between batches and tokens, so that a pause interrupts
        them, too, unless they were requested `in_pause`.
        """
        if self.control.paused and not in_pause and not self.control.has_request():
            self._events.emit(StatusChanged(step=self.state.step, status="paused"))
            self._answers.give_switches(self.state.step)
            while self.control.wait_while_paused():
                self._answers.give_switches(self.state.step)
            self._events.emit(StatusChanged(step=self.state.step, status="running"))
        return self.control.stopping
