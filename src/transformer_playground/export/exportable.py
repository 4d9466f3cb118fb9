"""What is exported: a checkpoint of a run with everything that a target writes about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from transformer_playground.checkpoints.discovery import choose, skipped_notice
from transformer_playground.checkpoints.format import model_config
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.config.model import ModelConfig
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import CheckpointError
from transformer_playground.export.facts import RunFacts, run_facts
from transformer_playground.export.request import ExportRequest
from transformer_playground.files import sha256_file
from transformer_playground.finetuning.adapter_io import merge
from transformer_playground.finetuning.model import AdapterModel
from transformer_playground.hub import silence_libraries
from transformer_playground.model.base import LanguageModel, evaluating
from transformer_playground.model.gpt import GPT
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation_request import (
    SampleRequest,
    load_run_tokenizer,
    resolve_request,
)

Progress = Callable[[str], object]

# Log-probabilities before and after adapters are merged; the order of sums differs.
_MERGE_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Subject:
    """A checkpoint of a run, before its model is built.

    Attributes:
        sha256: Hash of the checkpoint file.
        step: Optimizer steps done.
        payload: Content of the checkpoint.
        config: Architecture of a model of our own, with its padded `vocab_size`; None if finetuned.
        vocab_size: Rows of the embedding table; those beyond the tokenizer's are padding.
        decoding: Sampling defaults of the run.
    """

    run: RunFolder
    checkpoint: Path
    sha256: str
    step: int
    payload: Mapping[str, Any]
    config: ModelConfig | None
    vocab_size: int
    block_size: int
    tokenizer: Tokenizer
    decoding: DecodingConfig
    facts: RunFacts
    notices: tuple[str, ...] = ()

    @property
    def is_finetuned(self) -> bool:
        """Whether the model is a base model of transformers with merged adapters."""
        return self.config is None

    @property
    def padding(self) -> range:
        """Ids of rows that no token has; they must never be drawn."""
        return range(min(self.tokenizer.vocab_size, self.vocab_size), self.vocab_size)


def read_subject(run: RunFolder, request: ExportRequest) -> Subject:
    """Read a checkpoint, its tokenizer and the facts about its run.

    Raises:
        PlaygroundError: The checkpoint, the tokenizer or the settings are missing or damaged.
    """
    found = choose(run.checkpoints, request.checkpoint)
    tokenizer = load_run_tokenizer(run)
    decoding = resolve_request(run, SampleRequest()).settings.sample
    payload = load_payload(found.path)
    args = payload["model_args"]
    config = model_config(args)[0] if payload["kind"] == "gpt" else None
    return Subject(
        run=run,
        checkpoint=found.path,
        sha256=found.info.sha256 if found.info else sha256_file(found.path),
        step=payload["step"],
        payload=payload,
        config=config,
        vocab_size=args["vocab_size"],
        block_size=args["block_size"],
        tokenizer=tokenizer,
        decoding=decoding,
        facts=run_facts(run, payload, licence=request.licence),
        notices=tuple(skipped_notice(skipped) for skipped in found.skipped),
    )


def planned_subject(
    config: ExperimentConfig, tokenizer: Tokenizer, model: LanguageModel
) -> Subject:
    """The subject of a run that is about to be trained, to check whether it can be exported."""
    is_finetuned = config.experiment.kind == "lora"
    nowhere = Path("-")
    return Subject(
        run=RunFolder(nowhere),
        checkpoint=nowhere,
        sha256="",
        step=0,
        payload={},
        config=model_config(model.args())[0] if isinstance(model, GPT) else None,
        vocab_size=model.vocab_size,
        block_size=model.block_size,
        tokenizer=tokenizer,
        decoding=config.sample.sample,
        facts=RunFacts(base_model=config.hf_model.model_name if is_finetuned else ""),
    )


@dataclass
class Exportable:
    """A model to export, in float32 on the CPU.

    Attributes:
        model: A `GPT`, or the merged transformers model of a finetuned run; in evaluation mode.
        logits: Logits (B, T, vocab_size) of `model` for tokens (B, T) int64, T at most
            `subject.block_size`, without gradients.
    """

    subject: Subject
    model: nn.Module

    @property
    def gpt(self) -> GPT:
        """The model, if it is our own."""
        assert isinstance(self.model, GPT)
        return self.model

    def logits(self, tokens: Tensor) -> Tensor:
        """Logits, float32 (B, T, vocab_size), for tokens (B, T) int64."""
        with evaluating(self.model):
            return _forward(self.model, tokens).float()

    def round_weights(self, dtype: torch.dtype, *, matrices_only: bool = False) -> None:
        """Round the weights to a dtype, in place; they remain float32.

        Afterwards `logits` are those that the export must give, up to the order of sums.

        Args:
            dtype: Dtype of the written weights.
            matrices_only: Leave biases and gains as they are.
        """
        with torch.no_grad():
            for tensor in [*self.model.parameters(), *self.model.buffers()]:
                if tensor.is_floating_point() and (tensor.dim() > 1 or not matrices_only):
                    tensor.copy_(tensor.to(dtype).float())


def load_exportable(subject: Subject, request: ExportRequest) -> Exportable:
    """Build the model; the adapters of a finetuned run are merged into its base.

    Raises:
        CheckpointError: The weights do not fit, or the merged model differs from the run's.
        ModelError: The base model cannot be loaded.
    """
    model = build_model(subject.payload, dtype=torch.float32, base=request.base)
    # The payload holds all weights, and the optimizer's state, a second time.
    light = replace(subject, payload={})
    if isinstance(model, AdapterModel):
        return Exportable(light, _merged(model))
    return Exportable(light, model)


def _merged(model: AdapterModel) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    length = min(16, model.block_size)
    tokens = torch.randint(model.vocab_size, (1, length), generator=generator)
    with evaluating(model):
        before = model.base(input_ids=tokens, use_cache=False).logits.log_softmax(-1)
    with silence_libraries():
        merged = cast("nn.Module", merge(model))
    with evaluating(merged):
        after = _forward(merged, tokens).log_softmax(-1)
    difference = (before - after).abs().max().item()
    # NaN compares as false.
    if not difference <= _MERGE_TOLERANCE:
        raise CheckpointError(
            f"the merged model differs from the run by {difference:.2g} in log-probability.",
            "Export the adapter itself with tp export-adapter.",
        )
    return merged


def _forward(model: nn.Module, tokens: Tensor) -> Tensor:
    logits: Tensor
    if isinstance(model, GPT):
        logits = model(tokens)
    else:
        logits = model(input_ids=tokens, use_cache=False).logits
    return logits
