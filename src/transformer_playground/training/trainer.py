"""Trainer: the training loop, with evaluation, sampling, checkpoints and early stopping."""

import contextlib
import math
import time
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from transformer_playground.errors import CheckpointError, PlaygroundError, TrainingError
from transformer_playground.evaluation.loss import Sharing, evaluate
from transformer_playground.model.base import LanguageModel, count_parameters
from transformer_playground.model.device import peak_memory
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.accumulation import Accumulation
from transformer_playground.training.checkpointing import Checkpointer, ResumePoint
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.events import RunFailed, RunStarted, StatusChanged, Warned
from transformer_playground.training.measurements import (
    HeadScores,
    draw_samples,
    evaluated,
    measured_heads,
)
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.optimizers import build_optimizers
from transformer_playground.training.process_group import (
    explain_failure,
    is_interruption,
    remember_run,
)
from transformer_playground.training.requests import Answers
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.session_clock import SessionClock
from transformer_playground.training.setup import TrainingSetup, translate_oom
from transformer_playground.training.shards import Shards, is_in_parts
from transformer_playground.training.shared_control import SharedControl
from transformer_playground.training.sinks.base import EventBus, Sink
from transformer_playground.training.state import StopReason, TrainingState, due, max_unread_steps
from transformer_playground.training.step_parts import StepParts
from transformer_playground.training.system_metrics import SystemMetrics


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
        self.dist = ranks = DistInfo.current()
        if not ranks.is_alone:
            self.control = SharedControl(self.control, ranks)
        self._events = EventBus(sinks)
        self._answers = Answers(self.control, self._events.emit)
        optim, runtime, hidden = self.train.optim, self.train.runtime, model.hidden_matrices()
        is_sharded = is_in_parts(self.train.distributed, ranks)
        self._shards = Shards(model, setup.weights_dtype, ranks) if is_sharded else None
        self.params = MixedPrecisionParams(
            model,
            setup.weights_dtype,
            ema_decay=runtime.ema_decay,
            ranks=ranks,
            shards=self._shards,
        )
        self.optimizers = build_optimizers(optim, self.params.named(), hidden, ranks, self._shards)
        float16 = setup.precision.dtype == torch.float16
        self._scaler = torch.amp.GradScaler(setup.device.type, enabled=float16)
        self._gradients = Accumulation(setup, self.params, self._scaler, ranks)
        self._checkpointer = Checkpointer(
            run.checkpoints, setup, self.params, self.optimizers, self._scaler, resume_from
        )
        # Loss and gradient norm of steps, (2,) each on the device. Reading them waits for the
        # device, so an accelerator is asked only when they are needed.
        self._unread: list[tuple[int, Tensor]] = []
        self._max_unread = max_unread_steps(setup.device)
        self._parts = StepParts(setup.device, SystemMetrics.of(setup, run.root, ranks))
        self.state = TrainingState()
        self._clock = SessionClock(self.train, ranks)
        self._time_share = 0.0
        self._resumed_from: str | None = None
        if resume_from is not None:
            self.state = self._checkpointer.restore(resume_from.payload)
            # A branch is a new run.
            self._resumed_from = resume_from.path.name if resume_from.same_run else None

    def fit(self) -> TrainingState:
        """Train to the end or until `control.stop()`, save, and return the final state.

        Raises:
            PlaygroundError: Training failed; the run is marked failed, or interrupted by a full
                disk, and its newest checkpoint is intact.
        """
        self.begin_session()
        try:
            with translate_oom():
                self._train()
        except Exception as raised:
            minutes = self.train.distributed.timeout_minutes
            error = explain_failure(raised, self.dist, minutes)
            self._report_end(error)
            if error is raised:
                raise
            raise error from raised
        finally:
            self.close()
        return self.state

    def _report_end(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, PlaygroundError) else repr(error)
        step = self.state.step
        # A run without an end is interrupted, as if this process had been killed, too.
        is_interrupted = is_interruption(error)
        event = (
            Warned(step=step, message=reason)
            if is_interrupted
            else RunFailed(step=step, error=reason)
        )
        # If writing this event is what fails, the exception still carries the reason.
        with contextlib.suppress(TrainingError):
            self._events.emit(event)

    def close(self) -> None:
        """Close the sinks."""
        self._events.close()

    def begin_session(self) -> None:
        """Start the clock, and prepare model and calling thread for training."""
        self._clock.begin(self.state.wall_time, self.state.active_seconds)
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
                max_minutes=runtime.max_minutes or None,
                active_seconds=round(state.active_seconds, 3),
                parameters=count_parameters(self.model),
                device=str(self.setup.device),
                dtype=precision.name,
                dtype_reason=precision.reason,
                tokens_per_step=self._gradients.windows * self.config.train_block_size,
                resumed_from=self._resumed_from,
            )
        )
        if self._resumed_from is None:
            self.save(last=True, best=False)

        step_lr = 0.0
        while True:
            control.sync()
            self._time_share = self._clock.share()
            lr = learning_rate(state.step, self.train, self._time_share)
            self.optimizers.set_learning_rate(lr)

            asked = control.take()
            is_best = False
            # The last step is always evaluated.
            interval = 1 if state.is_last(runtime, self._time_share) else runtime.eval_interval
            eval_due = due(interval, state.step, done_at=state.evaluated_at)
            if "evaluate" in asked.actions or eval_due:
                is_best = self.evaluate(scheduled=eval_due)
            sample_due = due(runtime.sample_interval, state.step, done_at=state.sampled_at)
            if ("sample" in asked.actions or sample_due) and not control.stopping:
                self.sample()
            reason = self.stop_reason()
            save_due = checkpointer.is_due(state.step, ending=bool(reason))
            last = "checkpoint" in asked.actions or save_due
            if self._agrees(last or is_best):
                self.save(last=last, best=is_best)
            self._answers.give(state.step, asked.requests, ending=bool(reason))

            if reason:
                break
            # A stop requested since then is handled, and saved, by the next iteration.
            if control.paused or control.stopping:
                self._wait_while_paused()
                continue

            step_lr = lr
            self.train_step()
            if state.step % runtime.log_interval == 0:
                self.read_steps()
                self._events.emit(state.close_window(lr, **self._parts.take()))

        if self.dist.is_main:
            checkpointer.check_end(state.step)
        self.read_steps()
        finished = reason != "stopped by request"
        if finished and state.window_steps:
            self._events.emit(state.close_window(step_lr, **self._parts.take()))
        memory = peak_memory(self.setup.device)
        self._events.emit(state.finish(reason, self._clock.seconds, memory))

    def stop_reason(self) -> StopReason | None:
        """Why training ends now, or None.

        Training finishes after the evaluation of its last step; a request stops it at any step.
        """
        ended = self.state.end_reason(self.train.runtime, self._time_share)
        return ended or ("stopped by request" if self.control.stopping else None)

    def train_step(self) -> None:
        """Run one optimizer step over `grad_accum_steps` micro-batches.

        A step whose loss or gradient norm is not finite is not applied.

        Raises:
            TrainingError: There was such a step. On an accelerator, up to 100 steps later.
        """
        state, parts = self.state, self._parts
        parts.begin()
        step = self._gradients.compute(state.step, state.windows_drawn, parts)

        for optimizer in self.optimizers:
            self._scaler.unscale_(optimizer)
        max_norm = self.train.optim.grad_clip or math.inf
        grad_norm = self.params.clip_grads(max_norm)
        outcome = torch.stack((step.loss, grad_norm))
        self._unread.append((state.step, outcome))
        if len(self._unread) > self._max_unread:
            self.read_steps()

        self.optimizers.step(self._scaler, skip=~torch.isfinite(outcome).all())
        self._scaler.update()
        self.params.zero_grads()
        self.params.update_ema(state.step)
        self.params.copy_to_model()
        state.count_step(tokens=step.targets, windows=self._gradients.windows, **parts.end())

    def evaluate(self, *, scheduled: bool) -> bool:
        """Evaluate both splits, with the EMA weights if enabled; true if it is a new best.

        Only a `scheduled` evaluation counts for the best checkpoint and early stopping, so that
        requests do not change a run.

        Raises:
            TrainingError: The validation loss is not finite.
        """
        self.read_steps()
        state, setup = self.state, self.setup
        cancelled = partial(self._wait_while_paused, in_pause=self.control.paused)
        begun = self._clock.active_seconds
        with self.params.ema_weights():
            losses = evaluate(
                self.model,
                setup.dataset,
                self.config,
                setup.device,
                cancelled=cancelled,
                sharing=Sharing(self.dist.rank, self.dist.world_size, self.dist.sum),
            )
            heads = self._score_heads() if losses and self.train.runtime.head_scores else None
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
        seconds = self._clock.active_seconds - begun
        self._events.emit(evaluated(state.step, losses, heads, seconds=seconds, is_best=is_best))
        self._answers.completed.add("evaluate")
        return is_best

    def _score_heads(self) -> HeadScores | None:
        with self._whole_model() as model:
            return measured_heads(model, self.setup) if self.dist.is_main else None

    def _whole_model(self) -> contextlib.AbstractContextManager[LanguageModel]:
        """The model with all its weights, on the first rank; every rank must enter this."""
        return self._shards.whole_model() if self._shards else contextlib.nullcontext(self.model)

    def sample(self) -> None:
        """Draw the configured samples, with the EMA weights if enabled."""
        self.read_steps()
        with self.params.ema_weights(), self._whole_model() as model:
            self.control.on_main(partial(self._sample, model))
        if not self.dist.is_main and not self.control.stopping:
            # As the first rank, which has drawn them.
            self.state.sampled_at = self.state.step

    def _sample(self, model: LanguageModel) -> None:
        cancelled = partial(self._wait_while_paused, in_pause=self.control.paused)
        samples = draw_samples(self.setup, model, self.state.step, cancelled=cancelled)
        if samples is None:
            return
        self.state.sampled_at = self.state.step
        self._answers.completed.add("sample")
        for sample in samples:
            self._events.emit(sample)

    def save(self, *, last: bool, best: bool) -> None:
        """Save a checkpoint as last, best or both; a failed save is only a warning."""
        self.read_steps()
        state = self.state
        if not self.dist.is_main:
            self._checkpointer.take_part(state)
            return
        state.wall_time, state.active_seconds = self._clock.seconds, self._clock.active_seconds
        self._events.sync(state.step)
        try:
            self._events.emit(self._checkpointer.save(state, last=last, best=best))
            self._answers.completed.add("checkpoint")
            remember_run(self.run.run_id)
        except CheckpointError as error:
            if not self.run.root.is_dir():
                raise TrainingError(
                    f"the folder of the run was removed while it trained: {self.run.root}.",
                    "Start a new run; use `tp runs delete` to remove runs.",
                ) from error
            self._events.emit(Warned(step=state.step, message=f"checkpoint not saved: {error}"))
            if best:
                state.retract_best()

    def _agrees(self, decision: bool) -> bool:
        """The first rank's decision to save, in which every rank with a part takes part."""
        return decision if self._shards is None else self.dist.from_main(lambda: decision)

    def read_steps(self) -> None:
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
        is_saved = self._checkpointer.has_saved(self.state.step)
        if self._agrees(math.isfinite(loss) and not is_saved):
            self.save(last=True, best=False)
        what = f"gradient norm is {grad_norm}" if math.isfinite(loss) else f"loss is {loss}"
        clip = "lower" if self.train.optim.grad_clip else "set"
        raise TrainingError(
            f"{what} at step {step}; this step was not applied.",
            "Lower train.optim.learning_rate, lengthen train.schedule.warmup_iters or "
            f"{clip} train.optim.grad_clip, and resume.",
        )

    def _wait_while_paused(self, *, in_pause: bool = False) -> bool:
        """Wait until `resume`, `stop` or a request; true if training must stop.

        Evaluation and sampling call this between batches and tokens, so that a pause interrupts
        them, too, unless they were requested `in_pause`.
        """
        self.control.between_batches()
        if self.control.paused and not in_pause and not self.control.has_request():
            with self._clock.pause():
                self._events.emit(StatusChanged(step=self.state.step, status="paused"))
                self._answers.give_switches(self.state.step)
                while self.control.wait_while_paused():
                    self._answers.give_switches(self.state.step)
                self._events.emit(StatusChanged(step=self.state.step, status="running"))
        return self.control.stopping
