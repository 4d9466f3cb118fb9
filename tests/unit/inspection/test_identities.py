"""Identities that hold for every model, whatever its settings and whoever made it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.testing import assert_close

from builders.base_models import ARCHITECTURES, build_model_folder
from builders.lora_models import adapted_model, some_tokens, stir
from builders.models import architectures, lively_model, tokens_of
from transformer_playground.config.model import ModelConfig
from transformer_playground.inspection.ablation import Component, ablate, all_components
from transformer_playground.inspection.heads import attention_patterns
from transformer_playground.inspection.lens import (
    ATTRIBUTION_TOLERANCE,
    attribute_logits,
    logit_lens,
)
from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.patching import patched
from transformer_playground.inspection.recording import Site, record
from transformer_playground.inspection.salience import gradient_salience
from transformer_playground.model.base import LanguageModel

LENGTH = 12


def check_lens(model: LanguageModel, tokens: Tensor, other: Tensor) -> None:
    lens = list(logit_lens(model, tokens))
    with torch.inference_mode():
        assert torch.equal(lens[-1], model(tokens))
    assert len(lens) == len(parts_of(model).layers) + 1


def check_patterns(model: LanguageModel, tokens: Tensor, other: Tensor) -> None:
    patterns = attention_patterns(model, tokens)
    assert_close(patterns.sum(-1), torch.ones(patterns.shape[:-1]))
    future = torch.ones(LENGTH, LENGTH).triu(1).bool()
    assert patterns[..., future].abs().max() == 0


def check_attribution(model: LanguageModel, tokens: Tensor, other: Tensor) -> None:
    found = attribute_logits(model, tokens, other)
    parts = parts_of(model)
    last = record(model, tokens, [Site("residual", len(parts.layers) - 1)])
    with torch.inference_mode():
        stream = last[Site("residual", len(parts.layers) - 1)]
        logits = parts.unembed(parts.final_norm(stream))
        expected = logits.gather(-1, other.unsqueeze(-1)).squeeze(-1)
    assert_close(found.logits, expected, rtol=ATTRIBUTION_TOLERANCE, atol=ATTRIBUTION_TOLERANCE)
    biased = any(name.endswith("bias") for name, _ in model.named_parameters())
    if not biased:
        total = found.embedding + found.heads.sum((0, -1)) + found.mlps.sum(0)
        size = float(found.logits.abs().max())
        assert_close(total, found.logits, rtol=0, atol=ATTRIBUTION_TOLERANCE * max(1, size))


def check_patching(model: LanguageModel, tokens: Tensor, other: Tensor) -> None:
    parts = parts_of(model)
    everything = [Site("embedding"), *(Site("residual", n) for n in range(len(parts.layers)))]
    with torch.inference_mode():
        expected = model(other)
    assert_close(patched(model, tokens, other, everything).logits, expected)
    assert_close(patched(model, tokens, other, [Site("embedding")]).logits, expected)


CHECKS = [check_lens, check_patterns, check_attribution, check_patching]


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=12, deadline=None)
@given(config=architectures())
def test_identities_hold_for_every_architecture(
    check: Callable[[LanguageModel, Tensor, Tensor], None], config: ModelConfig
) -> None:
    check(lively_model(config=config), tokens_of(0, 2, LENGTH), tokens_of(1, 2, LENGTH))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_identities_hold_for_finetuned_models(
    check: Callable[[LanguageModel, Tensor, Tensor], None], architecture: str, tmp_path: Path
) -> None:
    model = stir(adapted_model(build_model_folder(architecture, tmp_path)))  # type: ignore[arg-type]
    check(model, some_tokens(model, 2, LENGTH), some_tokens(model, 2, LENGTH, seed=1))


@settings(max_examples=12, deadline=None)
@given(config=architectures())
def test_ablation_equals_a_forward_pass_with_zeroed_weights(config: ModelConfig) -> None:
    tokens = tokens_of(0, 2, LENGTH)
    model = lively_model(config=config)
    last = config.n_layer - 1
    components = [*all_components(parts_of(model)), Component(0), Component(last, "attention")]
    for component in components:
        ablated = ablate(model, tokens, [component]).logits
        zeroed = lively_model(config=config)
        _zero(zeroed, component, config)
        with torch.inference_mode():
            assert_close(ablated, zeroed(tokens), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def _zero(model: LanguageModel, component: Component, config: ModelConfig) -> None:
    layer = parts_of(model).layers[component.layer]
    attention, mlp = layer.attention_output, layer.mlp_output
    branches = {"attention": (attention,), "mlp": (mlp,), "layer": (attention, mlp)}
    if isinstance(component.part, int):
        weight = layer.attention_output.weight
        assert isinstance(weight, Tensor)
        weight.view(config.n_embd, config.n_head, -1)[:, component.part] = 0
        return
    for projection in branches[component.part]:
        if projection is not None:
            for parameter in projection.parameters():
                parameter.zero_()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ablating_a_head_of_a_finetuned_model_zeroes_its_columns(
    architecture: str, tmp_path: Path
) -> None:
    model = stir(adapted_model(build_model_folder(architecture, tmp_path)))  # type: ignore[arg-type]
    tokens = some_tokens(model, 1, LENGTH)
    ablated = ablate(model, tokens, [Component(1, 2), Component(0, "mlp")]).logits
    output, down = model.base.model.layers[1].self_attn.o_proj, model.base.model.layers[0].mlp
    with torch.no_grad():
        for weight in (output.weight, output.lora_A["default"].weight):
            weight.view(len(weight), 4, -1)[:, 2] = 0
        for parameter in down.down_proj.parameters():
            parameter.zero_()
    with torch.inference_mode():
        assert_close(ablated, model(tokens), rtol=1e-5, atol=1e-5)


def test_a_model_runs_as_before_after_it_was_inspected() -> None:
    model = lively_model()
    tokens = tokens_of(0, 1, LENGTH)
    with torch.inference_mode():
        before = model(tokens)
    list(logit_lens(model, tokens))
    attribute_logits(model, tokens, tokens)
    ablate(model, tokens, [Component(0)])
    hooks = [module._forward_hooks or module._forward_pre_hooks for module in model.modules()]
    assert not any(hooks)
    with torch.inference_mode():
        assert torch.equal(model(tokens), before)


def check_salience(model: LanguageModel, tokens: Tensor) -> None:
    """The embedding of a token is scaled a little, and the log-probability compared."""
    found = gradient_salience(model, tokens)
    assert found.norms.shape == found.products.shape == (tokens.shape[1] - 1,)
    assert float(found.norms.sum()) == pytest.approx(1)
    assert not any(each.grad is not None for each in model.parameters())

    def log_probability(place: int, scale: float) -> float:
        def scaled(stream: Tensor) -> Tensor:
            changed = stream.clone()
            changed[:, place] *= scale
            return changed

        made = record(model, tokens[:, :-1], edits={Site("embedding"): scaled})
        return float(made.logits[0, -1].double().log_softmax(-1)[tokens[0, -1]])

    step = 1e-3
    for place in range(tokens.shape[1] - 1):
        slope = (log_probability(place, 1 + step) - log_probability(place, 1 - step)) / (2 * step)
        assert float(found.products[place]) == pytest.approx(slope, abs=2e-3)


@pytest.mark.parametrize("positions", ["rope", "learned", "alibi"])
def test_salience_is_the_derivative_along_the_embedding(positions: str) -> None:
    check_salience(lively_model(positional_encoding=positions), tokens_of(3, 1, 7))


def test_salience_of_a_finetuned_model_is_that_derivative_too(tmp_path: Path) -> None:
    model = stir(adapted_model(build_model_folder("qwen2", tmp_path)))
    check_salience(model, some_tokens(model, 1, 6))
