"""Tokenizer of a Hugging Face base model, from its `tokenizer.json`."""

import contextlib
import hashlib
import itertools
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_playground import hub
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.data.meta import META_FILE, tokenizer_digest
from transformer_playground.data.tokenizers.base import (
    Tokenizer,
    register_tokenizer,
    require_unicode,
    translate_native_errors,
)
from transformer_playground.data.tokenizers.token_table import (
    SPACE_MARK,
    byte_tokens,
    token_table,
    without_prefix_space,
)
from transformer_playground.errors import DataError, translate_os_errors
from transformer_playground.formatting import names_text

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_FILES = (
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""Files from which transformers loads a tokenizer."""

_SHOWN = 10


@register_tokenizer("huggingface")
class HuggingFaceTokenizer(Tokenizer):
    """A fast Hugging Face tokenizer: byte-level BPE or SentencePiece.

    Texts are encoded without a prefix space and without start and end tokens. Decoding restores the
    text except for the tokenizer's Unicode normalisation.

    Args:
        files: Contents of the tokenizer files by name, including `tokenizer.json`.
        eos_id: End-of-document token.
        bos_id: Start-of-document token, if the tokenizer adds one.
        symbols: Special tokens that are recognised in a text.
        new_tokens: Ids of tokens that were added to the base model.
        base: model_name, revision and gguf_file of the base model.

    Raises:
        DataError: `tokenizer.json` is damaged or has no exact bytes for each token.
    """

    file_names = TOKENIZER_FILES
    prepends_bos = True
    # A line end may be part of the token before it.
    cut_before = " "

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        eos_id: int,
        bos_id: int | None = None,
        symbols: Sequence[str] = (),
        new_tokens: Sequence[int] = (),
        base: Mapping[str, str | None] | None = None,
    ) -> None:
        self.files = dict(files)
        self.symbols = tuple(symbols)
        self.new_tokens = tuple(new_tokens)
        self.base = dict(base or {})
        self.bos_id = bos_id
        self.eos_id = eos_id
        spec = _parsed(self.files[TOKENIZER_FILE])
        self._encoder = _encoder(spec, self.symbols)
        self._ids: dict[str, int] = self._encoder.get_vocab(with_added_tokens=True)
        tokens = token_table(spec, self._ids)
        super().__init__(tokens)
        self._bytes = byte_tokens(spec, self._ids)
        mark = self._ids.get(SPACE_MARK)
        self._marks_spaces = mark is not None and tokens[mark] == b" "
        self._special = {
            token["id"]: token["content"]
            for token in spec.get("added_tokens", [])
            if token.get("special") and token["content"] not in self.symbols
        }
        self._keeps_spaces = spec["model"].get("type") == "WordLevel"
        unknown = self._ids.get(str(spec["model"].get("unk_token")))
        self._unknown_id = spec["model"].get("unk_id", unknown)

    @property
    def eos_token(self) -> str:
        """Name of the end-of-document token in the tokenizer's files."""
        return next(name for name, token in self._ids.items() if token == self.eos_id)

    def id_of(self, name: str) -> int | None:
        """The id of a token name; None if it is unknown."""
        return self._ids.get(name)

    def encode(self, text: str) -> list[int]:
        """Token ids, without start or end of text; names of special tokens are ordinary text.

        Raises:
            DataError: The text is not valid Unicode, or has unknown characters.
        """
        require_unicode(text)
        if self._bytes is None:
            self._require_known(text)
        elif self._marks_spaces and SPACE_MARK in text:
            return self._encode_space_marks(text, self._bytes)
        ids = self._encode(text)
        if self._special.keys().isdisjoint(ids):
            return ids
        # Split the names of special tokens, which are ordinary text here.
        return [
            token for part in _divided(text, self._special.values()) for token in self._encode(part)
        ]

    def _encode(self, text: str) -> list[int]:
        with translate_native_errors("The tokenizer of the model"):
            return list(self._encoder.encode(text, add_special_tokens=False).ids)

    def _encode_space_marks(self, text: str, spelled: Sequence[int]) -> list[int]:
        """Encode the space character of SentencePiece as bytes, so that it is decoded unchanged."""
        first, *others = text.split(SPACE_MARK)
        ids = self.encode(first)
        for part in others:
            ids += [spelled[byte] for byte in SPACE_MARK.encode()]
            ids += self.encode(part)
        return ids

    def _require_known(self, text: str) -> None:
        for symbol in self.symbols:
            text = text.replace(symbol, "")
        unknown = [
            char
            for char in sorted(set(text))
            if (self._keeps_spaces or not char.isspace()) and self._lacks(char)
        ]
        if not unknown:
            return
        shown = names_text(list(map(repr, unknown)), _SHOWN)
        raise DataError(
            f"The tokenizer of the model lacks {shown} and has no byte fallback.",
            "Remove them, or choose a model with a byte-level tokenizer.",
        )

    def _lacks(self, char: str) -> bool:
        try:
            ids = self._encode(char)
        except DataError:
            # A vocabulary of characters without a token for unknown ones.
            return True
        return not ids or self._unknown_id in ids

    def _details(self) -> dict[str, Any]:
        return {
            "bos_id": self.bos_id,
            "eos_id": self.eos_id,
            "eos_token": self.eos_token,
            "symbols": list(self.symbols),
            "new_tokens": list(self.new_tokens),
            "base": dict(self.base),
            "tokenizer": {
                "file": TOKENIZER_FILE,
                "sha256": hashlib.sha256(self.files[TOKENIZER_FILE]).hexdigest(),
            },
        }

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> "HuggingFaceTokenizer":
        """Load the tokenizer beside a `meta.pkl`.

        Raises:
            DataError: A file is missing or damaged, or not the one that `meta.pkl` names.
        """
        files, hint = {}, "Prepare the dataset again."
        for path in (folder / name for name in TOKENIZER_FILES):
            with (
                translate_os_errors(DataError, f"{path} cannot be read", hint),
                contextlib.suppress(FileNotFoundError),
            ):
                files[path.name] = path.read_bytes()
        path = folder / TOKENIZER_FILE
        if TOKENIZER_FILE not in files:
            raise DataError(f"{path} does not exist.", hint)
        if hashlib.sha256(files[TOKENIZER_FILE]).hexdigest() != tokenizer_digest(meta):
            raise DataError(f"{path} is not the tokenizer in {META_FILE}.", hint)
        try:
            return cls(files, **_arguments(meta))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder / META_FILE} has no valid special tokens.", hint) from error


def load_hub_tokenizer(
    hf_model: HfModelConfig, *, end_token: str = "", symbols: Sequence[str] = ()
) -> HuggingFaceTokenizer:
    """Load the tokenizer of a base model and add missing special tokens.

    Args:
        hf_model: The base model.
        end_token: The special token that ends a document; empty = the tokenizer's own.
        symbols: Special tokens that are recognised in a text.

    Raises:
        ModelError: The model cannot be found or read.
        DataError: The tokenizer has no end token, is slow, or cannot add the tokens.
    """
    if end_token in symbols:
        raise DataError(
            f"'{end_token}' marks structure, so it cannot end documents as well.",
            "Choose another prepare.doc_separator.",
        )
    # All of it, since a damaged tokenizer may fail only when it is used.
    with hub.translate_load_errors(hf_model.model_name, hf_model.revision):
        return _loaded_tokenizer(hf_model, end_token, symbols)


def _loaded_tokenizer(
    hf_model: HfModelConfig, end_token: str, symbols: Sequence[str]
) -> HuggingFaceTokenizer:
    from transformers import AutoTokenizer

    name = hf_model.model_name
    gguf = {"gguf_file": hf_model.gguf_file} if hf_model.gguf_file else {}
    loaded = AutoTokenizer.from_pretrained(
        name, revision=hf_model.revision, trust_remote_code=False, **gguf
    )
    if not getattr(loaded, "is_fast", False):
        raise DataError(
            f"{name} has only a slow tokenizer, written in Python ({type(loaded).__name__}).",
            "Choose a model with a tokenizer.json.",
        )
    if not end_token and loaded.eos_token_id is None:
        raise DataError(
            f"The tokenizer of {name} has no token that ends a text (EOS).",
            "Set prepare.doc_separator to a token such as '<|endofspeech|>': it is added to the "
            "tokenizer and trained.",
        )
    new_tokens = _add_tokens(loaded, [*([end_token] if end_token else []), *symbols])
    if end_token:
        loaded.eos_token = end_token
    # Not every vocabulary has a given character.
    first = loaded("")["input_ids"][:1]
    # If start and end are the same token (OPT), no start is added: it would be an empty document.
    begins = first == [loaded.bos_token_id] != [loaded.eos_token_id]
    return HuggingFaceTokenizer(
        _saved_files(loaded),
        eos_id=loaded.eos_token_id,
        bos_id=loaded.bos_token_id if begins else None,
        symbols=symbols,
        new_tokens=new_tokens,
        base=hf_model.source(),
    )


def _add_tokens(loaded: Any, names: Sequence[str]) -> list[int]:
    """Add missing special tokens and return their ids."""
    from tokenizers import AddedToken

    known = loaded.get_vocab()
    added = {str(token) for token in loaded.added_tokens_decoder.values()}
    for name in names:
        if name in known and name not in added:
            raise DataError(
                f"'{name}' is an ordinary token of the tokenizer, which can occur in any text.",
                "Choose a name that does not occur in texts, such as '<|endofspeech|>'.",
            )
    missing = [name for name in dict.fromkeys(names) if name not in known]
    tokens = [AddedToken(name, special=True, normalized=False) for name in missing]
    loaded.add_tokens(tokens, special_tokens=True)
    return [loaded.convert_tokens_to_ids(name) for name in missing]


def _saved_files(loaded: Any) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        loaded.save_pretrained(folder)
        paths = [Path(folder) / name for name in TOKENIZER_FILES]
        return {path.name: path.read_bytes() for path in paths if path.exists()}


def _parsed(content: bytes) -> dict[str, Any]:
    import orjson

    try:
        spec = orjson.loads(content)
    except ValueError as error:
        raise DataError(f"{TOKENIZER_FILE} is damaged: {error}.", "Prepare again.") from None
    if not isinstance(spec, dict) or not isinstance(spec.get("model"), dict):
        raise DataError(f"{TOKENIZER_FILE} has no model.", "Prepare again.")
    return spec


def _encoder(spec: Mapping[str, Any], symbols: Sequence[str]) -> Any:
    """The tokenizer without truncation, padding, post-processing, prefix space and dropout."""
    import orjson
    import tokenizers

    changed = {
        **spec,
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "normalizer": without_prefix_space(spec.get("normalizer")),
        "pre_tokenizer": without_prefix_space(spec.get("pre_tokenizer")),
        # BPE dropout is not deterministic.
        "model": {key: value for key, value in spec["model"].items() if key != "dropout"},
        "added_tokens": [
            {**token, "special": token.get("special", False) and token["content"] not in symbols}
            for token in spec.get("added_tokens", [])
        ],
    }
    try:
        with translate_native_errors("tokenizers"):
            encoder = tokenizers.Tokenizer.from_str(orjson.dumps(changed).decode())
    except DataError as error:
        raise DataError(
            f"{TOKENIZER_FILE} is damaged: {error.__cause__}.", "Prepare again."
        ) from None
    encoder.encode_special_tokens = True
    return encoder


def _divided(text: str, names: Iterable[str]) -> list[str]:
    """Parts of a text, with each occurrence of a name split after its first character."""
    pattern = "|".join(map(re.escape, names))
    cuts = [found.start() + 1 for found in re.finditer(pattern, text)]
    return [text[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(text)])]


def _arguments(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Checked constructor arguments from `meta.pkl`."""
    size, eos, bos = meta["vocab_size"], meta["eos_id"], meta["bos_id"]
    ids = [eos, *([] if bos is None else [bos]), *meta["new_tokens"]]
    if not all(type(token) is int and 0 <= token < size for token in ids):
        raise ValueError("a token id outside the vocabulary")
    if not all(isinstance(symbol, str) for symbol in meta["symbols"]):
        raise ValueError("a symbol that is not text")
    return {
        "eos_id": eos,
        "bos_id": bos,
        "symbols": meta["symbols"],
        "new_tokens": meta["new_tokens"],
        "base": dict(meta["base"]),
    }
