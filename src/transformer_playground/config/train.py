"""`[train.*]`: batches, optimizer, schedule, runtime and checkpoint policy."""

from typing import Literal, Self

from pydantic import Field, model_validator

from transformer_playground.config.base import Table, check_float16, conflict, setting

Device = Literal["auto", "cpu", "cuda", "mps"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Optimizer = Literal["adamw", "muon"]
Schedule = Literal["constant", "cosine", "linear", "wsd"]
Strategy = Literal["ddp", "fsdp"]

MATRIX_OPTIMIZERS: frozenset[Optimizer] = frozenset({"muon"})
"""Optimizers for full hidden matrices, not for low-rank LoRA matrices."""

_EVAL_WINDOWS = 240
# Largest warmup, in steps, where none is stated.
_WARMUP = 100


class DataConfig(Table):
    """`[train.data]`: the batches of an optimizer step."""

    batch_size: int = setting(12, "Sequences per micro-batch.", ge=1, le=1_000_000)
    block_size: int | None = setting(
        None, "Tokens per sequence: omitted = maximum = block_size of the model.", ge=1
    )
    grad_accum_steps: int = setting(1, "Micro-batches per optimizer step.", ge=1)
    sampler: Literal["random", "sequential"] = setting(
        "random", "random = random windows; sequential = shuffled epochs of consecutive windows."
    )


class OptimConfig(Table):
    """`[train.optim]`: the optimizer."""

    optimizer: Optimizer = setting(
        "adamw", "adamw, or muon for hidden matrices with AdamW for the rest."
    )
    learning_rate: float = setting(1e-3, "Peak learning rate of AdamW.", gt=0)
    weight_decay: float = setting(0.1, "Weight decay (matrices only).", ge=0)
    beta1: float = setting(0.9, "AdamW first-moment decay.", ge=0, lt=1)
    beta2: float = setting(0.99, "AdamW second-moment decay.", ge=0, lt=1)
    eps: float = setting(1e-8, "AdamW epsilon.", gt=0)
    muon_learning_rate: float = setting(0.02, "Peak learning rate of Muon.", gt=0)
    muon_momentum: float = setting(0.95, "Nesterov momentum of Muon.", ge=0, lt=1)
    grad_clip: float = setting(1.0, "Maximum global gradient norm; 0 = no clipping.", ge=0)


class ScheduleConfig(Table):
    """`[train.schedule]`: the learning-rate schedule."""

    schedule: Schedule = setting(
        "cosine", "Learning-rate schedule after warmup; wsd = warmup, stable, decay."
    )
    warmup_iters: int | None = setting(
        None,
        "Steps of linear warmup: omitted = 5 % of lr_decay_iters, at most 100.",
        ge=0,
    )
    lr_decay_iters: int | None = setting(
        None, "Step at which the decay ends: omitted = max_iters.", ge=1
    )
    min_lr: float | None = setting(
        None, "Learning rate after the decay: omitted = learning_rate / 10.", ge=0
    )
    wsd_decay_fraction: float = setting(
        0.2, "Fraction of lr_decay_iters used for the decay (schedule = wsd).", gt=0, le=1
    )


class RuntimeConfig(Table):
    """`[train.runtime]`: run length, device and intervals."""

    max_iters: int = setting(2000, "Total optimizer steps.", ge=0)
    max_minutes: float = setting(
        0.0,
        "End after this many minutes of training, which are then the length of the schedule, too; "
        "a branch counts those of its parent; 0 = no limit.",
        ge=0,
    )
    eval_interval: int = setting(250, "Steps between evaluations.", ge=1)
    eval_windows: int | None = setting(
        None,
        "Windows of block_size tokens per split in each evaluation, spread evenly over it: "
        f"omitted = {_EVAL_WINDOWS}.",
        ge=1,
    )
    eval_iters: int | None = setting(
        None,
        "Older way to set eval_windows, if that is omitted: batches of an optimizer step.",
        ge=1,
    )
    log_interval: int = setting(10, "Steps between rows of the training log.", ge=1)
    sample_interval: int = setting(0, "Steps between samples during training; 0 = none.", ge=0)
    seed: int = setting(1337, "Seed of initialisation, batches, dropout and evaluation.", ge=0)
    device: Device = setting("auto", "auto = cuda, then mps, then cpu.")
    dtype: DType = setting("auto", "Compute dtype; auto = bfloat16 where it is faster.")
    tf32: bool = setting(
        True, "On CUDA, multiply float32 matrices with TF32, faster and less exact."
    )
    compile: bool = setting(False, "Use torch.compile: slower start, faster steps.")
    threads: int = setting(0, "CPU threads for training; 0 = all cores.", ge=0, le=1024)
    ema_decay: float = setting(
        0.0,
        "Decay of the exponential moving average (EMA) of the weights, which is then evaluated "
        "and sampled; 0 = off. At first the decay is at most (1 + step) / (10 + step).",
        ge=0,
        lt=1,
    )
    early_stop_patience: int = setting(
        0, "Stop after this many evaluations without improvement; 0 = never.", ge=0
    )
    early_stop_min_delta: float = setting(
        0.0, "Minimum decrease of val_loss that counts as an improvement.", ge=0
    )
    head_scores: bool = setting(
        False,
        "At each evaluation, score the attention heads on repeated random tokens (induction, "
        "previous token, duplicate token).",
    )
    system_metrics: bool = setting(
        True,
        "Add system metrics to the rows of the training log: CPU of the run and of others, free "
        "disk space, use of NVIDIA GPUs.",
    )
    tensorboard: bool = setting(True, "Write TensorBoard scalars under logs/tb.")
    auto_plot: bool = setting(
        True, "Plot reports/loss-curve.svg after training, except for short runs."
    )
    auto_report: bool = setting(
        True, "Write a report after training; report and plot take at most 5 % of the run's time."
    )


class KeepConfig(Table):
    """`[train.checkpointing.keep]`: checkpoint retention."""

    last: int = setting(2, "Newest checkpoints to keep; 0 = only the target of last.pt.", ge=0)
    best: int = setting(1, "Best checkpoints to keep; 0 = only the target of best_val.pt.", ge=0)


class CheckpointingConfig(Table):
    """`[train.checkpointing]`: checkpoint intervals and retention."""

    interval: int = setting(0, "Steps between checkpoints; 0 = at each evaluation.", ge=0)
    interval_minutes: float = setting(
        10.0, "Also save when the last checkpoint is this many minutes old; 0 = never.", ge=0
    )
    keep: KeepConfig = Field(default_factory=KeepConfig)


class DistributedConfig(Table):
    """`[train.distributed]`: several processes that train one model."""

    processes: int = setting(
        1,
        "Processes on this machine that share the sequences of each step; torchrun states its own.",
        ge=1,
        le=1024,
    )
    strategy: Strategy = setting(
        "ddp",
        "ddp = every process holds the model; fsdp = each holds a part of it and of the "
        "optimizer state.",
    )
    timeout_minutes: float = setting(
        10.0, "End training when a process has not answered for this long.", gt=0, le=100_000
    )


class TrainConfig(Table):
    """`[train]`: training."""

    data: DataConfig = Field(default_factory=DataConfig)
    optim: OptimConfig = Field(default_factory=OptimConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)
    checkpointing: CheckpointingConfig = Field(default_factory=CheckpointingConfig)
    distributed: DistributedConfig = Field(default_factory=DistributedConfig)

    @property
    def decay_iters(self) -> int:
        """Step at which the learning-rate decay ends."""
        return self.schedule.lr_decay_iters or max(1, self.runtime.max_iters)

    @property
    def eval_windows(self) -> int:
        """Windows per split in each evaluation."""
        runtime, data = self.runtime, self.data
        if runtime.eval_windows is None and runtime.eval_iters is not None:
            return runtime.eval_iters * data.batch_size * data.grad_accum_steps
        return runtime.eval_windows or _EVAL_WINDOWS

    @property
    def warmup_iters(self) -> int:
        """Steps of linear warmup."""
        stated = self.schedule.warmup_iters
        return min(_WARMUP, self.decay_iters // 20) if stated is None else stated

    @property
    def min_lr(self) -> float:
        """Learning rate after the decay."""
        stated = self.schedule.min_lr
        return self.optim.learning_rate / 10 if stated is None else stated

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.schedule.schedule != "constant":
            if self.warmup_iters > self.decay_iters:
                raise conflict(
                    f"warmup_iters = {self.warmup_iters} is longer than the whole schedule "
                    f"of {self.decay_iters} steps (lr_decay_iters, or max_iters); lower it, or "
                    "leave it out for 5 % of them (--set train.schedule.warmup_iters=none)",
                    "train.schedule.warmup_iters",
                    "train.schedule.lr_decay_iters",
                    "train.runtime.max_iters",
                )
            if self.min_lr > self.optim.learning_rate:
                raise conflict(
                    f"min_lr = {self.min_lr:g} is above "
                    f"learning_rate = {self.optim.learning_rate:g}; lower it, or leave it out for "
                    "a tenth of that (--set train.schedule.min_lr=none)",
                    "train.schedule.min_lr",
                    "train.optim.learning_rate",
                )
        return self

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        runtime = self.runtime
        keys = "train.runtime.dtype", "train.runtime.device"
        check_float16("dtype", runtime.dtype, runtime.device, *keys)
        if self.distributed.strategy == "fsdp" and (runtime.compile or runtime.dtype == "float16"):
            name = "compile" if runtime.compile else "dtype"
            raise conflict(
                "strategy = 'fsdp' works without compile, in float32 or bfloat16; "
                f"change train.runtime.{name}, or set strategy = 'ddp'",
                "train.distributed.strategy",
                f"train.runtime.{name}",
            )
        if runtime.compile and runtime.device == "mps":
            raise conflict(
                "compile = true is not supported on mps; set compile = false",
                "train.runtime.compile",
                "train.runtime.device",
            )
        return self
