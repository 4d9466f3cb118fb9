"""`[hf_model]` and `[peft]`: finetuning a Hugging Face base model with LoRA adapters."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Strict, model_validator

from transformer_playground.config.base import Strings, Table, conflict, setting
from transformer_playground.config.train import DType

AUTO_TARGETS = ("auto",)
"""`target_modules` that depend on the architecture."""


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


# A single name needs no brackets.
_Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), Strict(False)]


def is_model_path(model_name: str) -> bool:
    """Whether a model name is the path of a folder, not a name on the hub."""
    return model_name.startswith((".", "~")) or Path(model_name).is_absolute()


def absolute_model_name(model_name: str) -> str:
    """A folder path made absolute from the current directory; hub names are unchanged."""
    is_path = is_model_path(model_name)
    return str(Path(model_name).expanduser().absolute()) if is_path else model_name


class HfModelConfig(Table):
    """`[hf_model]`: the base model, a causal language model (kind = lora)."""

    model_name: str = setting(
        "", "Name on the hub, or the path of a folder if it begins with '.', '/' or '~'."
    )
    revision: str | None = setting(
        None, "Branch, tag or commit on the hub: omitted = the latest.", min_length=1
    )
    gguf_file: str | None = setting(
        None, "GGUF file to load the weights from instead of safetensors.", min_length=1
    )
    dtype: DType = setting("auto", "dtype of the frozen weights; adapters are always float32.")
    gradient_checkpointing: bool = setting(
        False, "Recompute activations in the backward pass: less memory, slower steps."
    )
    block_size: int = setting(256, "Maximum context length in tokens.", ge=1, le=16_777_216)
    packing: bool = setting(
        True,
        "Pack several documents into each sequence, without attention between them; false = one "
        "padded document per sequence.",
    )

    def source(self) -> dict[str, str | None]:
        """Where the model is loaded from: its name, revision and GGUF file."""
        return self.model_dump(include={"model_name", "revision", "gguf_file"})

    @model_validator(mode="after")
    def _check_revision(self) -> Self:
        if self.revision is not None and is_model_path(self.model_name):
            raise conflict(
                f"revision = '{self.revision}' needs a model on the hub, but model_name is a "
                "folder; omit it",
                "hf_model.revision",
                "hf_model.model_name",
            )
        return self


class PeftConfig(Table):
    """`[peft]`: the low-rank adapters (LoRA, Hu et al. 2021) that are trained."""

    r: int = setting(8, "Rank of each adapter.", ge=1, le=65_536)
    lora_alpha: int = setting(16, "Adapters are scaled by lora_alpha / r.", ge=1)
    lora_dropout: float = setting(0.05, "Dropout probability of the adapter inputs.", ge=0, lt=1)
    bias: Literal["none", "all", "lora_only"] = setting(
        "none", "Biases of the base model to train."
    )
    target_modules: _Names = setting(
        AUTO_TARGETS,
        'Linear layers that get an adapter, by name suffix; "auto" = the usual attention '
        "projections of the architecture.",
    )
    extend_mlp_targets: bool = setting(False, "Also add adapters to the linear layers of the MLPs.")
    modules_to_save: Strings = setting((), "Modules to train in full, by name suffix.")

    @property
    def auto_targets(self) -> bool:
        """Whether the architecture determines the layers that get an adapter."""
        return self.target_modules == AUTO_TARGETS

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        if not self.target_modules or not all(self.target_modules):
            raise conflict(
                'target_modules has no or an empty name; write "auto" or names such as '
                '["q_proj", "v_proj"]',
                "peft.target_modules",
            )
        if "auto" in self.target_modules and not self.auto_targets:
            raise conflict(
                'target_modules mixes "auto" with names; write one or the other',
                "peft.target_modules",
            )
        if not all(self.modules_to_save):
            raise conflict("modules_to_save has an empty name", "peft.modules_to_save")
        return self
