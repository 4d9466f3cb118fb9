"""A pretrained model is finetuned by the same loop, and what comes of it is usable by others."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder
from builders.finetuning import finetune, lora_config, resume_finetuning
from builders.training import Recorder, equal, final_payload, rows_of, runtime
from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.loader import IGNORED
from transformer_playground.errors import CheckpointError, DataError, RunError
from transformer_playground.evaluation.loss import fixed_windows
from transformer_playground.files import sha256_file
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.generation.samples import SampledToken
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation import draw, load_run, stream_samples
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    Evaluated,
    Event,
    RunStarted,
    Sampled,
    StepLogged,
    Warned,
)
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.setup import build_setup

MEMORISING: tuple[dict[str, Any], ...] = (
    {"peft": {"r": 16}, "train": {"optim": {"learning_rate": 2e-2}}},
    runtime(max_iters=120, eval_interval=60),
)


def saved_tensors(folder: Path) -> list[list[float]]:
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors").values()
    return sorted(tensor.flatten().tolist() for tensor in tensors)


def kept_tensors(run: RunFolder, kind: str) -> list[list[float]]:
    tensors = load_payload(choose(run.checkpoints, kind).path)["model"].values()
    return sorted(tensor.flatten().tolist() for tensor in tensors)


def newest_model(run: Any) -> AdapterModel:
    model = build_model(load_payload(choose(run.checkpoints, "last").path))
    assert isinstance(model, AdapterModel)
    return model


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_is_memorised_and_plain_peft_loads_the_adapters(
    architecture: Architecture, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = lora_config(tmp_path, architecture)
    weights = Path(config.hf_model.model_name) / "model.safetensors"
    before = sha256_file(weights)
    recorder = Recorder()
    result = finetune(tmp_path, architecture, *MEMORISING, sinks=[recorder])

    losses = [event.train_loss for event in recorder.of(StepLogged)]
    # A frozen random head cannot be surer than this.
    assert losses[-1] < 0.4 * losses[0]
    model = newest_model(result.run)
    # Without the end token, which would begin another document.
    tokens = torch.arange(1, 21).reshape(2, 10)
    with torch.no_grad():
        ours = model(tokens)
        for kind in ("last", "final"):
            base = AutoModelForCausalLM.from_pretrained(config.hf_model.model_name)
            adapted = PeftModel.from_pretrained(base, result.run.adapters / kind).eval()
            torch.testing.assert_close(adapted(input_ids=tokens).logits, ours)
        untouched = AutoModelForCausalLM.from_pretrained(config.hf_model.model_name)
        assert not torch.allclose(untouched(input_ids=tokens).logits, ours, atol=0.1)
    assert sha256_file(weights) == before


def test_the_best_adapters_are_those_of_the_best_checkpoint(tmp_path: Path) -> None:
    # From where it stands at the fourth step a huge learning rate can only do harm.
    harm = {"train": {"optim": {"learning_rate": 5.0}, "schedule": {"warmup_iters": 8}}}
    run = finetune(tmp_path, "qwen2", harm).run

    assert (
        choose(run.checkpoints, "best").path.resolve()
        != choose(run.checkpoints, "last").path.resolve()
    )
    assert saved_tensors(run.adapters / "best") == kept_tensors(run, "best")
    assert saved_tensors(run.adapters / "last") == kept_tensors(run, "last")


def test_frozen_weights_never_change_and_only_adapters_are_kept(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    result = finetune(tmp_path, "llama")
    config = lora_config(tmp_path, "llama")
    base = AutoModelForCausalLM.from_pretrained(config.hf_model.model_name)

    model = newest_model(result.run)
    frozen = {
        name.replace("base_layer.", ""): tensor
        for name, tensor in model.base.named_parameters()
        if not tensor.requires_grad
    }
    assert frozen.keys() == dict(base.named_parameters()).keys()
    for name, tensor in base.named_parameters():
        assert torch.equal(frozen[name], tensor), name
    payload = load_payload(choose(result.run.checkpoints, "last").path)
    assert payload["model"]
    assert all("lora_" in name for name in payload["model"])
    states = payload["optimizer"]["AdamW"]["state"]
    assert len(states) == len(payload["model"])


@pytest.mark.parametrize("modules", [["q_proj"], ["q_proj", "v_proj", "down_proj"]])
def test_the_adapters_have_as_many_weights_as_the_paper_says(
    modules: list[str], tmp_path: Path
) -> None:
    recorder = Recorder()
    peft = {"peft": {"r": 3, "target_modules": modules, "extend_mlp_targets": False}}
    result = finetune(tmp_path, "llama", peft, runtime(max_iters=1), sinks=[recorder])

    # Hu et al. 2021: r (inputs + outputs) for each adapted matrix; the model is 32 wide with four
    # query and two key heads of 8, and an MLP of 64.
    shapes = {"q_proj": (32, 32), "v_proj": (32, 16), "down_proj": (64, 32)}
    expected = 2 * sum(3 * sum(shapes[name]) for name in modules)
    assert recorder.of(RunStarted)[0].parameters == expected
    assert read_run_config(result.run)["parameters"] == expected


def test_the_first_step_moves_weights_by_the_learning_rate_and_not_by_its_square(
    tmp_path: Path,
) -> None:
    change = {"train": {"optim": {"learning_rate": 3e-3, "grad_clip": 0.0}}}
    recorder = Recorder()
    result = finetune(
        tmp_path, "qwen2", change, runtime(max_iters=1, eval_interval=1), sinks=[recorder]
    )

    config = lora_config(tmp_path, "qwen2", change, runtime(max_iters=1))
    rate = learning_rate(0, config.train)
    assert recorder.of(StepLogged)[0].lr == rate
    moved = [
        tensor.abs().max().item()
        for name, tensor in load_payload(choose(result.run.checkpoints, "last").path)[
            "model"
        ].items()
        # Born as zero; the first step of Adam is the learning rate, whatever the gradient.
        if "lora_B" in name
    ]
    assert moved
    for largest in moved:
        assert largest == pytest.approx(rate, rel=1e-3)


def test_targets_are_the_next_tokens_shifted_once(tmp_path: Path) -> None:
    config = lora_config(tmp_path, "qwen2", {"hf_model": {"packing": False}})
    setup = build_setup(config, prepare_command="")
    recorder = Recorder()
    finetune(
        tmp_path,
        "qwen2",
        {"hf_model": {"packing": False}},
        runtime(max_iters=1),
        sinks=[recorder],
    )

    model = setup.model.eval()
    total, count = 0.0, 0
    for inputs, targets in fixed_windows(setup.dataset.val, config, setup.dataset):
        for row, aims in zip(inputs, targets, strict=True):
            length = int((aims != IGNORED).sum())
            whole = torch.tensor([*row[:length].tolist(), int(aims[length - 1])])
            with torch.no_grad():
                # transformers shifts its labels by itself.
                loss = model.base(input_ids=whole[None], labels=whole[None]).loss  # type: ignore[operator]
            total, count = total + loss.item() * length, count + length
    assert recorder.of(Evaluated)[0].val_loss == pytest.approx(total / count, rel=1e-4)


def test_no_attention_between_packed_documents(tmp_path: Path) -> None:
    config = lora_config(tmp_path)
    setup = build_setup(config, prepare_command="")
    model, end = setup.model.eval(), setup.dataset.end_token
    assert end is not None

    first, second = [5, 6, 7, end], [8, 9, 10, 11]
    with torch.no_grad():
        packed = model(torch.tensor([first + second]))[0, len(first) :]
        alone = model(torch.tensor([second]))[0]
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packing", [True, False])
def test_a_step_is_divided_by_the_targets_of_all_its_batches(packing: bool, tmp_path: Path) -> None:
    change = {"hf_model": {"packing": packing}, "train": {"data": {"grad_accum_steps": 3}}}
    config = lora_config(tmp_path, "qwen2", change)
    setup = build_setup(config, prepare_command="")
    recorder = Recorder()
    finetune(tmp_path, "qwen2", change, runtime(max_iters=1), sinks=[recorder])

    model = setup.model.train()
    logits, aims = [], []
    size = config.train.data.batch_size
    for number in range(3):
        inputs, targets = setup.batches.batch(number * size, size)
        with torch.no_grad():
            logits.append(model(torch.from_numpy(inputs)).flatten(0, 1))
        aims.append(torch.from_numpy(targets).flatten())
    expected = functional.cross_entropy(torch.cat(logits), torch.cat(aims))
    logged = recorder.of(StepLogged)[0]
    assert logged.train_loss == pytest.approx(expected.item(), rel=1e-5)
    assert logged.tokens_seen == int((torch.cat(aims) != IGNORED).sum())


def test_an_interrupted_run_equals_one_that_was_not(tmp_path: Path) -> None:
    change = {
        "peft": {"lora_dropout": 0.2},
        "train": {"data": {"grad_accum_steps": 2}, "runtime": {"ema_decay": 0.9, "max_iters": 8}},
    }
    straight = finetune(tmp_path, "gemma3", change, run_id="straight").run
    for step in (0, 3, 5):
        control = TrainingControl()

        def react(event: Event, step: int = step, control: TrainingControl = control) -> None:
            if isinstance(event, StepLogged if step else RunStarted) and event.step == step:
                control.stop()

        run_id = f"cut-{step}"
        finetune(
            tmp_path,
            "gemma3",
            change,
            run_id=run_id,
            sinks=[Recorder(react=react)],
            control=control,
        )
        run = resume_finetuning(tmp_path, "gemma3", change, run_id=run_id).run
        assert equal(final_payload(run), final_payload(straight)), step
        for event in ("train", "eval"):
            assert rows_of(run, event) == rows_of(straight, event)


def test_gradient_checkpointing_changes_no_loss(tmp_path: Path) -> None:
    losses = []
    for number, checkpointing in enumerate((False, True)):
        run = finetune(
            tmp_path,
            "qwen2",
            {
                "hf_model": {"gradient_checkpointing": checkpointing},
                "peft": {"lora_dropout": 0.1},
            },
            run_id=f"run-{number}",
        ).run
        losses.append([row["train_loss"] for row in rows_of(run, "train")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_finetuned_run_samples_from_its_own_folder(tmp_path: Path) -> None:
    run = finetune(tmp_path, "llama", *MEMORISING).run

    loaded = load_run(run, SampleRequest(temperature=0.0))
    (row,) = draw(loaded)
    assert row["prompt"] == "The cat"
    assert row["text"].startswith(" sat by the wheel")
    dataset = open_dataset(tmp_path / "datasets-llama", prepare_command="")
    assert dataset.end_token == loaded.tokenizer.eos_id


def test_rows_that_no_token_has_are_never_drawn(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    build_model_folder("qwen2", tmp_path / "models", extra_rows=5000)
    options = {"temperature": 1e6, "top_k": 0, "top_p": 1.0, "num_samples": 8, "max_new_tokens": 16}
    recorder = Recorder()
    run = finetune(
        tmp_path,
        "qwen2",
        {"sample": {"sample": options}},
        runtime(max_iters=2, sample_interval=1),
        sinks=(recorder,),
    ).run
    assert [event for event in recorder.events if isinstance(event, Sampled)]

    loaded = load_run(run, SampleRequest())
    drawn = [event.id for event in stream_samples(loaded) if isinstance(event, SampledToken)]
    assert loaded.model.vocab_size == loaded.tokenizer.vocab_size + 5000
    assert len(drawn) > 64
    assert max(drawn) < loaded.tokenizer.vocab_size


def test_adapters_of_another_base_model_are_refused(tmp_path: Path) -> None:
    run = finetune(tmp_path, "llama").run
    base = tmp_path / "models" / "tiny-llama"
    base.rename(tmp_path / "models" / "first")
    build_model_folder("llama", tmp_path / "models", seed=1)

    with pytest.raises((CheckpointError, RunError, DataError), match=r"base|trained on"):
        resume_finetuning(tmp_path, "llama", run_id=run.run_id)
    with pytest.raises(Exception, match=r"base"):
        load_run(run, SampleRequest())


def test_a_resumed_run_keeps_the_shape_of_its_adapters(tmp_path: Path) -> None:
    finetune(tmp_path, "qwen2")
    notices: list[str] = []
    run = resume_finetuning(
        tmp_path, "qwen2", {"peft": {"r": 16}}, runtime(max_iters=14), notices=notices
    ).run

    assert any("peft.r: keeping the run's 4 instead of 16" in notice for notice in notices)
    assert newest_model(run).model_args.peft.r == 4
    assert read_run_config(run)["config"]["peft"]["r"] == 4


@pytest.mark.parametrize("kept", ["last", "best"])
def test_adapters_are_written_though_no_checkpoint_of_their_kind_is_kept(
    kept: str, tmp_path: Path
) -> None:
    run = finetune(tmp_path, "qwen2", {"train": {"checkpointing": {"keep": {kept: 0}}}}).run

    for kind in ("last", "best"):
        assert saved_tensors(run.adapters / kind) == kept_tensors(run, kind)
    assert saved_tensors(run.adapters / "final") == kept_tensors(run, "last")


def test_adapters_that_could_not_be_written_are_written_later(tmp_path: Path) -> None:
    recorder = Recorder()
    blocked = tmp_path / "runs" / "run" / "adapters"

    def react(event: Event) -> None:
        # A file stands where the folder should be, as long as the run is at its beginning.
        if isinstance(event, RunStarted):
            blocked.write_text("in the way")
        elif isinstance(event, StepLogged) and event.step == 6:
            blocked.unlink()

    recorder.react = react
    run = finetune(tmp_path, "qwen2", sinks=[recorder]).run

    warnings = [event.message for event in recorder.of(Warned)]
    assert warnings
    assert all("not written" in message for message in warnings)
    for kind in ("last", "best"):
        assert saved_tensors(run.adapters / kind) == kept_tensors(run, kind)


def test_a_resumed_run_writes_its_adapters_again(tmp_path: Path) -> None:
    run = finetune(tmp_path, "qwen2").run
    shutil.rmtree(run.adapters)
    # As if it had been killed between the last checkpoint and its adapters.
    rows = run.metrics_path.read_text().splitlines(keepends=True)
    run.metrics_path.write_text("".join(rows[:-1]))
    resume_finetuning(tmp_path, "qwen2", run_id=run.run_id)

    for kind in ("last", "best"):
        assert saved_tensors(run.adapters / kind) == kept_tensors(run, kind)


def test_samples_may_be_longer_than_the_sequences_of_training(tmp_path: Path) -> None:
    run = finetune(tmp_path, "qwen2", {"train": {"data": {"block_size": 12}}}).run

    model = newest_model(run)
    assert model.block_size == 24
    assert model(torch.ones(1, 24, dtype=torch.int64)).shape[1] == 24
