import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from builders.base_models import ARCHITECTURES, Architecture, build_model_folder
from builders.lora_models import END, adapted_model, some_tokens, stir
from transformer_playground.finetuning.model import AdapterModel

# Gemma's sliding layers see 8 tokens; documents longer and shorter than that.
_DOCUMENTS = [3, 11, 1, 1, 9]


def _packed(model: AdapterModel, lengths: list[int], seed: int = 0) -> Tensor:
    """One row of documents of these lengths, each with its end token."""
    tokens = some_tokens(model, batch=1, length=sum(lengths), seed=seed)
    tokens[0, torch.tensor(lengths).cumsum(0) - 1] = END
    return tokens


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> AdapterModel:
    folder = build_model_folder(request.param, tmp_path)
    return stir(adapted_model(folder, added=2))


@torch.inference_mode()
def test_packed_documents_have_the_logits_that_each_has_alone(model: AdapterModel) -> None:
    tokens = _packed(model, _DOCUMENTS)
    alone = torch.cat([model(part) for part in torch.split(tokens, _DOCUMENTS, dim=1)], dim=1)
    torch.testing.assert_close(model(tokens), alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_rows_of_one_batch_may_be_packed_differently(model: AdapterModel) -> None:
    rows = [_packed(model, _DOCUMENTS), _packed(model, [20, 5], seed=1)]
    both = model(torch.cat(rows))
    torch.testing.assert_close(both, torch.cat([model(row) for row in rows]), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_without_packing_a_row_is_one_document_whatever_it_holds(tmp_path: Path) -> None:
    folder = build_model_folder("gemma3", tmp_path)
    packing = stir(adapted_model(folder))
    whole = stir(adapted_model(folder, hf={"packing": False}))
    tokens = _packed(packing, _DOCUMENTS)
    expected = packing.base(input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(whole(tokens), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(packing(tokens), expected, atol=1e-2)


def test_packed_documents_get_the_gradients_that_each_gets_alone(tmp_path: Path) -> None:
    model = stir(adapted_model(build_model_folder("gemma3", tmp_path), added=2))
    tokens = _packed(model, _DOCUMENTS)
    model(tokens).square().sum().backward()
    packed = {name: parameter.grad for name, parameter in model.trained().items()}
    model.zero_grad()
    for part in torch.split(tokens, _DOCUMENTS, dim=1):
        model(part).square().sum().backward()
    for name, parameter in model.trained().items():
        torch.testing.assert_close(packed[name], parameter.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sizes", [[12], [5, 7], [10, 1, 1], [1] * 12])
@torch.inference_mode()
def test_next_logits_with_a_cache_are_the_last_without(
    model: AdapterModel, sizes: list[int]
) -> None:
    tokens = some_tokens(model)
    cache = model.new_cache(2, 12)
    for piece in torch.split(tokens, sizes, dim=1):
        logits = model.next_logits(piece, cache)
    assert cache.length == 12
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model(tokens)[:, -1], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_selected_cache_goes_on_with_those_rows_and_leaves_the_first_alone(
    model: AdapterModel,
) -> None:
    tokens = some_tokens(model)
    cache = model.new_cache(2, 12)
    model.next_logits(tokens[:, :10], cache)
    rows = torch.tensor([1, 0, 1])
    chosen = cache.select(rows)
    logits = model.next_logits(tokens[rows, 10:], chosen)
    expected = model(tokens)[:, -1]
    torch.testing.assert_close(logits, expected[rows], rtol=1e-4, atol=1e-5)
    assert (cache.length, cache.batch_size, chosen.batch_size) == (10, 2, 3)
    again = model.next_logits(tokens[:, 10:], cache)
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_reset_cache_starts_again_at_position_zero(model: AdapterModel) -> None:
    tokens = some_tokens(model)
    cache = model.new_cache(2, 12)
    model.next_logits(tokens, cache)
    cache.reset()
    assert cache.length == 0
    first = model.next_logits(tokens[:, :4], cache)
    torch.testing.assert_close(first, model(tokens[:, :4])[:, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("capacity", [4, 40])
@torch.inference_mode()
def test_the_size_of_a_cache_is_foretold(model: AdapterModel, capacity: int) -> None:
    cache = model.new_cache(1, capacity)
    tokens = some_tokens(model, batch=1, length=capacity)
    # Token by token: what is read at once is only cut to a sliding window by the next token.
    for token in torch.split(tokens, 1, dim=1):
        model.next_logits(token, cache)
    taken = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.states.layers)
    assert model.cache_bytes(capacity) == taken


def test_foretelling_it_leaves_the_mode_of_training(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path)).train()
    model.cache_bytes(8)
    assert model.training


def test_too_many_tokens_are_refused(tmp_path: Path) -> None:
    model = adapted_model(build_model_folder("llama", tmp_path), block_size=8)
    with pytest.raises(ValueError, match="9 tokens do not fit into a context of 8"):
        model(torch.zeros(1, 9, dtype=torch.int64))
    cache = model.new_cache(1, 4)
    model.next_logits(torch.zeros(1, 4, dtype=torch.int64), cache)
    with pytest.raises(ValueError, match="5 tokens do not fit"):
        model.next_logits(torch.zeros(1, 1, dtype=torch.int64), cache)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_it_says_of_itself_is_plain_and_true(
    architecture: Architecture, tmp_path: Path
) -> None:
    folder = build_model_folder(architecture, tmp_path, extra_rows=5)
    model = adapted_model(folder, added=2, dtype=torch.bfloat16)
    assert model.vocab_size == 325
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.bfloat16
    assert model(torch.zeros(1, 1, dtype=torch.int64)).shape == (1, 1, 325)
    assert model.hidden_matrices() == set()
    args = json.loads(json.dumps(model.args()))
    assert args == model.args()
    assert args["new_tokens"] == [320, 321]
    assert args["peft"]["target_modules"] == ["auto"]
    assert args["targets"] == ["q_proj", "v_proj", "o_proj"]
