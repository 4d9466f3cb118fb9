"""Options of GGUF exports are the same on the command line and in a configuration."""

from typing import get_args

import pytest

from transformer_playground.config.export import ExportConfig, Quantization
from transformer_playground.errors import UsageError
from transformer_playground.export.request import QUANTIZATIONS, TARGETS, ExportRequest


def test_a_configuration_knows_the_quantisations_of_the_command_line() -> None:
    assert get_args(Quantization) == QUANTIZATIONS
    assert set(TARGETS) <= set(ExportConfig.model_fields)


@pytest.mark.parametrize("target", ["gguf", "ollama"])
def test_a_quantisation_and_a_dtype_exclude_each_other(target: str) -> None:
    request = ExportRequest(target, dtype="float16", quantize="q8_0")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="mutually exclusive"):
        request.check()


def test_a_template_applies_to_ollama_only() -> None:
    ExportRequest("ollama", template="{{ .Prompt }}").check()
    with pytest.raises(UsageError, match="--template does not apply to --to gguf"):
        ExportRequest("gguf", template="{{ .Prompt }}").check()
