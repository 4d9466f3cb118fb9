"""`[export.*]`: exports that are made when training ends."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from transformer_playground.config.base import Folder, Table, conflict, setting

WeightsDtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal[
    "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k"
]
"""From large to small; all but the first are made by llama.cpp's own program."""


class TargetConfig(Table):
    """What all `[export.<target>]` have."""

    enabled: bool = setting(False, "Export when training ends; also: tp export RUN --to TARGET.")
    export_dir: Folder | None = setting(
        None, "Folder that gets a folder named model_name; omitted = the run's exports folder."
    )
    model_name: str | None = setting(
        None,
        "Name of the model; omitted = the run ID.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    )


class HfExportConfig(TargetConfig):
    """`[export.hf]`: a folder for transformers."""

    dtype: WeightsDtype = setting("float32", "Dtype of the weights.")
    custom_code: bool = setting(
        False, "Ship a modeling file of our own, for settings that no class of transformers has."
    )


class PlainExportConfig(TargetConfig):
    """`[export.safetensors]`: our own weights and settings as plain files."""

    dtype: WeightsDtype = setting("float32", "Dtype of the weights.")


class OnnxExportConfig(TargetConfig):
    """`[export.onnx]`: a graph for onnxruntime."""


class GgufExportConfig(TargetConfig):
    """`[export.gguf]`: a file for llama.cpp."""

    dtype: WeightsDtype = setting("float32", "Dtype of the weights, unless quant is set.")
    quant: Quantization | None = setting(
        None, "Quantisation; all but q8_0 need llama.cpp's own program. Omitted = dtype."
    )


class OllamaExportConfig(GgufExportConfig):
    """`[export.ollama]`: a GGUF file with a Modelfile for Ollama."""

    template: str = setting(
        "", "Template of a prompt, in Go's syntax; empty = the prompt as it is.", max_length=10_000
    )


class ExportConfig(Table):
    """`[export]`: the licence, and a table for each target."""

    license: str = setting("", "Licence of the model for its README, such as 'mit'; empty = none.")
    hf: HfExportConfig = Field(default_factory=HfExportConfig)
    gguf: GgufExportConfig = Field(default_factory=GgufExportConfig)
    ollama: OllamaExportConfig = Field(default_factory=OllamaExportConfig)
    safetensors: PlainExportConfig = Field(default_factory=PlainExportConfig)
    onnx: OnnxExportConfig = Field(default_factory=OnnxExportConfig)

    @model_validator(mode="after")
    def _check_folders(self) -> Self:
        known: dict[tuple[Path, str], str] = {}
        for name in type(self).model_fields:
            target = getattr(self, name)
            if not isinstance(target, TargetConfig) or not target.enabled:
                continue
            if target.export_dir is None or target.model_name is None:
                continue
            place = target.export_dir, target.model_name
            if place in known:
                raise conflict(
                    f"export.{known[place]} and export.{name} would write the same folder, "
                    f"{target.model_name} in {target.export_dir}",
                    f"export.{known[place]}.model_name",
                    f"export.{name}.model_name",
                )
            known[place] = name
        return self
