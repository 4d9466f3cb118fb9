"""`[sample.*]`: how text is drawn from a trained model."""

from typing import Literal, Self

from pydantic import Field, model_validator

from transformer_playground.config.base import Table, conflict, setting
from transformer_playground.config.train import Device, DType

PROMPT_FILE = "FILE:"
"""What a `start` begins with that is the path of a file with the prompt."""


class SampleRuntimeConfig(Table):
    """`[sample.runtime]`: which weights, where."""

    checkpoint: Literal["auto", "best", "last"] = setting(
        "auto", "auto = best_val.pt, then last.pt, then a nanoGPT ckpt.pt."
    )
    device: Device = setting("auto", "auto = cuda, then mps, then cpu.")
    dtype: DType = setting("float32", "Arithmetic of sampling.")
    seed: int = setting(1337, "Seed of the sampler.", ge=0)

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        if self.dtype == "float16" and self.device in ("cpu", "mps"):
            raise conflict(
                f"dtype = 'float16' needs a CUDA device, not {self.device}; "
                "use 'auto', 'bfloat16' or 'float32'",
                "sample.runtime.dtype",
                "sample.runtime.device",
            )
        return self


class DecodingConfig(Table):
    """`[sample.sample]`: the prompt and the decoding knobs."""

    start: str = setting("\n", "Prompt; FILE:path reads it from a file.")
    unconditional: bool = setting(
        False, "Ignore `start` and begin at the tokenizer's start-of-text token."
    )
    num_samples: int = setting(1, "How many texts to draw, as one batch.", ge=1, le=10_000)
    max_new_tokens: int = setting(200, "Tokens to draw after the prompt.", ge=1)
    temperature: float = setting(0.8, "Softmax temperature; 0 = always the likeliest.", ge=0)
    top_k: int = setting(0, "Keep only the k likeliest tokens; 0 = all.", ge=0)
    top_p: float = setting(
        1.0, "Keep the smallest set of tokens with this probability; 1 = all.", gt=0, le=1
    )


class SampleConfig(Table):
    """`[sample]`: sampling defaults of the experiment and its runs."""

    runtime: SampleRuntimeConfig = Field(default_factory=SampleRuntimeConfig)
    sample: DecodingConfig = Field(default_factory=DecodingConfig)
