"""A tiny model as one GGUF file, written by the reference library."""

import json
from pathlib import Path
from typing import Any

from gguf import MODEL_ARCH, GGUFWriter, TokenType, get_tensor_name_map
from safetensors.numpy import load_file


def write_gguf(model: Path, path: Path) -> None:
    """Put a Qwen2 model's folder, weights and tokenizer, into one file in float32.

    Args:
        model: What `build_model_folder("qwen2", …)` gave.
        path: The file.
    """
    config = json.loads((model / "config.json").read_bytes())
    writer = GGUFWriter(path, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    _add_tokenizer(writer, json.loads((model / "tokenizer.json").read_bytes()))
    names = get_tensor_name_map(MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    for name, tensor in load_file(model / "model.safetensors").items():
        stem, _, end = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{end}", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: GGUFWriter, tokenizer: dict[str, Any]) -> None:
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    tokens = dict(sorted((i, t) for t, i in tokenizer["model"]["vocab"].items())) | special
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([tokens[token] for token in sorted(tokens)])
    writer.add_token_types(
        [TokenType.CONTROL if token in special else TokenType.NORMAL for token in sorted(tokens)]
    )
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(min(special))
