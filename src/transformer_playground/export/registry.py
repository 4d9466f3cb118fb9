"""The export targets by name."""

from transformer_playground.export.request import TargetName
from transformer_playground.export.target import Target


def load_target(name: TargetName) -> Target:
    """The target of a name; its libraries are imported when they are needed."""
    match name:
        case "hf":
            from transformer_playground.export.hf.target import HuggingFaceTarget

            return HuggingFaceTarget()
        case "safetensors":
            from transformer_playground.export.plain import PlainTarget

            return PlainTarget()
        case "onnx":
            from transformer_playground.export.onnx import OnnxTarget

            return OnnxTarget()
        case "gguf":
            from transformer_playground.export.gguf.target import GgufTarget

            return GgufTarget()
        case "ollama":
            from transformer_playground.export.ollama.target import OllamaTarget

            return OllamaTarget()
    raise AssertionError(name)
