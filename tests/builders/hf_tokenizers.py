"""Small real tokenizers in the shapes that causal language models use."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from builders.corpora import STORY
from transformer_playground.data.tokenizers.huggingface import (
    TOKENIZER_FILES,
    HuggingFaceTokenizer,
)

Shape = Literal["bytelevel", "llama", "gemma", "unigram"]
SHAPES: tuple[Shape, ...] = ("bytelevel", "llama", "gemma", "unigram")
EOS, BOS, UNKNOWN = "</s>", "<s>", "<unk>"
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@functools.cache
def tokenizer_folder(shape: Shape, **settings: Any) -> Path:
    """The folder of a pretrained model, as far as its tokenizer needs it; built once a process."""
    folder = _workshop() / "-".join([shape, *(f"{key}-{value}" for key, value in settings.items())])
    build_fast_tokenizer(shape, **settings).save_pretrained(folder)
    # An architecture whose tokenizer transformers does not know better than its files.
    (folder / "config.json").write_text('{"model_type": "gpt_neox"}')
    return folder


def build_fast_tokenizer(
    shape: Shape, *, bytes_too: bool = True, eos: str | None = EOS, adds_bos: bool = True
) -> Any:
    """A tokenizer trained on a short story, as transformers' fast tokenizer.

    Args:
        shape: bytelevel as in Qwen and Llama 3; llama as in Llama 2, with a space put before each
            text; gemma as in Gemma, with runs of line breaks as added tokens; unigram with its
            special tokens among its pieces.
        bytes_too: Whether every byte has a token (not for unigram, which never has).
        eos: The end token; None = it has none.
        adds_bos: Whether each text begins with `BOS`.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [UNKNOWN, BOS, *([eos] if eos else [])]
    trainer: Any
    if shape == "unigram":
        backend = tokenizers.Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        backend.decoder = decoders.Metaspace(prepend_scheme="always")
        trainer = trainers.UnigramTrainer(
            vocab_size=200, special_tokens=special, unk_token=UNKNOWN, show_progress=False
        )
    elif shape == "bytelevel":
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if bytes_too else [],
            show_progress=False,
        )
    else:
        backend = tokenizers.Tokenizer(models.BPE(byte_fallback=bytes_too, unk_token=UNKNOWN))
        spaces = normalizers.Replace(" ", "▁")
        backend.normalizer = (
            normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if shape == "llama" else spaces
        )
        joined = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        stripped = [decoders.Strip(" ", 1, 0)] if shape == "llama" else []
        backend.decoder = decoders.Sequence([*joined, *stripped])
        trainer = trainers.BpeTrainer(
            vocab_size=400 if bytes_too else 120,
            special_tokens=[*special, *(_BYTES if bytes_too else [])],
            show_progress=False,
        )
    # With brackets in its alphabet a unigram model can spell the names of special tokens; runs of
    # spaces are tokens in real tokenizers too.
    text = STORY + "<b>" * 9 + "</b>" * 9 + "\n" + "a    b\n" * 30
    backend.train_from_iterator(text.splitlines(keepends=True), trainer)
    if shape != "bytelevel":
        backend = _bytes_are_ordinary(backend)
    if shape == "gemma":
        backend.add_tokens([tokenizers.AddedToken("\n\n", normalized=False)])
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BOS, eos_token=eos, unk_token=UNKNOWN
    )


def _bytes_are_ordinary(backend: Any) -> Any:
    """The trainer makes special tokens of the bytes; in real tokenizers they are plain pieces."""
    import json

    import tokenizers

    spec = json.loads(backend.to_str())
    spec["added_tokens"] = [
        token for token in spec["added_tokens"] if token["content"] not in _BYTES
    ]
    return tokenizers.Tokenizer.from_str(json.dumps(spec))


@functools.cache
def _workshop() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tiny-tokenizers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_TEMPLATE = """\
{%- if messages[0].role == 'assistant' %}{{ raise_exception('begin with a user') }}{% endif -%}
{%- for message in messages -%}
<|start|>{{ message.role }}
{{ message.content }}<|end|>
{% endfor -%}
{%- if add_generation_prompt %}<|start|>assistant
{% endif -%}
"""


def chat_tokenizer(folder: Path) -> HuggingFaceTokenizer:
    """A tokenizer with a chat template, which refuses chats that begin with the assistant.

    Args:
        folder: Where its files are written.
    """
    fast = build_fast_tokenizer("bytelevel")
    fast.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|end|>"]})
    fast.chat_template = _TEMPLATE
    fast.save_pretrained(folder)
    files = {
        name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).exists()
    }
    return HuggingFaceTokenizer(files, eos_id=fast.eos_token_id)
