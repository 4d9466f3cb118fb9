"""Export requests, and the table of targets; nothing here loads torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from transformer_playground.errors import UsageError

TargetName = Literal["hf", "gguf", "safetensors", "onnx", "ollama"]
TARGET_NAMES: tuple[TargetName, ...] = get_args(TargetName)


@dataclass(frozen=True)
class TargetInfo:
    """What a target is and which options it has.

    Attributes:
        name: Value of `--to`.
        summary: One line for help texts and forms.
        dtypes: Dtypes of the weights; the first is the default.
        quantizations: Values of `--quantize`; empty if it has none.
        custom_code: Whether `--custom-code` applies.
    """

    name: TargetName
    summary: str
    dtypes: tuple[str, ...]
    quantizations: tuple[str, ...] = ()
    custom_code: bool = False


K_QUANTS = ("q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k")
"""Quantisations that llama.cpp's own program makes, from large to small."""

QUANTIZATIONS = ("q8_0", *K_QUANTS)

FLOAT_DTYPES = ("float32", "bfloat16", "float16")

TARGETS: dict[TargetName, TargetInfo] = {
    info.name: info
    for info in (
        TargetInfo("hf", "folder for transformers", FLOAT_DTYPES, custom_code=True),
        TargetInfo("gguf", "file for llama.cpp", FLOAT_DTYPES, QUANTIZATIONS),
        TargetInfo("ollama", "GGUF and Modelfile", FLOAT_DTYPES, QUANTIZATIONS),
        TargetInfo("safetensors", "our own weights and settings as plain files", FLOAT_DTYPES),
        TargetInfo("onnx", "graph for onnxruntime", ("float32",)),
    )
}
"""The targets by name."""


@dataclass(frozen=True)
class ExportRequest:
    """Options of an export.

    Attributes:
        target: What to write.
        checkpoint: auto (best, else last), best, last or a file name.
        dtype: Dtype of the weights; None = the target's default.
        quantize: Quantisation of the weights; None = none.
        out: The new folder; None = in `export_dir`.
        export_dir: Parent of a folder named like the model; None = the run's exports folder.
        model_name: Name of the model in the written files; None = the run id.
        template: Prompt template, for targets that have one.
        force: Replace an earlier export in the folder.
        replace_own: Replace an earlier export of the same run to the same target.
        verify: Open the export again and compare it with the run.
        custom_code: Ship a modeling file for settings that no class of the target has.
        base: Base model (name or folder) of a finetuned run, if it has moved.
        dataset: Folder of the run's dataset, if it has moved.
        experiments_dir: Where the dataset of the run's experiment is looked for.
        licence: Licence of the model, for its README; empty = not stated.
    """

    target: TargetName
    checkpoint: str = "auto"
    dtype: str | None = None
    quantize: str | None = None
    out: Path | None = None
    export_dir: Path | None = None
    model_name: str | None = None
    template: str | None = None
    force: bool = False
    replace_own: bool = False
    verify: bool = True
    custom_code: bool = False
    base: str | None = None
    dataset: Path | None = None
    experiments_dir: Path | None = None
    licence: str = ""

    @property
    def info(self) -> TargetInfo:
        """The target's entry in the table."""
        return TARGETS[self.target]

    @property
    def weights(self) -> str:
        """Quantisation, or else dtype, of the written weights."""
        return self.quantize or self.dtype or self.info.dtypes[0]

    def check(self) -> None:
        """Check that the target has these options.

        Raises:
            UsageError: An option does not apply to the target, or has an unknown value.
        """
        if self.target not in TARGETS:
            raise UsageError(
                f"'{self.target}' is not an export target.", f"Use {', '.join(TARGETS)}."
            )
        info = self.info
        _require("--dtype", self.dtype, info.dtypes, info.name)
        _require("--quantize", self.quantize, info.quantizations, info.name)
        if self.dtype is not None and self.quantize is not None:
            raise UsageError("--dtype and --quantize are mutually exclusive.", "Give one of them.")
        if self.template is not None and info.name != "ollama":
            raise UsageError(
                f"--template does not apply to --to {info.name}.", "It applies to --to ollama."
            )
        if self.custom_code and not info.custom_code:
            names = [name for name, other in TARGETS.items() if other.custom_code]
            raise UsageError(
                f"--custom-code does not apply to --to {info.name}.",
                f"It applies to --to {', '.join(names)}.",
            )


def _require(option: str, value: str | None, known: tuple[str, ...], target: str) -> None:
    if value is None or value in known:
        return
    if not known:
        raise UsageError(f"{option} does not apply to --to {target}.", "Leave it out.")
    raise UsageError(
        f"{option} {value} is not known for --to {target}.", f"Use {', '.join(known)}."
    )
