"""`[hf_model]` and `[peft]`: a pretrained model, and what is trained beside its frozen weights."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Strict, model_validator

from transformer_playground.config.base import Strings, Table, conflict, setting
from transformer_playground.config.train import DType

AUTO_TARGETS = ("auto",)
"""What `target_modules` is when the architecture decides."""


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


# One name needs no brackets, so that "auto" can be written as the word it is.
_Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), Strict(False)]


def is_model_path(model_name: str) -> bool:
    """Whether a model is named by its folder and not by its name on the hub."""
    return model_name.startswith((".", "~")) or Path(model_name).is_absolute()


def absolute_model_name(model_name: str) -> str:
    """A folder's path made absolute, seen from the current folder; a hub's name as it is."""
    if not is_model_path(model_name):
        return model_name
    return str(Path(model_name).expanduser().absolute())


class HfModelConfig(Table):
    """`[hf_model]`: the pretrained causal language model that is finetuned (kind = lora)."""

    model_name: str = setting(
        "", "Name on the hub, or the path of a folder if it begins with '.', '/' or '~'."
    )
    revision: str | None = setting(
        None, "Branch, tag or commit on the hub: omitted = the newest.", min_length=1
    )
    gguf_file: str | None = setting(
        None,
        "GGUF file of the model to read the weights from, instead of safetensors.",
        min_length=1,
    )
    dtype: DType = setting(
        "auto", "Number format of the frozen weights; adapters are always float32."
    )
    gradient_checkpointing: bool = setting(
        False, "Compute activations again in the backward pass: less memory, slower steps."
    )
    block_size: int = setting(256, "Longest context in tokens.", ge=1, le=16_777_216)
    packing: bool = setting(
        True,
        "Fill each sequence with whole documents that do not see each other; false = one document "
        "a sequence, padded.",
    )

    @model_validator(mode="after")
    def _check_revision(self) -> Self:
        if self.revision is not None and is_model_path(self.model_name):
            raise conflict(
                f"revision = '{self.revision}' picks a version on the hub, but model_name is a "
                "folder; omit it",
                "hf_model.revision",
                "hf_model.model_name",
            )
        return self


class PeftConfig(Table):
    """`[peft]`: the low-rank adapters (LoRA, Hu et al. 2021) that are trained."""

    r: int = setting(8, "Rank of each adapter.", ge=1, le=65_536)
    lora_alpha: int = setting(16, "Adapters are scaled by lora_alpha / r.", ge=1)
    lora_dropout: float = setting(0.05, "Dropout probability of what an adapter reads.", ge=0, lt=1)
    bias: Literal["none", "all", "lora_only"] = setting(
        "none", "Which biases of the pretrained model are trained too."
    )
    target_modules: _Names = setting(
        AUTO_TARGETS,
        'Linear layers with an adapter, by the ends of their names; "auto" = the attention '
        "projections that are usual for the architecture.",
    )
    extend_mlp_targets: bool = setting(False, "Give the linear layers of the MLPs an adapter too.")
    modules_to_save: Strings = setting(
        (), "Modules that are trained as a whole, by the ends of their names."
    )

    @property
    def auto_targets(self) -> bool:
        """Whether the architecture decides which layers get an adapter."""
        return self.target_modules == AUTO_TARGETS

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        if not self.target_modules or not all(self.target_modules):
            raise conflict(
                'target_modules names nothing to adapt; write "auto" or names such as '
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
