"""Tiny real pretrained models on disk, as transformers writes them, each built once a process."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from transformer_playground.hub import silence_libraries

Architecture = Literal["qwen2", "gemma3", "llama"]
ARCHITECTURES: tuple[Architecture, ...] = ("qwen2", "gemma3", "llama")

EOS = "<|endoftext|>"
BOS = "<|begin|>"
CONTEXT = 128

_TEXT = (
    "The miller's cat sat by the wheel and watched the water go round. "
    "Jeden Abend drehte sich das Rad langsamer, und jeden Abend wurde die Katze runder. "
    "“One of us,” said the cat, “will have to stop.” Sprecher: Müller. Partei: Grüne. Jahr: 1998. "
)
_VOCABULARY = 320


def build_model_folder(
    architecture: Architecture,
    folder: Path,
    *,
    tie: bool | None = None,
    bos: bool = False,
    eos: bool = True,
    extra_rows: int = 0,
    seed: int = 0,
) -> Path:
    """Write a model with random weights and the tokenizer it was made for.

    Two layers, 32 channels, a context of `CONTEXT` tokens, weights in float32 safetensors. Gemma's
    first layer sees 8 tokens, its second all of them.

    Args:
        architecture: Which of transformers' architectures.
        folder: Where the model's folder is put, as "tiny-<architecture>".
        tie: Whether the head is the embedding table; None = as the architecture's default.
        bos: Whether the tokenizer begins each text with `BOS`.
        eos: Whether the tokenizer has an end token, `EOS`.
        extra_rows: Rows of the embedding table beyond the tokenizer's vocabulary.
        seed: Of the weights; another one is another base model of the same shape.

    Returns:
        The folder: config.json, model.safetensors, tokenizer.json and what goes with them.
    """
    target = folder / f"tiny-{architecture}"
    shutil.copytree(_built(architecture, tie, bos, eos, extra_rows, seed), target)
    return target


@functools.cache
def _built(
    architecture: Architecture, tie: bool | None, bos: bool, eos: bool, extra_rows: int, seed: int
) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    folder = _workshop() / f"{architecture}-{tie}-{bos}-{eos}-{extra_rows}-{seed}"
    tokenizer = build_tokenizer(bos=bos, eos=eos)
    tokenizer.save_pretrained(folder)
    config = _config(
        architecture,
        vocab_size=len(tokenizer) + extra_rows,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **({} if tie is None else {"tie_word_embeddings": tie}),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        # Norms and biases are born alike; one that is not read would go unnoticed.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    with silence_libraries():
        model.save_pretrained(folder)
    return folder


def build_tokenizer(*, bos: bool = False, eos: bool = True) -> Any:
    """A byte-level BPE trained on a few sentences, as a fast tokenizer of transformers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, wanted in ((EOS, eos), (BOS, bos)) if wanted]
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS if eos else None,
        bos_token=BOS if bos else None,
        clean_up_tokenization_spaces=False,
    )


def _config(architecture: Architecture, **settings: Any) -> Any:
    from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config

    # Larger than usual: an untrained model scores all tokens alike, which would hide most mistakes.
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.15,
        "pad_token_id": None,
    }
    match architecture:
        case "qwen2":
            return Qwen2Config(**(shape | settings))
        case "llama":
            return LlamaConfig(**(shape | settings))
        case "gemma3":
            return Gemma3TextConfig(
                **(shape | settings),
                head_dim=8,
                query_pre_attn_scalar=8,
                sliding_window=8,
                layer_types=["sliding_attention", "full_attention"],
            )


def give_eyes(folder: Path) -> None:
    """Put the Gemma model of a folder into one that reads pictures too, with new weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config

    text: Any = AutoConfig.from_pretrained(folder)
    config = Gemma3Config(
        text_config=text.to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
        boi_token_index=5,
        eoi_token_index=6,
        image_token_index=7,
    )
    with torch.random.fork_rng(devices=[]), silence_libraries():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)


@functools.cache
def _workshop() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tiny-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
