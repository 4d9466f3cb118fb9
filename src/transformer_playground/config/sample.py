"""`[sample.*]`: sampling from a trained model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from transformer_playground.config.base import Table, check_float16, setting
from transformer_playground.config.train import Device, DType

Quantization = Literal["none", "int8"]

PROMPT_FILE = "FILE:"
"""Prefix of a `start` that is the path of a prompt file."""
PROMPT_SETTING = "sample.sample.start"
DEFAULT_PROMPT = "\n"


class SampleRuntimeConfig(Table):
    """`[sample.runtime]`: checkpoint, device, precision and seed."""

    checkpoint: Literal["auto", "best", "last"] = setting(
        "auto", "auto = best_val.pt, then last.pt, then a nanoGPT ckpt.pt."
    )
    device: Device = setting("auto", "auto = cuda, then mps, then cpu.")
    dtype: DType = setting("float32", "Compute dtype of sampling.")
    quantization: Quantization = setting(
        "none", "Weights of linear layers: none = in dtype; int8 = 8-bit, faster and less exact."
    )
    seed: int = setting(1337, "Seed of the sampler.", ge=0)

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        keys = "sample.runtime.dtype", "sample.runtime.device"
        check_float16("dtype", self.dtype, self.device, *keys)
        return self


class DecodingConfig(Table):
    """`[sample.sample]`: prompt and decoding settings."""

    start: str = setting(DEFAULT_PROMPT, "Prompt text; FILE:path reads a file.")
    unconditional: bool = setting(False, "Sample without a prompt, from the start-of-text token.")
    num_samples: int = setting(1, "Number of samples, drawn as one batch.", ge=1, le=10_000)
    max_new_tokens: int = setting(200, "Maximum new tokens per sample.", ge=1)
    temperature: float = setting(0.8, "Sampling temperature; 0 = greedy.", ge=0)
    top_k: int = setting(0, "Top-k sampling: keep the k most likely tokens; 0 = all.", ge=0)
    top_p: float = setting(
        1.0, "Top-p (nucleus) sampling: keep tokens up to this probability; 1 = all.", gt=0, le=1
    )


class SampleConfig(Table):
    """`[sample]`: sampling defaults."""

    runtime: SampleRuntimeConfig = Field(default_factory=SampleRuntimeConfig)
    sample: DecodingConfig = Field(default_factory=DecodingConfig)
