from pathlib import Path
from typing import Any

import pytest
import torch

from builders.adapted import CPU
from builders.pretrained import ARCHITECTURES, Architecture, build_model_folder
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.errors import ConfigError, ModelError
from transformer_playground.pretrained.loading import load_base
from transformer_playground.pretrained.probing import check_attention


def _base(folder: Path, architecture: Architecture = "llama") -> tuple[Any, HfModelConfig]:
    hf = HfModelConfig(model_name=str(build_model_folder(architecture, folder)))
    return load_base(hf, device=CPU, dtype=torch.float32), hf


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_causal_models_that_heed_positions_pass(architecture: Architecture, tmp_path: Path) -> None:
    check_attention(*_base(tmp_path, architecture))


def test_a_model_that_sees_later_tokens_is_no_causal_one(tmp_path: Path) -> None:
    base, hf = _base(tmp_path)
    base.config.is_causal = False
    with pytest.raises(ModelError, match="see later ones"):
        check_attention(base, hf)


def test_a_model_that_ignores_positions_is_refused_for_packing_alone(tmp_path: Path) -> None:
    base, hf = _base(tmp_path)
    heed = base.forward
    base.forward = lambda **inputs: heed(**(inputs | {"position_ids": None}))
    with pytest.raises(ConfigError, match="cannot keep packed documents apart") as caught:
        check_attention(base, hf)
    assert "hf_model.packing = false" in caught.value.hint
    check_attention(base, hf.model_copy(update={"packing": False}))


def test_a_model_that_takes_no_positions_is_refused_for_packing_alone(tmp_path: Path) -> None:
    base, hf = _base(tmp_path)
    heed = base.forward
    base.forward = lambda *, input_ids, use_cache: heed(input_ids=input_ids, use_cache=use_cache)
    with pytest.raises(ConfigError, match="cannot keep packed documents apart"):
        check_attention(base, hf)
    check_attention(base, hf.model_copy(update={"packing": False}))
