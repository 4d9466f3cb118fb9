"""The target `hf`: a folder that transformers loads without our code."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer_playground.config.model import ModelConfig
from transformer_playground.data.tokenizers.huggingface import HuggingFaceTokenizer
from transformer_playground.errors import ExportError
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.hf.custom import (
    copy_modeling_file,
    custom_configuration,
    custom_tensors,
)
from transformer_playground.export.hf.mapping import HfClass, choose_class
from transformer_playground.export.hf.reader import TransformersReader
from transformer_playground.export.hf.tokenizer import copy_tokenizer, write_tokenizer
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.target import Written
from transformer_playground.files import replace_json
from transformer_playground.hub import silence_libraries

WEIGHTS_FILE = "model.safetensors"
# For logits up to 1; the order of sums differs.
_TOLERANCE = 1e-5


class HuggingFaceTarget:
    """A class of transformers, the base model's own class, or with `--custom-code` our own file."""

    def check(self, subject: Subject, request: ExportRequest) -> None:
        """See `Target.check`."""
        if subject.config is not None and not request.custom_code:
            choose_class(subject.config)
        if subject.config is None and request.custom_code:
            raise ExportError(
                "A finetuned model has the class of its base model in transformers.",
                "Leave out --custom-code.",
            )

    def write(self, source: Exportable, folder: Path, request: ExportRequest) -> None:
        """See `Target.write`."""
        dtype: torch.dtype = getattr(torch, request.weights)
        source.round_weights(dtype)
        subject = source.subject
        if subject.config is None:
            _write_finetuned(source, folder, dtype)
            return
        if request.custom_code:
            copy_modeling_file(folder)
            document = custom_configuration(subject.config, subject)
            write_weights(custom_tensors(source.gpt), folder, dtype)
        else:
            chosen = choose_class(subject.config)
            config = configuration(chosen, subject.config, subject)
            document = config.to_diff_dict() | {"architectures": [chosen.name]}
            tensors = complete(chosen, config, chosen.tensors(source.gpt))
            write_weights(tensors, folder, dtype)
        replace_json(folder / "config.json", document | {"dtype": request.weights})
        write_generation_config(subject, folder)
        write_tokenizer(subject.tokenizer, folder, context=subject.block_size)

    def verify(self, written: Written) -> Proof:
        """See `Target.verify`."""
        tokenizer = written.source.subject.tokenizer
        symbols = tokenizer.symbols if isinstance(tokenizer, HuggingFaceTokenizer) else ()
        reader = TransformersReader(
            written.folder, remote_code=written.request.custom_code, symbols=symbols
        )
        return written.prove(reader, tolerance=_TOLERANCE)

    def usage(self, subject: Subject, request: ExportRequest, folder: Path) -> str:
        """See `Target.usage`."""
        trust = ", trust_remote_code=True" if request.custom_code else ""
        lines = [
            "```python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f'tokenizer = AutoTokenizer.from_pretrained("."{trust})',
            f'model = AutoModelForCausalLM.from_pretrained("."{trust})',
            'print(tokenizer.decode(model.generate(**tokenizer("The", return_tensors="pt"))[0]))',
            "```",
            "",
            "Names of special tokens in a text are read as special tokens; with "
            "`split_special_tokens=True` they are text, as in training.",
        ]
        return "\n".join(lines)


def configuration(chosen: HfClass, config: ModelConfig, subject: Subject) -> Any:
    """The configuration of a class of transformers for a model of ours."""
    import transformers

    kind: Any = getattr(transformers, chosen.config_class)
    return kind(
        **chosen.settings(config),
        vocab_size=subject.vocab_size,
        tie_word_embeddings=config.tie_embeddings,
        bos_token_id=subject.tokenizer.bos_id,
        eos_token_id=subject.tokenizer.eos_id,
        pad_token_id=subject.tokenizer.eos_id,
    )


def complete(chosen: HfClass, config: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the biases (zeros) and gains of heads (ones) that the class has and we do not.

    Raises:
        ExportError: The installed transformers has other tensors than expected.
    """
    import transformers

    with torch.device("meta"), silence_libraries():
        kind: Any = getattr(transformers, chosen.name)
        model = kind(config)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        tied = model.get_output_embeddings()
        expected = {
            name: shape
            for name, shape in expected.items()
            if model.get_parameter(name) is not tied.weight or name in tensors
        }
    for name, shape in expected.items():
        if name in tensors:
            continue
        if name.endswith(".bias"):
            tensors[name] = torch.zeros(shape)
        elif name.endswith(("q_norm.weight", "k_norm.weight")):
            tensors[name] = torch.ones(shape)
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        other = sorted(found.items() ^ expected.items())[0][0]
        raise ExportError(
            f"{chosen.name} of the installed transformers lacks or adds the tensor {other}.",
            "Install the version that this program requires.",
        )
    return tensors


def write_weights(tensors: dict[str, Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Write `model.safetensors`."""
    from safetensors.torch import save_file

    cast = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    # Equal tensors may share memory, which the format has no way to say.
    copied = {name: tensor.clone() for name, tensor in cast.items()}
    path = folder / WEIGHTS_FILE
    save_file(copied, path, metadata={"format": "pt"})


def write_generation_config(subject: Subject, folder: Path) -> None:
    """Write the sampling defaults of the run as `generation_config.json`."""
    decoding, tokenizer = subject.decoding, subject.tokenizer
    settings: dict[str, Any] = {
        "do_sample": decoding.temperature > 0,
        "max_new_tokens": decoding.max_new_tokens,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.eos_id,
    }
    if decoding.temperature > 0:
        settings |= {
            "temperature": decoding.temperature,
            "top_k": decoding.top_k,
            "top_p": decoding.top_p,
        }
    if subject.padding:
        settings["suppress_tokens"] = list(subject.padding)
    stated = {name: value for name, value in settings.items() if value is not None}
    replace_json(folder / "generation_config.json", stated)


def _write_finetuned(source: Exportable, folder: Path, dtype: torch.dtype) -> None:
    model: Any = source.model
    with silence_libraries():
        model.to(dtype).save_pretrained(folder)
        model.float()
    write_generation_config(source.subject, folder)
    copy_tokenizer(source.subject.run, folder)
