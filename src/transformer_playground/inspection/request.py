"""Requests to look inside a run, resolved without torch: checkpoints, texts and dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from transformer_playground.checkpoints.discovery import (
    FoundCheckpoint,
    HashFile,
    choose,
    list_checkpoints,
    skipped_notice,
)
from transformer_playground.config.run_config import base_model_override
from transformer_playground.config.sample import DEFAULT_PROMPT
from transformer_playground.errors import DataError, UsageError
from transformer_playground.experiments.dataset_lookup import find_dataset
from transformer_playground.files import sha256_file
from transformer_playground.jsonvalues import as_object
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import SampleRequest, resolve_sampling

if TYPE_CHECKING:
    from transformer_playground.config.sample import SampleRuntimeConfig
    from transformer_playground.data.dataset import Dataset
    from transformer_playground.data.tokenizers import Tokenizer

View = Literal[
    "text",
    "lens",
    "attribution",
    "attention",
    "heads",
    "ablate",
    "patch",
    "neurons",
    "neighbours",
    "model",
]
VIEWS: tuple[View, ...] = get_args(View)
Split = Literal["train", "val"]

ALL = "all"
"""Names every checkpoint of a run, or every part of a model."""

ABLATABLE: frozenset[View] = frozenset({"text", "lens", "attention"})
"""Views that show what is left of a model without `parts`."""

_OWN_TEXT: frozenset[View] = frozenset({"heads", "neighbours"})


@dataclass(frozen=True)
class InspectRequest:
    """What to look at, and in which text.

    Attributes:
        view: The question.
        prompt: Text to look at, or FILE:path unless `prompt_is_literal`.
        split: Split of the dataset to take the text from; None = val without a prompt.
        window: Which window of the split, of the length of the context, counted from 0.
        windows: How many windows are read from there for neurons.
        checkpoints: auto, best, last, file names or all.
        position: Token after which the prediction is looked at; negative from the end.
        parts: Components to ablate, as `parse_component` reads them, or all; the views that are
            `ABLATABLE` show the model without them.
        mean: Ablate by the mean instead of zero.
        together: Ablate all components at once instead of one after the other.
        other: Prompt whose activations are patched in.
        patch: Activation that is patched.
        neurons: LAYER or LAYER.NEURON.
        token: Text of the token whose neighbours are looked up.
        dataset: Folder of the run's dataset, if it has moved.
        base: Base model (name or folder) of a finetuned run, if it has moved.
    """

    view: View = "text"
    prompt: str | None = None
    prompt_is_literal: bool = False
    split: Split | None = None
    window: int = 0
    windows: int = 64
    checkpoints: tuple[str, ...] = ("auto",)
    position: int = -1
    parts: tuple[str, ...] = ()
    mean: bool = False
    together: bool = False
    other: str | None = None
    patch: Literal["residual", "attention", "mlp"] = "residual"
    neurons: str = "0"
    token: str = ""
    dataset: Path | None = None
    experiments_dir: Path | None = None
    base: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InspectSetup:
    """A request resolved for one run, without its weights.

    Attributes:
        found: The checkpoints by step.
        runtime: Device and dtype.
        prompt: Tokens of the prompt; None = the window of the split.
        other: Tokens of the other prompt.
        dataset: The run's dataset, if the request needs it.
        token: Id of the token whose neighbours are looked up.
        notices: Sentences for the user.
    """

    run: RunFolder
    request: InspectRequest
    found: tuple[FoundCheckpoint, ...]
    tokenizer: "Tokenizer"
    runtime: "SampleRuntimeConfig"
    prompt: tuple[int, ...] | None
    other: tuple[int, ...] | None = None
    dataset: "Dataset | None" = None
    token: int | None = None
    notices: tuple[str, ...] = ()

    @property
    def split(self) -> Split | None:
        """Split that the text comes from; None if from a prompt, or if there is no text."""
        return None if self.dataset is None else self.request.split or "val"


def resolve_inspection(
    run: RunFolder, request: InspectRequest, *, hash_file: HashFile = sha256_file
) -> InspectSetup:
    """Resolve a request before any weights are loaded.

    Args:
        run: The run.
        request: What to look at.
        hash_file: SHA-256 of a file; can be replaced by a cache.

    Raises:
        PlaygroundError: The run has no intact checkpoint or dataset, an option is out of range, or
            a text cannot be encoded.
    """
    if request.prompt is not None and request.split is not None:
        raise UsageError("--prompt and --split are mutually exclusive.", "Give one of them.")
    found, notices = _checkpoints(run, request.checkpoints, hash_file)
    record = read_run_config(run) if run.config_path.is_file() else {}
    is_lora = as_object(as_object(record.get("config")).get("experiment")).get("kind") == "lora"
    base = SampleRequest(
        checkpoint=found[0].path.name,
        # Exact where weights are small; a base model keeps the dtype that it is used in.
        dtype=None if is_lora else "float32",
        quantization="none",
        overrides=base_model_override(request.base),
        environ=request.environ,
    )
    # Without a prompt, any will do but the one that the run samples from: it may be a lost file.
    unused = request.prompt is None
    text = DEFAULT_PROMPT if unused else request.prompt
    is_literal = unused or request.prompt_is_literal
    asked = replace(base, prompt=text, prompt_is_literal=is_literal)
    resolved = resolve_sampling(run, asked, hash_file=hash_file)
    other = None
    if request.view == "patch":
        if request.prompt is None or request.other is None:
            raise UsageError("Patching needs two prompts.", "Add --prompt TEXT --patch TEXT.")
        patched = replace(base, prompt=request.other)
        other = resolve_sampling(run, patched, hash_file=hash_file).prompt.tokens
    return InspectSetup(
        run=run,
        request=request,
        found=found,
        tokenizer=resolved.tokenizer,
        runtime=resolved.spec.settings.runtime,
        prompt=resolved.prompt.tokens if request.prompt is not None else None,
        other=other,
        dataset=_dataset(record, request),
        token=_single_token(request, resolved.tokenizer),
        notices=notices,
    )


def _checkpoints(
    run: RunFolder, names: tuple[str, ...], hash_file: HashFile
) -> tuple[tuple[FoundCheckpoint, ...], tuple[str, ...]]:
    if ALL in names:
        listing = list_checkpoints(run.checkpoints, hash_file)
        # Pointers are links to other files of the same step.
        by_step = {info.step: info for info in listing.valid}
        if not by_step:
            # Perhaps nanoGPT's, which has no sidecar; else the reason why there is none.
            return (choose(run.checkpoints, hash_file=hash_file),), ()
        found = [FoundCheckpoint(by_step[step].path, by_step[step], ()) for step in sorted(by_step)]
        return tuple(found), tuple(map(skipped_notice, listing.skipped))
    chosen = [choose(run.checkpoints, name, hash_file) for name in dict.fromkeys(names)]
    skipped = {str(each): None for one in chosen for each in one.skipped}
    if len(chosen) > 1:
        chosen.sort(key=lambda each: each.info.step if each.info else -1)
    return tuple(chosen), tuple(map(skipped_notice, skipped))


def _dataset(record: Mapping[str, object], request: InspectRequest) -> "Dataset | None":
    optional = request.view == "model" and request.split is None
    if request.prompt is not None or request.view in _OWN_TEXT or optional:
        return None
    lookup = find_dataset(record, stated=request.dataset, experiments_dir=request.experiments_dir)
    if lookup.dataset is None:
        raise DataError(
            f"There is no text to look at: {lookup.problem}", f"Give --prompt TEXT. {lookup.hint}"
        )
    return lookup.dataset


def _single_token(request: InspectRequest, tokenizer: "Tokenizer") -> int | None:
    if request.view != "neighbours":
        return None
    tokens = tokenizer.encode(request.token)
    if len(tokens) != 1:
        raise UsageError(
            f"'{request.token}' is {len(tokens)} tokens; neighbours are of one.",
            "Give the text of a single token.",
        )
    return tokens[0]
