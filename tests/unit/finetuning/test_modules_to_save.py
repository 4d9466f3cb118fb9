from pathlib import Path

import pytest
import torch
from torch.nn import functional

from builders.base_models import build_model_folder
from builders.lora_models import adapted_model, some_tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_modules_are_trained_in_float32_whatever_the_base_is(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False)
    model = adapted_model(
        folder,
        dtype=dtype,
        added=2,
        target_modules=["q_proj"],
        modules_to_save=["lm_head", "embed_tokens", "layers.0.mlp", "norm"],
    ).train()
    tokens = some_tokens(model)
    before = {name: parameter.detach().clone() for name, parameter in model.trained().items()}
    logits = model(tokens)
    assert logits.dtype == dtype
    functional.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten()).backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(model.trained().values(), lr=1.0).step()
    for name, parameter in model.trained().items():
        assert parameter.dtype == torch.float32
        # An adapter's first half waits for the second, which is zero.
        if "lora_A" not in name:
            assert not torch.equal(parameter, before[name]), name


def test_new_rows_of_a_table_trained_as_a_whole_begin_as_the_mean(tmp_path: Path) -> None:
    folder = build_model_folder("qwen2", tmp_path, tie=False, extra_rows=4)
    model = adapted_model(folder, added=2, modules_to_save=["embed_tokens"])
    table = next(
        parameter
        for name, parameter in model.trained().items()
        if name.endswith("embed_tokens.modules_to_save.default.weight")
    ).detach()
    old = [row for row in range(324) if row not in (320, 321)]
    expected = table[old].mean(dim=0).expand(2, -1)
    torch.testing.assert_close(table[320:322], expected)
    assert sum("trainable_tokens_delta" in name for name in model.trained()) == 1
