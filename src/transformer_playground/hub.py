"""Loading from the model hub, its cache or a folder: quietly, with faults in plain words.

The libraries that load name what failed by a dozen exceptions, and half of them by their text. Here
each becomes one sentence with the command or the setting that mends it. An access token is read
from the environment by those libraries; nothing here stores or shows it.
"""

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from transformer_playground.errors import ModelError, PlaygroundError

_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_MODEL_FILES = "config.json, model.safetensors, tokenizer.json and the other small JSON files"


@contextlib.contextmanager
def translate_load_errors(model_name: str, revision: str | None = None) -> Iterator[None]:
    """Run what loads a model or a tokenizer; say in plain words why it fails.

    The libraries' progress bars, reports and warnings are off inside, and as before afterwards.

    Args:
        model_name: The hub's name of the model, or the path of a folder.
        revision: The branch, tag or commit asked for.

    Raises:
        ModelError: Whatever the block raises, explained; a PlaygroundError passes as it is.
    """
    try:
        with silence_libraries():
            yield
    except PlaygroundError:
        raise
    except Exception as error:
        raise _explanation(error, model_name, revision) from error


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """Keep what loads and changes models from drawing bars and writing notes, inside only."""
    import huggingface_hub.utils.logging as hub_logging
    import transformers.utils.logging as model_logging

    # Weights in an unsafe format are refused; no service is asked to convert them for us.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    levels = model_logging.get_verbosity(), hub_logging.get_verbosity()
    bars = model_logging.is_progress_bar_enabled()
    model_logging.set_verbosity_error()
    hub_logging.set_verbosity(logging.ERROR)
    model_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # What these libraries ask of each other is nothing that a user could change.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        model_logging.set_verbosity(levels[0])
        hub_logging.set_verbosity(levels[1])
        if bars:
            model_logging.enable_progress_bar()


def _explanation(error: Exception, model_name: str, revision: str | None) -> ModelError:
    chain = _chain(error)
    text = _without_token(" ".join(str(link) for link in chain))
    for explain in (_no_memory, _about_access, _about_files, _about_architecture):
        if explanation := explain(chain, text, model_name, revision):
            return explanation
    return ModelError(
        f"{model_name} cannot be loaded: {_beginning(error)}.",
        f"A model needs {_MODEL_FILES}, as transformers writes them.",
    )


def _beginning(error: BaseException) -> str:
    """The first two lines of what a library said; more would be advice for programmers."""
    lines = _without_token(str(error)).split("\n")
    words = " ".join(line.strip() for line in lines[:2]).strip().rstrip(".")
    return words or type(error).__name__


def _chain(error: BaseException) -> list[BaseException]:
    """The error and all that led to it, newest first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def _without_token(text: str) -> str:
    # Some transports quote the header that they refuse.
    for variable in _TOKEN_VARIABLES:
        if token := os.environ.get(variable, "").strip():
            text = text.replace(token, "***")
    return text


def _no_memory(
    chain: list[BaseException], _text: str, model_name: str, _revision: str | None
) -> ModelError | None:
    if not any(
        isinstance(link, MemoryError) or type(link).__name__ == "OutOfMemoryError" for link in chain
    ):
        return None
    return ModelError(
        f"{model_name} does not fit into memory.",
        'Take a smaller model, or hf_model.dtype = "bfloat16", which needs 2 bytes a weight.',
    )


def _about_access(
    chain: list[BaseException], text: str, model_name: str, revision: str | None
) -> ModelError | None:
    """Who may have it, whether it is there at all, and whether the hub can be reached."""
    if _is_path(model_name):
        if Path(model_name).expanduser().is_dir():
            return None
        return ModelError(
            f"There is no folder {model_name}.",
            f"hf_model.model_name names a folder with {_MODEL_FILES}, or a model of the hub "
            "such as Qwen/Qwen2.5-1.5B. Where it moved to is said by "
            "--set hf_model.model_name=FOLDER, or by --base where a command has that.",
        )
    raised = {kind.__name__ for link in chain for kind in type(link).__mro__}
    if "GatedRepoError" in raised or "gated repo" in text:
        return ModelError(
            f"{model_name} is gated: its owner lets only those have it who accepted its licence.",
            f"Accept the licence on the page of {model_name} on the hub, make an "
            "access token that may read, and set the environment variable HF_TOKEN to it. "
            "The token is used for the download alone and is written nowhere.",
        )
    if "HFValidationError" in raised or "HfUriError" in raised:
        return ModelError(
            f"'{model_name}' is not a name that a model can have on the hub.",
            "A name looks like Qwen/Qwen2.5-1.5B. A folder's path begins with '.', '/' or '~'.",
        )
    if "RevisionNotFoundError" in raised or "not a valid git identifier" in text:
        return ModelError(
            f"{model_name} has no revision '{revision}'.",
            "hf_model.revision is a branch, a tag or a commit of the model's repository; "
            "leave it out for the newest.",
        )
    if "RepositoryNotFoundError" in raised or "not a valid model identifier" in text:
        return ModelError(
            f"The hub has no model {model_name} that this token, or no token, may read.",
            "Check hf_model.model_name. A private or gated model needs an access token in the "
            "environment variable HF_TOKEN. A folder's path begins with '.', '/' or '~'.",
        )
    if _in_cache(model_name) and "couldn't connect" not in text:
        return None
    if _offline():
        return ModelError(
            f"{model_name} is not on this disk, and HF_HUB_OFFLINE forbids downloading it.",
            f"Unset HF_HUB_OFFLINE, or {_by_hand(model_name, revision)}",
        )
    unreachable = {"LocalEntryNotFoundError", "ConnectionError", "TimeoutError", "HTTPError"}
    if unreachable & raised or "couldn't connect" in text or "connection error" in text:
        return ModelError(
            f"{model_name} is not on this disk, and the hub cannot be reached.",
            f"Try again with a network, or {_by_hand(model_name, revision)}",
        )
    return None


def _by_hand(model_name: str, revision: str | None) -> str:
    folder = model_name.rpartition("/")[2]
    pin = f" --revision {revision}" if revision else ""
    return (
        f"run `hf download {model_name}{pin} --local-dir {folder}` where there is a network, put "
        f"that folder beside the experiment's config.toml and set hf_model.model_name = "
        f'"./{folder}". A copied cache folder does it too: HF_HOME says where it is.'
    )


def _about_files(
    chain: list[BaseException], text: str, model_name: str, _revision: str | None
) -> ModelError | None:
    raised = {type(link).__name__ for link in chain}
    if "SafetensorError" in raised:
        return ModelError(
            f"The weights of {model_name} are damaged: they are not whole safetensors files.",
            "Download them again.",
        )
    missing = re.search(r"files? named \(?'?([^\s',]+)", text)
    if missing and "safetensors" in missing[1]:
        return ModelError(
            f"{model_name} has no weights in the safetensors format.",
            "Only that format is read: others can run code while they are loaded. Choose a "
            "revision or a copy of the model with model.safetensors.",
        )
    if missing:
        return ModelError(
            f"{model_name} has no file {missing[1].rstrip('.')}.",
            f"A model needs {_MODEL_FILES}; hf_model.gguf_file names a file beside them.",
        )
    if "not a valid JSON file" in text or "JSONDecodeError" in raised:
        return ModelError(
            f"A JSON file of {model_name} cannot be read.",
            "It is not JSON: a broken download or edit. Fetch the model again.",
        )
    if "instantiate the backend tokenizer" in text:
        return ModelError(
            f"{model_name} has no tokenizer that can be read: no tokenizer.json.",
            f"A model needs {_MODEL_FILES}.",
        )
    if "model_type` key" in text:
        return ModelError(
            f"{model_name} does not say which model it is: no config.json with a model_type.",
            f"A model needs {_MODEL_FILES}.",
        )
    return None


def _about_architecture(
    chain: list[BaseException], text: str, model_name: str, _revision: str | None
) -> ModelError | None:
    if "trust_remote_code" in text:
        return ModelError(
            f"{model_name} brings program code of its own, which is never run here.",
            "Choose a model whose architecture transformers has built in.",
        )
    if "does not recognize this architecture" in text or "GGUF model with architecture" in text:
        return ModelError(
            f"{model_name} has an architecture that the installed transformers does not know.",
            "A newer transformers may know it; or choose another model.",
        )
    if "Unrecognized configuration class" in text:
        return ModelError(
            f"{model_name} is not a causal language model.",
            "Finetuning needs a model that predicts the next token, such as Qwen, Llama or Gemma.",
        )
    if "GGUF magic" in text or ("gguf" in text.lower() and _is_parse_error(chain)):
        return ModelError(
            f"The GGUF file of {model_name} cannot be read.",
            "It is damaged or no GGUF file: download it again and check hf_model.gguf_file.",
        )
    if any(isinstance(link, ImportError) for link in chain):
        return ModelError(
            f"{model_name} needs a package that is not installed: {_beginning(chain[0])}.",
            "Quantised weights need their own packages; the plain copy of the model needs none.",
        )
    return None


def _is_parse_error(chain: list[BaseException]) -> bool:
    return any(isinstance(link, ValueError | KeyError | IndexError) for link in chain)


def _is_path(model_name: str) -> bool:
    return model_name.startswith((".", "~")) or Path(model_name).is_absolute()


def _offline() -> bool:
    import huggingface_hub

    return huggingface_hub.is_offline_mode()


def _in_cache(model_name: str) -> bool:
    """True if some revision of the model, or a folder of this name, is on the disk."""
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(model_name, "config.json")
    return isinstance(cached, str) or Path(model_name).is_dir()
