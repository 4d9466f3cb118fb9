"""LoRA with our loop against transformers' Trainer with peft. Goal: at least 1.0x.

Both sides finetune the same Llama-shaped model (random weights, 8 layers of 256) with the same
adapters on the same padded batches in alternating rounds. Throughput is target tokens over the time
from the end of the second step to the end of the last.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.loader import IGNORED, count_targets
from transformer_playground.data.prepare import prepare_dataset
from transformer_playground.training.events import Event, StepLogged
from transformer_playground.training.run import TrainingRequest, start
from transformer_playground.training.setup import build_setup

WORDS = (
    *("the", "miller", "cat", "sat", "by", "a", "wheel", "and"),
    *("watched", "water", "go", "round", "until", "evening", "came"),
)
BLOCK = 128


def build_base(folder: Path) -> Path:
    """A model with random weights, and a tokenizer trained on the words above."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2048,
            hidden_size=256,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=4,
            max_position_embeddings=BLOCK,
            pad_token_id=None,
        )
    ).save_pretrained(folder)
    return folder


def configuration(folder: Path, base: Path, steps: int, threads: int) -> ExperimentConfig:
    """Configuration of the experiment that both sides train."""
    raw = folder / "raw"
    raw.mkdir()
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS, size=200)) for _ in range(200)]
    (raw / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    config = ExperimentConfig.model_validate(
        {
            "experiment": {"kind": "lora"},
            "prepare": {
                "raw_dir": str(raw),
                "dataset_dir": str(folder / "datasets"),
                "tokenizer_type": "huggingface",
                "documents": "lines",
            },
            "hf_model": {"model_name": str(base), "dtype": "float32", "block_size": BLOCK},
            "peft": {"lora_dropout": 0.0, "extend_mlp_targets": True},
            "train": {
                "data": {"batch_size": 4, "grad_accum_steps": 2},
                "optim": {"learning_rate": 1e-3, "weight_decay": 0.0},
                "schedule": {"schedule": "constant", "warmup_iters": 0},
                "runtime": {
                    "max_iters": steps,
                    "eval_interval": 10 * steps,
                    "eval_windows": 1,
                    "log_interval": 1,
                    "device": "cpu",
                    "threads": threads,
                    "tensorboard": False,
                    "auto_plot": False,
                    "auto_report": False,
                },
            },
        }
    )
    prepare_dataset(config.prepare, hf_model=config.hf_model, report=lambda _: None)
    return config


class Clock:
    """A sink that records the end of each step."""

    essential = False

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []
        self.losses: list[float] = []

    def handle(self, event: Event) -> None:
        """Record the time of a logged step."""
        if isinstance(event, StepLogged):
            self.steps.append((time.perf_counter(), event.tokens_seen))
            self.losses.append(event.train_loss)

    def sync(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""

    @property
    def tokens_per_second(self) -> float:
        """From the second logged step to the last."""
        (began, first), (ended, last) = self.steps[1], self.steps[-1]
        return (last - first) / (ended - began)


def ours(config: ExperimentConfig, folder: Path, number: int) -> Clock:
    clock = Clock()
    request = TrainingRequest("finetuning", config, {}, folder)
    start(request, folder / "runs", run_id=f"ours-{number}", sinks=[clock])
    return clock


def theirs(config: ExperimentConfig, folder: Path) -> Clock:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    setup = build_setup(config, prepare_command="")
    data, steps = config.train.data, config.train.runtime.max_iters
    rows, counts = [], []
    for index in range(steps * data.grad_accum_steps):
        inputs, targets = setup.batches.batch(index * data.batch_size, data.batch_size)
        counts.append(count_targets(targets))
        end = inputs[:, :1] * 0 + (setup.dataset.end_token or 0)
        for read, aims in zip(np.hstack([inputs, end]), targets, strict=True):
            rows.append({"input_ids": read.tolist(), "labels": [IGNORED, *aims.tolist()]})
    clock = Clock()

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            done = state.global_step * data.grad_accum_steps
            clock.steps.append((time.perf_counter(), sum(counts[:done])))

    trainer = Trainer(
        model=setup.model.adapted,
        args=TrainingArguments(
            output_dir=str(folder / "theirs"),
            max_steps=steps,
            per_device_train_batch_size=data.batch_size,
            gradient_accumulation_steps=data.grad_accum_steps,
            train_sampling_strategy="sequential",
            learning_rate=config.train.optim.learning_rate,
            weight_decay=0.0,
            adam_beta2=config.train.optim.beta2,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        callbacks=[Watch()],
    )
    trainer.train()
    clock.losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    sides: dict[str, list[float]] = {"ours": [], "theirs": []}
    apart = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(
            folder, build_base(folder / "base"), arguments.steps, arguments.threads
        )
        config = config.model_copy(
            update={"hf_model": config.hf_model.model_copy(update={"packing": False})}
        )
        for number in range(arguments.rounds):
            first, second = ours(config, folder, number), theirs(config, folder)
            sides["ours"].append(first.tokens_per_second)
            sides["theirs"].append(second.tokens_per_second)
            apart = max(
                apart,
                *(abs(a - b) / b for a, b in zip(first.losses, second.losses, strict=True)),
            )
            print(
                f"round {number + 1}: ours {sides['ours'][-1]:8,.0f} tokens/s, "
                f"theirs {sides['theirs'][-1]:8,.0f} tokens/s"
            )
    medians = {side: statistics.median(values) for side, values in sides.items()}
    print(
        json.dumps(
            {
                "benchmark": "finetuning",
                "ours_tokens_per_s": round(medians["ours"]),
                "trainer_tokens_per_s": round(medians["theirs"]),
                "ratio": round(medians["ours"] / medians["theirs"], 3),
                "goal": 1.0,
                "largest_relative_loss_difference": apart,
            }
        )
    )


if __name__ == "__main__":
    main()
