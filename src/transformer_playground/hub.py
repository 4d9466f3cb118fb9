"""Errors and log output of the Hugging Face libraries while a model or tokenizer is loaded.

Library errors are translated into one sentence with a hint. The libraries read access tokens from
the environment; this module neither stores nor shows them.
"""

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from transformer_playground.errors import ModelError, PlaygroundError, is_library_fault

_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_MODEL_FILES = "config.json, model.safetensors, tokenizer.json and the other small JSON files"


@contextlib.contextmanager
def translate_load_errors(model_name: str, revision: str | None = None) -> Iterator[None]:
    """Translate errors while a model (hub name or folder) is loaded, without library output.

    Raises:
        ModelError: For any exception in the block except a PlaygroundError, panics included.
    """
    try:
        with silence_libraries():
            yield
    except PlaygroundError:
        raise
    except BaseException as error:
        if not is_library_fault(error) and not isinstance(error, MemoryError):
            raise
        raise _translate(error, model_name, revision) from error


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Disable progress bars, log messages and FutureWarnings of the libraries in the block."""
    import huggingface_hub.utils.logging as hub_logging
    import transformers.utils.logging as model_logging

    # Weights in an unsafe format are rejected; do not request a conversion by a service.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    levels = model_logging.get_verbosity(), hub_logging.get_verbosity()
    bars = model_logging.is_progress_bar_enabled()
    model_logging.set_verbosity_error()
    hub_logging.set_verbosity(logging.ERROR)
    model_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        model_logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if bars:
            model_logging.enable_progress_bar()


def _translate(error: BaseException, model_name: str, revision: str | None) -> ModelError:
    chain = _chain(error)
    text = _without_token(" ".join(map(str, chain)))
    for translate in (_memory_error, _access_error, _file_error, _architecture_error):
        if translated := translate(chain, text, model_name, revision):
            return translated
    return ModelError(
        f"{model_name} cannot be loaded: {_summary(error)}.",
        f"A model needs {_MODEL_FILES}, as written by transformers.",
    )


def _summary(error: BaseException) -> str:
    """The first two lines of a library's message."""
    lines = _without_token(str(error)).split("\n")
    summary = " ".join(line.strip() for line in lines[:2]).strip().rstrip(".")
    return summary or type(error).__name__


def _chain(error: BaseException) -> list[BaseException]:
    """The error and its causes, newest first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def _without_token(text: str) -> str:
    # Some HTTP errors quote the request header.
    for variable in _TOKEN_VARIABLES:
        if token := os.environ.get(variable, "").strip():
            text = text.replace(token, "***")
    return text


def _memory_error(
    chain: list[BaseException], _text: str, model_name: str, _revision: str | None
) -> ModelError | None:
    if not _class_names(chain) & {"MemoryError", "OutOfMemoryError"}:
        return None
    return ModelError(
        f"{model_name} does not fit into memory.",
        'Choose a smaller model, or hf_model.dtype = "bfloat16" (2 bytes per weight).',
    )


def _access_error(
    chain: list[BaseException], text: str, model_name: str, revision: str | None
) -> ModelError | None:
    """A wrong name, missing permission, or no connection to the hub."""
    if model_name.startswith((".", "~")) or Path(model_name).is_absolute():
        if Path(model_name).expanduser().is_dir():
            return None
        return ModelError(
            f"There is no folder {model_name}.",
            f"hf_model.model_name is a folder with {_MODEL_FILES}, or a model on the hub such as "
            "Qwen/Qwen2.5-1.5B. If the folder was moved, use --set hf_model.model_name=FOLDER, or "
            "--base where available.",
        )
    raised = _class_names(chain)
    if "GatedRepoError" in raised or "gated repo" in text:
        return ModelError(
            f"{model_name} is gated: access requires accepting its licence.",
            f"Accept the licence on the page of {model_name} on the hub, create an access token "
            "with read permission, and set the environment variable HF_TOKEN to it. The token is "
            "only used for the download and is not stored.",
        )
    if "HFValidationError" in raised or "HfUriError" in raised:
        return ModelError(
            f"'{model_name}' is not a valid model name.",
            "A name looks like Qwen/Qwen2.5-1.5B. A folder's path begins with '.', '/' or '~'.",
        )
    if "RevisionNotFoundError" in raised or "not a valid git identifier" in text:
        return ModelError(
            f"{model_name} has no revision '{revision}'.",
            "hf_model.revision is a branch, tag or commit of the model's repository; omit it for "
            "the latest.",
        )
    if "RepositoryNotFoundError" in raised or "not a valid model identifier" in text:
        return ModelError(
            f"The hub has no model {model_name}, or access is denied.",
            "Check hf_model.model_name. A private or gated model needs an access token in the "
            "environment variable HF_TOKEN. A folder's path begins with '.', '/' or '~'.",
        )
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(model_name, "config.json")
    is_on_disk = isinstance(cached, str) or Path(model_name).is_dir()
    if is_on_disk and "couldn't connect" not in text:
        return None
    if huggingface_hub.is_offline_mode():
        return ModelError(
            f"{model_name} is not on this disk, and HF_HUB_OFFLINE disables the download.",
            f"Unset HF_HUB_OFFLINE, or {_manual_download(model_name, revision)}",
        )
    unreachable = {"LocalEntryNotFoundError", "ConnectionError", "TimeoutError", "HTTPError"}
    if unreachable & raised or "couldn't connect" in text or "connection error" in text:
        return ModelError(
            f"{model_name} is not on this disk, and the hub cannot be reached.",
            f"Try again with a network connection, or {_manual_download(model_name, revision)}",
        )
    return None


def _class_names(chain: list[BaseException]) -> set[str]:
    return {kind.__name__ for link in chain for kind in type(link).__mro__}


def _manual_download(model_name: str, revision: str | None) -> str:
    folder = model_name.rpartition("/")[2]
    pin = f" --revision {revision}" if revision else ""
    return (
        f"run `hf download {model_name}{pin} --local-dir {folder}` on a machine with a network, "
        f"copy that folder next to the experiment's config.toml and set hf_model.model_name = "
        f'"./{folder}". Copying the cache folder (HF_HOME) works as well.'
    )


def _file_error(
    chain: list[BaseException], text: str, model_name: str, _revision: str | None
) -> ModelError | None:
    raised = _class_names(chain)
    if "SafetensorError" in raised:
        return ModelError(
            f"The weights of {model_name} are damaged: invalid safetensors files.",
            "Download them again.",
        )
    missing = re.search(r"files? named \(?'?([^\s',]+)", text)
    if missing and "safetensors" in missing[1]:
        return ModelError(
            f"{model_name} has no weights in the safetensors format.",
            "Other formats are not supported because they can run code. Choose a revision or a "
            "copy of the model with model.safetensors.",
        )
    if missing:
        return ModelError(
            f"{model_name} has no file {missing[1].rstrip('.')}.",
            f"A model needs {_MODEL_FILES}; hf_model.gguf_file names a file beside them.",
        )
    if "not a valid JSON file" in text or "JSONDecodeError" in raised:
        return ModelError(
            f"A JSON file of {model_name} cannot be read.",
            "The file is damaged. Download the model again.",
        )
    if "instantiate the backend tokenizer" in text:
        return ModelError(
            f"{model_name} has no readable tokenizer: no tokenizer.json.",
            f"A model needs {_MODEL_FILES}.",
        )
    if "model_type` key" in text:
        return ModelError(
            f"{model_name} has no config.json with a model_type.",
            f"A model needs {_MODEL_FILES}.",
        )
    return None


def _architecture_error(
    chain: list[BaseException], text: str, model_name: str, _revision: str | None
) -> ModelError | None:
    if "trust_remote_code" in text:
        return ModelError(
            f"{model_name} needs its own program code, which is never run.",
            "Choose a model with an architecture that is part of transformers.",
        )
    if "does not recognize this architecture" in text or "GGUF model with architecture" in text:
        return ModelError(
            f"{model_name} has an architecture that the installed transformers does not support.",
            "Update transformers, or choose another model.",
        )
    if "Unrecognized configuration class" in text:
        return ModelError(
            f"{model_name} is not a causal language model.",
            "Finetuning needs a model that predicts the next token, such as Qwen, Llama or Gemma.",
        )
    is_parse_error = bool(_class_names(chain) & {"ValueError", "KeyError", "IndexError"})
    if "GGUF magic" in text or ("gguf" in text.lower() and is_parse_error):
        return ModelError(
            f"The GGUF file of {model_name} cannot be read.",
            "It is damaged or not a GGUF file: download it again and check hf_model.gguf_file.",
        )
    if any(isinstance(link, ImportError) for link in chain):
        return ModelError(
            f"{model_name} needs a package that is not installed: {_summary(chain[0])}.",
            "Quantised weights need additional packages; the unquantised model does not.",
        )
    return None
