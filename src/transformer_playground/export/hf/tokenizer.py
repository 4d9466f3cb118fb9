"""Our tokenizers as `tokenizer.json`, which transformers and tokenizers read."""

import functools
import itertools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from transformer_playground.data.meta import META_FILE
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.data.tokenizers.gpt2 import END_OF_TEXT, END_OF_TEXT_ID, Gpt2Tokenizer
from transformer_playground.data.tokenizers.sentencepiece import SentencePieceTokenizer
from transformer_playground.data.tokenizers.token_table import SPACE_MARK, byte_characters
from transformer_playground.errors import ExportError
from transformer_playground.files import replace_json
from transformer_playground.runs.folder import RunFolder

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`; encoding adds no start or end token.

    Names of special tokens inside a text are special tokens there, as usual in transformers.

    Args:
        tokenizer: A tokenizer of our own.
        folder: An existing folder.
        context: Maximum number of tokens.
    """
    match tokenizer:
        case CharTokenizer():
            spec, names = _characters(tokenizer), {}
        case Gpt2Tokenizer():
            name = END_OF_TEXT
            spec, names = _gpt2(tokenizer), {"bos_token": name, "eos_token": name}
        case SentencePieceTokenizer():
            spec = _sentencepiece(tokenizer)
            names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        case _:
            raise ExportError(f"The tokenizer '{tokenizer.kind}' has no tokenizer.json.")
    replace_json(folder / TOKENIZER_FILE, spec)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        **names,
    }
    replace_json(folder / CONFIG_FILE, config)


def copy_tokenizer(run: RunFolder, folder: Path) -> None:
    """Copy the tokenizer of a finetuned run, which transformers wrote."""
    for path in sorted(run.tokenizer.iterdir()):
        # The meta file is specific to this program.
        if path.is_file() and path.name != META_FILE:
            shutil.copyfile(path, folder / path.name)


class FastTokenizer:
    """A `tokenizer.json` that reads names of special tokens as text.

    Args:
        spec: Its content.
        symbols: Special tokens that are recognised in a text.
    """

    def __init__(self, spec: str | bytes, *, symbols: Sequence[str] = ()) -> None:
        from tokenizers import Tokenizer

        document = orjson.loads(spec)
        for token in document["added_tokens"]:
            token["special"] = token["special"] and token["content"] not in symbols
        self._tokenizer: Any = Tokenizer.from_str(orjson.dumps(document).decode())
        self._tokenizer.encode_special_tokens = True

    def encode(self, text: str) -> list[int]:
        """Token ids without start and end tokens."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _spec(**parts: Any) -> dict[str, Any]:
    empty = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    return {"version": "1.0", **dict.fromkeys(empty), "added_tokens": [], **parts}


def _added(token: int, content: str, *, special: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token, "content": content, **flags, "special": special}


def _characters(tokenizer: CharTokenizer) -> dict[str, Any]:
    """One word per character; a character outside the alphabet is an error, as in our tokenizer."""
    return _spec(
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},
            "behavior": "Isolated",
            "invert": False,
        },
        decoder={"type": "Fuse"},
        model={
            "type": "WordLevel",
            "vocab": {char: token for token, char in enumerate(tokenizer.characters)},
            "unk_token": "<unk>",
        },
    )


def gpt2_vocabulary() -> dict[str, int]:
    """GPT-2's tokens as byte-level BPE spells them, with their ids."""
    tokenizer = Gpt2Tokenizer()
    spelled = {_spell(tokenizer.token_bytes(token)): token for token in range(END_OF_TEXT_ID)}
    return spelled | {END_OF_TEXT: END_OF_TEXT_ID}


def _spell(token: bytes) -> str:
    names = _byte_names()
    return "".join(names[byte] for byte in token)


@functools.cache
def _byte_names() -> dict[int, str]:
    return {byte: char for char, byte in byte_characters().items()}


def _gpt2(tokenizer: Gpt2Tokenizer) -> dict[str, Any]:
    tokens = [tokenizer.token_bytes(token) for token in range(END_OF_TEXT_ID)]
    merges = [[_spell(left), _spell(right)] for left, right in bpe_merges(tuple(tokens))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return _spec(
        added_tokens=[_added(END_OF_TEXT_ID, END_OF_TEXT, special=True)],
        pre_tokenizer=byte_level | {"use_regex": True},
        decoder=byte_level | {"use_regex": True},
        model={
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": gpt2_vocabulary(),
            "merges": merges,
        },
    )


@functools.cache
def bpe_merges(tokens: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    """The merges of a byte-pair encoding whose tokens are in the order of their merges.

    The last merge of a token joins the two parts that earlier merges make of it.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    merges = []
    for token in tokens:
        if len(token) == 1:
            continue
        parts = [token[index : index + 1] for index in range(len(token))]
        while len(parts) > 2:
            pairs = [ranks.get(left + right) for left, right in itertools.pairwise(parts)]
            place = min(
                (index for index, rank in enumerate(pairs) if rank is not None),
                key=lambda index: pairs[index] or 0,
            )
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        merges.append((parts[0], parts[1]))
    return merges


def _sentencepiece(tokenizer: SentencePieceTokenizer) -> dict[str, Any]:
    """Byte-pair encoding or unigram with spaces as U+2581.

    A text that has U+2581 itself is read as having a space there; our tokenizer keeps it as bytes.
    """
    import sentencepiece.sentencepiece_model_pb2

    schema: Any = sentencepiece.sentencepiece_model_pb2

    model = schema.ModelProto()
    model.ParseFromString(tokenizer.model)
    kinds = schema.ModelProto.SentencePiece.Type
    pieces = list(model.pieces)
    special = {kinds.UNKNOWN, kinds.CONTROL}
    added = [
        _added(token, piece.piece, special=piece.type in special)
        for token, piece in enumerate(pieces)
        if piece.type in special | {kinds.USER_DEFINED}
    ]
    is_bpe = model.trainer_spec.model_type == schema.TrainerSpec.ModelType.BPE
    return _spec(
        added_tokens=added,
        normalizer={"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK},
        pre_tokenizer=None if is_bpe else _split_names(pieces, kinds),
        decoder={
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        model=_bpe(pieces, kinds.NORMAL) if is_bpe else _unigram(pieces),
    )


def _bpe(pieces: list[Any], normal: int) -> dict[str, Any]:
    vocab = {piece.piece: token for token, piece in enumerate(pieces)}
    # SentencePiece merges the pair whose result has the highest score, the earliest of equal ones.
    ranked = sorted(
        (token for token, piece in enumerate(pieces) if piece.type == normal),
        key=lambda token: (-pieces[token].score, token),
    )
    usable = {pieces[token].piece for token in ranked}
    merges = [
        [text[:cut], text[cut:]]
        for text in (pieces[token].piece for token in ranked)
        for cut in range(1, len(text))
        if text[:cut] in usable and text[cut:] in usable
    ]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }


def _split_names(pieces: list[Any], kinds: Any) -> dict[str, Any]:
    """Divide the names of tokens that are not text, such as `</s>` and `<0x0A>`, inside a text.

    A unigram model of tokenizers would find them there as tokens.
    """
    named = {kinds.UNKNOWN, kinds.CONTROL, kinds.BYTE}
    names = sorted(piece.piece for piece in pieces if piece.type in named)
    rests = "|".join(re.escape(name[1:]) for name in names if name.startswith("<"))
    return {
        "type": "Split",
        "pattern": {"Regex": f"<(?={rests})"},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }


def _unigram(pieces: list[Any]) -> dict[str, Any]:
    return {
        "type": "Unigram",
        "unk_id": 0,
        "byte_fallback": True,
        "vocab": [[piece.piece, piece.score] for piece in pieces],
    }
