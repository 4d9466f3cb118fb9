"""Building adapter models: add adapters to a base model, or rebuild a saved adapter model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.finetuning import HfModelConfig, PeftConfig
from transformer_playground.errors import CheckpointError
from transformer_playground.finetuning.base_model import (
    base_fingerprint,
    base_shapes,
    check_fingerprint,
    choose_base_precision,
    load_base,
)
from transformer_playground.finetuning.checks import (
    check_attention,
    check_checkpointing,
    check_context,
    heads_are_tied,
    resolve_modules_to_save,
    table_names,
)
from transformer_playground.finetuning.model import AdapterModel, AdapterModelArgs
from transformer_playground.finetuning.targets import (
    are_transposed,
    excluded_pattern,
    is_named,
    linear_layers,
    resolve_targets,
)
from transformer_playground.hub import silence_libraries


def adapt(
    base: Any,
    peft: PeftConfig,
    *,
    hf: HfModelConfig,
    new_tokens: Sequence[int],
    vocab_size: int,
    block_size: int,
    end_token: int,
    seed: int,
    saved: AdapterModelArgs | None = None,
) -> AdapterModel:
    """Freeze a base model and add adapters, in place.

    Args:
        base: From `load_base`.
        peft: The `[peft]` table.
        hf: The `[hf_model]` table of `base`.
        new_tokens: Token ids added to the base tokenizer; their embedding rows are trained.
        vocab_size: Size of the tokenizer's vocabulary; the embedding is enlarged if needed.
        block_size: Maximum context in tokens.
        end_token: Token id that ends each document.
        seed: Seed of the initial adapter weights; the global random state is kept.
        saved: Arguments of a saved adapter model, whose targets and fingerprint are used.

    Raises:
        ModelError: The model cannot be finetuned.
        ConfigError: The settings do not fit the model.
    """
    fingerprint = base_fingerprint(hf) if saved is None else saved.base_fingerprint
    check_context(base, hf, block_size)
    check_checkpointing(base, hf)
    targets = resolve_targets(base, peft) if saved is None else saved.targets
    resolved = peft.model_copy(update={"target_modules": targets, "extend_mlp_targets": False})
    whole = resolve_modules_to_save(base, resolved)
    check_attention(base, hf)
    old_rows = base.get_input_embeddings().weight.shape[0]
    ids = tuple(sorted({*new_tokens, *range(old_rows, vocab_size)}))
    with silence_libraries():
        adapted = _adapted(
            base, resolved, hf, whole=whole, ids=ids, rows=max(old_rows, vocab_size), seed=seed
        )
    model_args = AdapterModelArgs(
        hf_model=hf,
        peft=peft,
        targets=targets,
        new_tokens=ids,
        vocab_size=max(old_rows, vocab_size),
        block_size=block_size,
        end_token=end_token,
        base_fingerprint=fingerprint,
    )
    return AdapterModel(adapted, model_args)


def adapted_shapes(
    hf: HfModelConfig, peft: PeftConfig, *, vocab_size: int, block_size: int
) -> AdapterModel:
    """An adapter model on the meta device: names and shapes without weights, nothing is downloaded.

    Args:
        hf: The `[hf_model]` table.
        peft: The `[peft]` table.
        vocab_size: Size of the tokenizer's vocabulary, 0 = that of the base model; the embedding is
            enlarged if needed.
        block_size: Maximum context in tokens.

    Raises:
        ModelError: The configuration of the base model cannot be read or cannot be adapted.
        ConfigError: The settings do not fit the model.
    """
    base = base_shapes(hf)
    targets = resolve_targets(base, peft)
    resolved = peft.model_copy(update={"target_modules": targets, "extend_mlp_targets": False})
    whole = resolve_modules_to_save(base, resolved)
    old_rows = base.get_input_embeddings().weight.shape[0]
    ids, rows = tuple(range(old_rows, vocab_size)), max(old_rows, vocab_size)
    with silence_libraries(), torch.device("meta"):
        adapted = _adapted(base, resolved, hf, whole=whole, ids=ids, rows=rows, seed=0)
    model_args = AdapterModelArgs(
        hf_model=hf,
        peft=peft,
        targets=targets,
        new_tokens=ids,
        vocab_size=rows,
        block_size=block_size,
        end_token=0,
        base_fingerprint="",
    )
    return AdapterModel(adapted, model_args).eval()


def rebuild(
    args: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> AdapterModel:
    """Rebuild a saved adapter model, in evaluation mode.

    Args:
        args: From `AdapterModel.args`.
        weights: The trained parameters by name.
        device: Device of the model.
        dtype: Dtype of the frozen weights; None = as configured in `[hf_model]`.

    Raises:
        ModelError: The base model cannot be loaded, or is not the one the adapter was trained on.
        CheckpointError: `args` or `weights` are invalid.
    """
    try:
        model_args = AdapterModelArgs.from_dict(args)
    except CheckpointError as error:
        raise _unusable(error.message) from error
    _check_rank(model_args.peft, weights)
    hf = model_args.hf_model
    check_fingerprint(hf, model_args.base_fingerprint)
    if dtype is None:
        dtype = choose_base_precision(hf, device).dtype
    base = load_base(hf, device=device, dtype=dtype)
    _check_fits(model_args, base)
    model = adapt(
        base,
        model_args.peft,
        hf=hf,
        new_tokens=model_args.new_tokens,
        vocab_size=model_args.vocab_size,
        block_size=model_args.block_size,
        end_token=model_args.end_token,
        seed=0,
        saved=model_args,
    )
    _fill(model, weights)
    return model.eval()


def _check_rank(peft: PeftConfig, weights: Mapping[str, Tensor]) -> None:
    """Reject another rank before adapters are created, since it could allocate all memory."""
    for name, tensor in weights.items():
        if ".lora_A." in name and tensor.shape[:1] != (peft.r,):
            raise _unusable(
                f"{name} is {_shape_text(tuple(tensor.shape))}, which is not of rank {peft.r}"
            )


def _check_fits(model_args: AdapterModelArgs, base: Any) -> None:
    rows = base.get_input_embeddings().weight.shape[0]
    if model_args.vocab_size > rows + len(model_args.new_tokens):
        raise _unusable(
            f"its model_args have a vocabulary of {model_args.vocab_size:,}, but the base model "
            f"has {rows:,} rows and {len(model_args.new_tokens):,} tokens were added"
        )
    layers = linear_layers(base)
    for target in model_args.targets:
        if not any(is_named(layer, target) for layer in layers):
            raise _unusable(f"its model_args target '{target}', which the base model lacks")


def _unusable(reason: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint cannot be used: {reason}.",
        "Choose another checkpoint, or restore this file.",
    )


def _fill(model: AdapterModel, weights: Mapping[str, Tensor]) -> None:
    trained = model.trained()
    expected = {name: tuple(parameter.shape) for name, parameter in trained.items()}
    actual = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != actual:
        name = next(
            name for name in sorted({*expected, *actual}) if expected.get(name) != actual.get(name)
        )
        raise _unusable(
            f"its weights do not fit its model_args: {name} should be "
            f"{_shape_text(expected.get(name))} and is {_shape_text(actual.get(name))}"
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape))


def _adapted(
    base: Any,
    peft: PeftConfig,
    hf: HfModelConfig,
    *,
    whole: Sequence[str],
    ids: Sequence[int],
    rows: int,
    seed: int,
) -> Any:
    from peft import LoraConfig, get_peft_model

    from transformer_playground.finetuning.trained_modules import (
        fill_new_rows,
        mean_rows,
        train_in_float32,
        train_new_rows,
    )

    means = mean_rows(base, ids) if ids else None
    # Adapters are initialised on the CPU, so that a seed gives the same weights on every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if rows > base.get_input_embeddings().weight.shape[0]:
            base.resize_token_embeddings(rows, mean_resizing=False)
        tables = table_names(base)[: 1 if heads_are_tied(base) else 2]
        adapted = get_peft_model(
            base,
            LoraConfig(
                task_type="CAUSAL_LM",
                r=peft.r,
                lora_alpha=peft.lora_alpha,
                lora_dropout=peft.lora_dropout,
                bias=peft.bias,
                target_modules=list(peft.target_modules),
                exclude_modules=excluded_pattern(base, peft.target_modules),
                modules_to_save=list(whole) or None,
                trainable_token_indices={
                    table: list(ids) for table in tables if ids and table not in whole
                }
                or None,
                fan_in_fan_out=are_transposed(base, peft.target_modules),
                revision=hf.revision,
            ),
        )
    if means is not None:
        train_new_rows(adapted, means, ids)
        fill_new_rows(adapted, means, ids)
    train_in_float32(adapted)
    if hf.gradient_checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    return adapted
