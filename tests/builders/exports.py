"""Tiny models ready to be exported, without a trained run."""

import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformer_playground.config.model import ModelConfig
from transformer_playground.config.sample import DecodingConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.export.evidence import Evidence, collect_evidence
from transformer_playground.export.exportable import Exportable, Subject
from transformer_playground.export.facts import RunFacts
from transformer_playground.export.proof import Proof
from transformer_playground.export.request import ExportRequest
from transformer_playground.export.target import Target, Written
from transformer_playground.model.gpt import GPT
from transformer_playground.runs.folder import RunFolder

ALPHABET = "abcdefghijkl\n"


def letters(size: int = 13) -> CharTokenizer:
    """A character tokenizer of `size` letters."""
    return CharTokenizer(ALPHABET[:size])


def exportable(model: GPT, folder: Path, tokenizer: Tokenizer | None = None) -> Exportable:
    """A model as if it came from the checkpoint of a run in `folder`, which is not created."""
    run = RunFolder(folder / "run")
    facts = RunFacts("run", "tiny", "", "", "letters", "", None, None, None, "", "")
    subject = Subject(
        run=run,
        checkpoint=run.checkpoints / "last.pt",
        sha256="0" * 64,
        step=1,
        payload={},
        config=model.config.model_copy(update={"vocab_size": model.vocab_size}),
        vocab_size=model.vocab_size,
        block_size=model.block_size,
        tokenizer=tokenizer or letters(model.vocab_size),
        decoding=DecodingConfig(),
        facts=facts,
    )
    return Exportable(subject, model)


def export_and_prove(
    target: Target, source: Exportable, folder: Path, request: ExportRequest
) -> Proof:
    """Check, write and prove one model, as `tp export` does; on random tokens."""
    target.check(source.subject, request)
    evidence: Evidence = collect_evidence(source.subject, request)
    folder.mkdir()
    target.write(source, folder, request)
    return target.verify(Written(folder, request, source, evidence, None))


VALUES: dict[str, tuple[Any, ...]] = {
    "n_head": (4, 3, 1),
    "n_kv_head": (None, 1),
    "bias": (False, True),
    "positional_encoding": ("learned", "sinusoidal", "rope", "alibi", "none"),
    "norm": ("layernorm", "rmsnorm"),
    "norm_position": ("pre", "post"),
    "activation": ("gelu", "gelu_tanh", "relu", "relu2", "silu", "swiglu", "geglu"),
    "mlp_enabled": (True, False),
    "mlp_ratio": (4.0, 2.7, 0.5),
    "qk_norm": (False, True),
    "attention_window": (None, 3),
    "logit_softcap": (0.0, 15.0),
    "tie_embeddings": (True, False),
    "parallel_residual": (False, True),
    "norm_eps": (1e-5, 1e-3),
    "rope_theta": (10_000.0, 100.0),
}
"""Every setting that decides what a model computes, with values that differ in kind."""


def config_of(values: dict[str, Any]) -> ModelConfig | None:
    """A tiny architecture with these settings, or None if they exclude each other."""
    if not _is_possible(values):
        return None
    shape = {"n_layer": 2, "n_embd": 8 * values["n_head"], "block_size": 12}
    return ModelConfig(**shape, **values)


def all_pairs(values: Mapping[str, Sequence[Any]] = VALUES) -> list[ModelConfig]:
    """Few architectures in which every two values of two settings occur together.

    Greedy: each case begins with a pair that is missing, and takes the values that cover most.
    """
    names = list(values)
    missing = {
        pair
        for first, second in itertools.combinations(names, 2)
        for pair in itertools.product([first], values[first], [second], values[second])
        if set(pair) != {"norm_position", "post", "parallel_residual", True}
    }
    order = random.Random(0)
    cases = []
    while missing:
        chosen = dict(zip(*[iter(min(missing, key=repr))] * 2, strict=True))
        for name in order.sample(names, len(names)):
            if name not in chosen:
                fitting = [one for one in values[name] if _is_possible(chosen | {name: one})]
                chosen[name] = max(
                    fitting, key=lambda one: len(missing & _pairs(chosen | {name: one}, names))
                )
        config = config_of({name: chosen[name] for name in names})
        assert config is not None
        cases.append(config)
        missing -= _pairs(chosen, names)
    return cases


def _is_possible(chosen: dict[str, Any]) -> bool:
    return not (chosen.get("norm_position") == "post" and chosen.get("parallel_residual"))


def _pairs(chosen: dict[str, Any], names: Sequence[str]) -> set[tuple[str, Any, str, Any]]:
    known = [name for name in names if name in chosen]
    return {(one, chosen[one], two, chosen[two]) for one, two in itertools.combinations(known, 2)}


def random_configs(count: int) -> list[ModelConfig]:
    """Architectures from the whole grid of `VALUES`."""
    order = random.Random(0)
    drawn = ({name: order.choice(known) for name, known in VALUES.items()} for _ in range(count))
    return [config for values in drawn if (config := config_of(values)) is not None]
