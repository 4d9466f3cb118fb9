"""The same model, data and seed under transformers' own Trainer give the same losses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.finetuning import finetune, lora_config
from builders.training import Recorder, runtime
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.loader import IGNORED
from transformer_playground.training.events import StepLogged
from transformer_playground.training.setup import build_setup

STEPS = 10
CHANGES: tuple[dict[str, Any], ...] = (
    {
        "hf_model": {"packing": False},
        "train": {
            "data": {"grad_accum_steps": 2},
            "optim": {"learning_rate": 5e-3, "weight_decay": 0.1},
            "schedule": {"schedule": "constant", "warmup_iters": 0},
        },
    },
    runtime(max_iters=STEPS, eval_interval=100),
)


def rows_for_trainer(config: ExperimentConfig) -> list[dict[str, list[int]]]:
    """Our batches as transformers wants them: it shifts the labels itself."""
    setup = build_setup(config, prepare_command="")
    rows, size = [], config.train.data.batch_size
    for number in range(STEPS * config.train.data.grad_accum_steps):
        inputs, targets = setup.batches.batch(number * size, size)
        width = config.train_block_size - inputs.shape[1]
        end = setup.dataset.end_token
        assert end is not None
        padded = np.pad(inputs, ((0, 0), (0, width + 1)), constant_values=end)
        labels = np.pad(targets, ((0, 0), (1, width)), constant_values=IGNORED)
        for read, aims in zip(padded, labels, strict=True):
            rows.append({"input_ids": read.tolist(), "labels": aims.tolist()})
    return rows


def reference_losses(config: ExperimentConfig, folder: Path) -> list[float]:
    from transformers import Trainer, TrainingArguments

    setup = build_setup(config, prepare_command="")
    optim, data = config.train.optim, config.train.data
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=data.batch_size,
        gradient_accumulation_steps=data.grad_accum_steps,
        train_sampling_strategy="sequential",
        learning_rate=optim.learning_rate,
        weight_decay=optim.weight_decay,
        adam_beta1=optim.beta1,
        adam_beta2=optim.beta2,
        adam_epsilon=optim.eps,
        max_grad_norm=optim.grad_clip,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    trainer = Trainer(
        model=setup.model.adapted,
        args=arguments,
        train_dataset=rows_for_trainer(config),
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
def test_losses_equal_those_of_the_reference_implementation(tmp_path: Path) -> None:
    recorder = Recorder()
    finetune(tmp_path, "llama", *CHANGES, sinks=[recorder])
    ours = [event.train_loss for event in recorder.of(StepLogged)]

    theirs = reference_losses(lora_config(tmp_path, "llama", *CHANGES), tmp_path / "reference")
    assert len(ours) == len(theirs) == STEPS
    assert ours[-1] < 0.95 * ours[0]
    assert ours == pytest.approx(theirs, rel=1e-3)
